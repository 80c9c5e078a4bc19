//! A mapping made through a grant device; both devices work alike here.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags};

use super::{PAGE_SIZE, SharedPages, UnmapNotify};
use crate::ioctl::{self, ioc_none};

const SET_UNMAP_NOTIFY: u32 = ioc_none(b'G', 7, 16);
/// `UNMAP_NOTIFY_CLEAR_BYTE | UNMAP_NOTIFY_SEND_EVENT`
const CLEAR_BYTE_AND_SEND_EVENT: u64 = 3;

/// Grants mapped through a descriptor that serves nothing else.
pub(super) struct Mapping {
    base: NonNull<u8>,
    count: usize,
    /// Offset in the device that stands for these grants.
    index: u64,
    file: File,
}

// SAFETY: the address is only used to unmap; the memory behind it belongs to whoever owns the Mapping.
unsafe impl Send for Mapping {}
// SAFETY: as above; there are no methods that change anything through a shared reference.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `count` grants that the driver knows as `index`, shared and writable.
    pub(super) fn new(file: File, index: u64, count: usize) -> io::Result<Self> {
        let (len, prot) = (count * PAGE_SIZE, ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping at an address the kernel chooses touches no existing memory.
        let address = unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, prot, MapFlags::SHARED, &file, index) }?;
        let base = NonNull::new(address.cast()).ok_or_else(|| io::Error::other("a mapping at address zero"))?;
        Ok(Mapping { base, count, index, file })
    }

    /// Has the kernel clear a byte of the mapping and fire an event channel when it goes away.
    pub(super) fn notify_on_unmap(&self, notify: UnmapNotify) -> io::Result<()> {
        assert!(notify.clear_byte < self.count * PAGE_SIZE, "byte {} of {} pages", notify.clear_byte, self.count);
        let mut argument =
            [self.index + notify.clear_byte as u64, CLEAR_BYTE_AND_SEND_EVENT | u64::from(notify.port) << 32];
        // SAFETY: struct ioctl_gntdev_unmap_notify and ioctl_gntalloc_unmap_notify are {u64 index, u32 action, u32 port}.
        unsafe { ioctl::call(&self.file, SET_UNMAP_NOTIFY, &mut argument) }?;
        Ok(())
    }

    /// As shared memory, unmapped with it.
    pub(super) fn into_pages(self) -> SharedPages {
        let (base, count) = (self.base, self.count);
        // SAFETY: the mapping is page-aligned, readable and writable, and lives as long as its owner, `self`; nothing
        // else in this process knows its address.
        unsafe { SharedPages::new(base, count, Box::new(self)) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `new`, whole, and nobody uses it after its owner is dropped.
        let result = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.count * PAGE_SIZE) };
        debug_assert!(result.is_ok(), "munmap of our own mapping: {result:?}");
    }
}
