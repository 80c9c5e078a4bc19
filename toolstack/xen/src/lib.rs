//! Xen for xenpod: domains, xenstore, event channels, grants and vchan.
//!
//! The one crate of the workspace that speaks to the hypervisor, and the only one (beside `libxl-sys` and the system
//! calls of `guest-init`) with `unsafe` code. Both ends use it: the daemon in dom0 with the feature `toolstack`, and
//! `guest-init` in the domain without, where it is nothing but pure code and the `/dev/xen` devices.
//!
//! - [`hypervisor`]: what may be asked of Xen, as a trait; `libxc` (feature `toolstack`) does it.
//! - `libxl` (feature `toolstack`): what `xl` wants to find of our domains.
//! - [`kernel`], [`pvh`], [`acpi`]: what goes into a domain's memory before it runs.
//! - [`evtchn`], [`grants`], [`vchan`]: signals, shared pages, and the stream made of both.
//! - [`xenstore`]: the store's wire format, its clients, and a domain's tree in it.
//! - `fake` (feature `fake`): all of it in memory, failing where a test wants it to.

// Speaking to Xen is what this crate is for; each block says why it is sound.
#![allow(unsafe_code)]

pub mod acpi;
pub mod evtchn;
#[cfg(feature = "fake")]
pub mod fake;
pub mod grants;
pub mod hypervisor;
pub mod ids;
mod ioctl;
pub mod kernel;
#[cfg(feature = "toolstack")]
pub mod libxc;
#[cfg(feature = "toolstack")]
pub mod libxl;
pub mod pvh;
pub mod vchan;
pub mod xenstore;
