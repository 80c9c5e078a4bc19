//! The sending end of one stream.
//!
//! Bytes stay here from the moment they are taken until the receiver has acknowledged them, so that a receiver which
//! restarts can have them again. The buffer is as large as the window: when it is full the source is not read.
//!
//! ```text
//!   base            sent        written      (offsets)
//!    |--- in flight ---|--- waiting ---|
//! ```

use std::collections::VecDeque;

use super::CloseReason;
use crate::error::ProtocolError;

/// Most bytes of a stream between the source and the receiver's acknowledgement.
pub const WINDOW: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct SendStream {
    /// Offset of the first byte in `buffer`: everything before is the receiver's.
    base: u64,
    /// Offset of the next byte to send on this connection.
    sent: u64,
    /// The highest `sent` of any connection: nothing beyond can have arrived.
    high: u64,
    /// Permission to send up to here.
    limit: u64,
    buffer: VecDeque<u8>,
    /// The receiver has said where it stands, on this connection.
    started: bool,
    /// `base` is not known before the receiver says it.
    adopt: bool,
    end: Option<CloseReason>,
    end_sent: bool,
}

/// What a credit did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credited {
    Nothing,
    /// There is more room than before.
    Room,
    /// The receiver has everything, and knows that it is everything.
    Finished,
}

impl SendStream {
    pub(super) fn new(adopt: bool) -> Self {
        Self {
            base: 0,
            sent: 0,
            high: 0,
            limit: 0,
            buffer: VecDeque::new(),
            started: false,
            adopt,
            end: None,
            end_sent: false,
        }
    }

    fn written(&self) -> u64 {
        self.base + self.buffer.len() as u64
    }

    /// Offset of the next byte to take, once known.
    pub(super) fn position(&self) -> Option<u64> {
        (!self.adopt).then(|| self.written())
    }

    /// How many bytes can be taken now.
    pub(super) fn room(&self) -> usize {
        if self.end.is_some() || self.adopt { 0 } else { WINDOW - self.buffer.len().min(WINDOW) }
    }

    /// Takes what there is room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.buffer.extend(&bytes[..taken]);
        taken
    }

    pub(super) fn close(&mut self, reason: CloseReason) {
        self.end.get_or_insert(reason);
    }

    /// The receiver wants no more: what was not sent is forgotten.
    pub(super) fn stop(&mut self) {
        let in_flight = (self.sent - self.base) as usize;
        self.buffer.truncate(in_flight);
        self.end.get_or_insert(CloseReason::End);
    }

    /// A new connection: nothing is sent before the receiver has said where it stands.
    pub(super) fn rewind(&mut self) {
        self.sent = self.base;
        self.limit = self.base;
        self.started = false;
        self.end_sent = false;
    }

    pub(super) fn credit(
        &mut self,
        stream: u32,
        (ack, next, limit): (u64, u64, u64),
        finished: bool,
    ) -> Result<Credited, ProtocolError> {
        let bad = ProtocolError::BadCredit { stream, ack, next, limit };
        if ack > next || next > limit {
            return Err(bad);
        }
        let mut room = false;
        if self.adopt {
            (self.base, self.sent, self.high) = (next, next, next);
            self.adopt = false;
            self.started = true;
            room = true;
        } else if !self.started {
            if next < self.base || next > self.high {
                return Err(bad);
            }
            self.sent = next;
            self.started = true;
        } else if next > self.sent || limit < self.limit {
            return Err(bad);
        }
        self.limit = limit;
        if ack > self.base {
            self.buffer.drain(..(ack - self.base) as usize);
            self.base = ack;
            room = true;
            if self.buffer.is_empty() {
                self.buffer = VecDeque::new();
            }
        }
        if finished {
            if !(self.end_sent && ack == self.written()) {
                return Err(bad);
            }
            return Ok(Credited::Finished);
        }
        Ok(if room && self.end.is_none() { Credited::Room } else { Credited::Nothing })
    }

    /// Bytes that may be sent now.
    pub(super) fn sendable(&self) -> usize {
        if !self.started {
            return 0;
        }
        (self.written().min(self.limit)).saturating_sub(self.sent) as usize
    }

    /// Appends the next `count` bytes to `out`; returns their offset. `count` is at most [`Self::sendable`].
    pub(super) fn take(&mut self, count: usize, out: &mut Vec<u8>) -> u64 {
        let offset = self.sent;
        let start = (self.sent - self.base) as usize;
        let (front, back) = self.buffer.as_slices();
        let end = start + count;
        if start < front.len() {
            out.extend_from_slice(&front[start..end.min(front.len())]);
        }
        if end > front.len() {
            out.extend_from_slice(&back[start.saturating_sub(front.len())..end - front.len()]);
        }
        self.sent += count as u64;
        self.high = self.high.max(self.sent);
        offset
    }

    /// The end, when it is due: everything before it was sent on this connection.
    pub(super) fn take_end(&mut self) -> Option<(u64, CloseReason)> {
        let reason = self.end?;
        if !self.started || self.end_sent || self.sent < self.written() {
            return None;
        }
        self.end_sent = true;
        Some((self.sent, reason))
    }
}
