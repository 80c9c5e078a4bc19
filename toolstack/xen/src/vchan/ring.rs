//! One direction of a vchan: a ring of bytes with a producer's and a consumer's index, both counting for ever.
//!
//! The other side writes its own index and the ring when it likes. So our index is kept here and only ever published;
//! theirs is read once per call and checked against the size before anything is derived from it.

use std::sync::atomic::Ordering;

use super::layout::RingOrder;
use crate::grants::SharedPages;

/// The peer's index is not within a ring's size of ours: it lies, or the memory is not a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadIndex {
    pub ours: u32,
    pub theirs: u32,
    pub size: u32,
}

/// Where one ring's parts are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Offset of the index we publish, in the first page.
    pub our_index: usize,
    /// Offset of the peer's.
    pub peer_index: usize,
    /// Its size, as agreed at the start; never read again.
    pub order: RingOrder,
}

/// Our end of a ring; whether it is the reading or the writing end is in the method called.
pub(super) struct RingEnd {
    place: Place,
    /// Our index: the truth, of which the shared word is a copy for the peer.
    index: u32,
    /// Pages of its own, else it is in the first page.
    own: Option<SharedPages>,
}

impl RingEnd {
    pub fn new(place: Place, own: Option<SharedPages>) -> Self {
        RingEnd { place, index: 0, own }
    }

    /// Starts where the shared index says we stopped (0 in a fresh ring).
    pub fn adopt(&mut self, control: &SharedPages) {
        self.index = control.u32(self.place.our_index).load(Ordering::Acquire);
    }

    /// Empties the ring, for both ends. Only while the peer does not use it.
    pub fn reset(&mut self, control: &SharedPages) {
        self.index = 0;
        control.u32(self.place.our_index).store(0, Ordering::Relaxed);
        control.u32(self.place.peer_index).store(0, Ordering::Relaxed);
    }

    fn size(&self) -> u32 {
        self.place.order.size()
    }

    /// How far the producer is ahead of the consumer, given which of them we are.
    fn used(&self, control: &SharedPages, reading: bool) -> Result<u32, BadIndex> {
        // Acquire: what the peer did before it published its index is visible after this.
        let theirs = control.u32(self.place.peer_index).load(Ordering::Acquire);
        let used = if reading { theirs.wrapping_sub(self.index) } else { self.index.wrapping_sub(theirs) };
        let size = self.size();
        if used > size { Err(BadIndex { ours: self.index, theirs, size }) } else { Ok(used) }
    }

    /// Bytes that can be read now.
    pub fn readable(&self, control: &SharedPages) -> Result<usize, BadIndex> {
        Ok(self.used(control, true)? as usize)
    }

    /// Bytes that can be written now.
    pub fn writable(&self, control: &SharedPages) -> Result<usize, BadIndex> {
        Ok((self.size() - self.used(control, false)?) as usize)
    }

    /// The parts of the ring that `count` bytes from our index on occupy: up to the end, and from the beginning.
    fn parts(&self, count: usize) -> (usize, usize) {
        let start = (self.index & (self.size() - 1)) as usize;
        (start, count.min(self.size() as usize - start))
    }

    /// Takes bytes out; `to` is no longer than what is readable.
    pub fn take(&mut self, control: &SharedPages, to: &mut [u8]) {
        let (start, first) = self.parts(to.len());
        let (head, tail) = to.split_at_mut(first);
        let (memory, base) = self.memory(control);
        memory.read(base + start, head);
        memory.read(base, tail);
        self.publish(control, to.len());
    }

    /// Puts bytes in; `from` is no longer than what is writable.
    pub fn put(&mut self, control: &SharedPages, from: &[u8]) {
        let (start, first) = self.parts(from.len());
        let (head, tail) = from.split_at(first);
        let (memory, base) = self.memory(control);
        memory.write(base + start, head);
        memory.write(base, tail);
        self.publish(control, from.len());
    }

    fn memory<'a>(&'a self, control: &'a SharedPages) -> (&'a SharedPages, usize) {
        match &self.own {
            Some(pages) => (pages, 0),
            None => (control, self.place.order.offset().unwrap_or_default()),
        }
    }

    fn publish(&mut self, control: &SharedPages, count: usize) {
        self.index = self.index.wrapping_add(count as u32);
        // Release: the copy is done before the peer can see that it is.
        control.u32(self.place.our_index).store(self.index, Ordering::Release);
    }
}
