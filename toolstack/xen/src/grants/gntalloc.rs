//! `/dev/xen/gntalloc`: pages of this domain, offered to another.

use std::fs::OpenOptions;
use std::io;

use super::mapping::Mapping;
use super::{GrantOffers, Offered, UnmapNotify};
use crate::ids::Domid;
use crate::ioctl::{self, ioc_none};

// The size is that of the C structure with its one-element array and padding (xen/sys/gntalloc.h).
const ALLOC_GREF: u32 = ioc_none(b'G', 5, 24);

/// `GNTALLOC_FLAG_WRITABLE`
const WRITABLE: u32 = 1;

/// The kernel's xen-gntalloc driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct GntallocDevice;

impl GntallocDevice {
    /// Where it is.
    pub const PATH: &'static str = "/dev/xen/gntalloc";
}

impl GrantOffers for GntallocDevice {
    fn offer(&self, peer: Domid, count: usize, notify: Option<UnmapNotify>) -> io::Result<Offered> {
        assert!(count > 0 && (notify.is_none() || count == 1), "a notification is for one page, not {count}");
        let file = OpenOptions::new().read(true).write(true).open(Self::PATH)?;

        // struct ioctl_gntalloc_alloc_gref as 64-bit words: {u16 domid, u16 flags, u32 count}, {u64 index}, {u32 refs[]}
        let mut argument = vec![0u64; 2 + count.div_ceil(2)];
        argument[0] = u64::from(peer.0) | u64::from(WRITABLE) << 16 | (count as u64) << 32;
        // SAFETY: the driver reads the first 8 bytes and writes the index and `count` references after them.
        unsafe { ioctl::call(&file, ALLOC_GREF, argument.as_mut_slice()) }?;
        let index = argument[1];
        let refs = (0..count).map(|i| (argument[2 + i / 2] >> (32 * (i % 2))) as u32).collect();

        // The driver frees the pages when they are unmapped and the descriptor is closed; `Mapping` does both.
        let mapping = Mapping::new(file, index, count)?;
        if let Some(notify) = notify {
            mapping.notify_on_unmap(notify)?;
        }
        Ok(Offered { refs, pages: mapping.into_pages() })
    }
}
