//! Memory that somebody else changes at any moment.

use std::any::Any;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use super::PAGE_SIZE;

/// Pages shared with another domain, which may write to them at any time and in bad faith.
///
/// So there is no `&[u8]` of them: every access is one atomic access or a copy made of such, and what was read twice may
/// differ. Offsets are checked; an offset outside is a bug in this program and panics.
pub struct SharedPages {
    base: NonNull<u8>,
    len: usize,
    /// Whatever keeps the memory mapped; dropped last.
    _owner: Box<dyn Any + Send + Sync>,
}

// SAFETY: the memory is accessed through atomics only, and stays mapped as long as `_owner` (Send + Sync) lives.
unsafe impl Send for SharedPages {}
// SAFETY: as above.
unsafe impl Sync for SharedPages {}

impl SharedPages {
    /// Wraps mapped memory.
    ///
    /// # Safety
    /// `base` must be page-aligned and valid for reads and writes of `count` pages until `owner` is dropped, and nothing
    /// in this process may access it other than through atomics.
    pub(crate) unsafe fn new(base: NonNull<u8>, count: usize, owner: Box<dyn Any + Send + Sync>) -> Self {
        SharedPages { base, len: count * PAGE_SIZE, _owner: owner }
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn at(&self, offset: usize, size: usize) -> NonNull<u8> {
        assert!(
            offset.is_multiple_of(size) && offset.checked_add(size).is_some_and(|end| end <= self.len),
            "{size} bytes at {offset} in shared memory of {} bytes",
            self.len
        );
        // SAFETY: in bounds, as just checked.
        unsafe { self.base.add(offset) }
    }

    /// The byte at `offset`.
    pub fn u8(&self, offset: usize) -> &AtomicU8 {
        // SAFETY: in bounds and mapped while self lives; only atomics access it.
        unsafe { self.at(offset, 1).cast().as_ref() }
    }

    /// The 16-bit word at `offset`, a multiple of 2.
    pub fn u16(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: as for u8; the base is page-aligned, so the address is a multiple of the size.
        unsafe { self.at(offset, 2).cast().as_ref() }
    }

    /// The 32-bit word at `offset`, a multiple of 4.
    pub fn u32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: as for u16.
        unsafe { self.at(offset, 4).cast().as_ref() }
    }

    fn u64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as for u16.
        unsafe { self.at(offset, 8).cast().as_ref() }
    }

    /// Copies out of the shared memory, starting at `offset`.
    pub fn read(&self, mut offset: usize, mut to: &mut [u8]) {
        while !to.is_empty() {
            if offset.is_multiple_of(8) && to.len() >= 8 {
                let (chunk, rest) = to.split_at_mut(8);
                chunk.copy_from_slice(&self.u64(offset).load(Ordering::Relaxed).to_ne_bytes());
                (offset, to) = (offset + 8, rest);
            } else {
                let (chunk, rest) = to.split_at_mut(1);
                chunk[0] = self.u8(offset).load(Ordering::Relaxed);
                (offset, to) = (offset + 1, rest);
            }
        }
    }

    /// Copies into the shared memory, starting at `offset`.
    pub fn write(&self, mut offset: usize, mut from: &[u8]) {
        while !from.is_empty() {
            if let (true, Some((chunk, rest))) = (offset.is_multiple_of(8), from.split_first_chunk::<8>()) {
                self.u64(offset).store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
                (offset, from) = (offset + 8, rest);
            } else {
                self.u8(offset).store(from[0], Ordering::Relaxed);
                (offset, from) = (offset + 1, &from[1..]);
            }
        }
    }
}
