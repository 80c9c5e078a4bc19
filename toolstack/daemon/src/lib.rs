//! xenpodd: the daemon that runs each pod in a Xen domain of its own and publishes it on D-Bus.
//!
//! ```text
//! main -- config, logging, notify
//!   bus          org.xenpod1: objects, access, signals             (knows the engine)
//!   engine       pods, jobs, transitions, reconcile                (knows the traits in engine::world)
//!   events       what has happened, in numbers                    (observes the engine)
//!   metrics      what pods use, for machines                      (knows the engine)
//!   host         those traits on a real host: libxc, xenstore, loop, netlink, images
//!   guest        the channel to a guest          logs      its output on disk
//!   devices      loop devices and scratch disks  journal   records on disk
//!   security     capabilities and seccomp      blocking  what waits, off the runtime's thread
//! ```
//!
//! A library as well as a program so that each part can be tested by itself; nothing else is to use it.

#![allow(clippy::result_large_err, reason = "failures are rare, say much, and travel a short way")]

pub mod blocking;
pub mod bus;
pub mod clock;
pub mod config;
pub mod devices;
pub mod engine;
pub mod events;
pub mod guest;
pub mod host;
pub mod journal;
pub mod kernels;
pub mod logging;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod security;
#[cfg(test)]
mod testing;
mod tls;
