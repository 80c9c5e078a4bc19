//! Xenstore: the small tree of names and values through which the parts of a Xen host find one another.
//!
//! - [`wire`]: the protocol as pure functions over bytes.
//! - [`path`]: what a path may be; [`perms`]: who may read and write a node.
//! - [`op`]: one change of the store, as a value, so that a tree can be described before it is written.
//! - [`client`] (feature `toolstack`): the daemon's client: one connection, any number of requests in flight.
//! - [`blocking`]: a client for one caller at a time, over anything that reads and writes. The guest's.
//! - [`tree`]: what a domain of ours looks like in the store, and how its devices leave it.
//! - [`guest`]: reading what a guest wrote. All of it is hostile.
//! - [`fake`] (feature `fake`): a store in memory that speaks the protocol, and fails where a test wants it to.
//!
//! Both xenstored implementations are served. Where they differ, the code says so at the place: "oxenstored" is
//! Xen's `tools/ocaml/xenstored`, "C xenstored" its `tools/xenstore`.

pub mod blocking;
#[cfg(feature = "toolstack")]
pub mod client;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
pub mod guest;
pub mod op;
pub mod path;
pub mod perms;
pub mod tree;
pub mod wire;

#[cfg(feature = "toolstack")]
pub use client::{Client, Transaction, Watch, WatchEvent};
pub use error::{Code, Error, Result};
pub use op::Op;
pub use perms::{Access, Perms};
