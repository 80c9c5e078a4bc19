//! Memory shared between domains: one offers pages by grant references, the other maps them.
//!
//! [`GntallocDevice`] offers (the guest does), [`GntdevDevice`] maps (dom0 does). Both can have the kernel clear a byte
//! in the page and signal an event channel when this end goes away, even by a crash: that is how the other end learns.

use std::io;

use crate::evtchn::Port;
use crate::ids::Domid;

mod gntalloc;
mod gntdev;
mod mapping;
mod pages;

pub use gntalloc::GntallocDevice;
pub use gntdev::GntdevDevice;
pub use pages::SharedPages;

/// Size of a page, of a grant.
pub const PAGE_SIZE: usize = 4096;

/// A grant reference: an index into the offering domain's grant table.
pub type GrantRef = u32;

/// What the kernel does when this end's mapping goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmapNotify {
    /// Offset in the mapping of the byte that is set to zero.
    pub clear_byte: usize,
    /// Event channel that is signalled after it.
    pub port: Port,
}

/// Offers pages of this domain to another.
pub trait GrantOffers: Send + Sync {
    /// Allocates `count` zeroed pages, writable by `peer`. With `notify`, `count` must be 1.
    fn offer(&self, peer: Domid, count: usize, notify: Option<UnmapNotify>) -> io::Result<Offered>;
}

/// Pages offered to another domain, as long as this lives.
pub struct Offered {
    /// Their references, in order.
    pub refs: Vec<GrantRef>,
    /// The pages.
    pub pages: SharedPages,
}

/// Maps pages of other domains.
pub trait GrantMaps: Send + Sync {
    /// Maps these pages of `peer`, in this order, as one piece of memory, writable.
    fn map(&self, peer: Domid, refs: &[GrantRef], notify: Option<UnmapNotify>) -> io::Result<SharedPages>;
}
