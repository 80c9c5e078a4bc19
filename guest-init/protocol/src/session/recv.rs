//! The receiving end of one stream.

use super::CloseReason;
use super::send::WINDOW;
use crate::error::ProtocolError;

#[derive(Debug)]
pub(super) struct RecvStream {
    /// Everything before this has arrived.
    pub(super) received: u64,
    /// Everything before this is safe: the sender may forget it.
    acked: u64,
    /// Granted to the sender.
    limit: u64,
    end: Option<(u64, CloseReason)>,
    /// Nobody wants it: what comes is dropped and acknowledged.
    discard: bool,
    credit_due: bool,
    stop_due: bool,
}

impl RecvStream {
    pub(super) fn new(offset: u64) -> Self {
        let limit = offset.saturating_add(WINDOW as u64);
        Self { received: offset, acked: offset, limit, end: None, discard: false, credit_due: true, stop_due: false }
    }

    /// A new connection: say again where we stand.
    pub(super) fn restate(&mut self) {
        self.credit_due = true;
        self.stop_due = self.discard;
    }

    /// Returns whether somebody wants the bytes.
    pub(super) fn data(&mut self, stream: u32, offset: u64, length: usize) -> Result<bool, ProtocolError> {
        if self.end.is_some() {
            return Err(ProtocolError::AfterEnd(stream));
        }
        if offset != self.received {
            return Err(ProtocolError::OffsetGap { stream, expected: self.received, got: offset });
        }
        let end = offset.saturating_add(length as u64);
        if end > self.limit {
            return Err(ProtocolError::CreditOverrun { stream, end, limit: self.limit });
        }
        self.received = end;
        if self.discard {
            self.ack(end);
        }
        Ok(!self.discard)
    }

    /// Returns whether this is news.
    pub(super) fn close(&mut self, stream: u32, offset: u64, reason: CloseReason) -> Result<bool, ProtocolError> {
        if reason != CloseReason::Unknown && offset != self.received {
            return Err(ProtocolError::OffsetGap { stream, expected: self.received, got: offset });
        }
        let news = self.end.is_none();
        if news {
            self.end = Some((self.received, reason));
        }
        // A sender that does not know the stream is not told more about it.
        self.credit_due = !self.unknown();
        Ok(news && !self.discard)
    }

    pub(super) fn ack(&mut self, offset: u64) {
        if offset > self.acked {
            self.acked = offset;
            // Small steps are gathered; the sender has most of its window left.
            let granted = offset.saturating_add(WINDOW as u64);
            if granted - self.limit >= (WINDOW / 4) as u64 || self.acked == self.received {
                self.limit = granted;
                self.credit_due = true;
            }
        }
    }

    pub(super) fn discard(&mut self) {
        self.discard = true;
        self.stop_due = self.end.is_none();
        self.ack(self.received);
        self.credit_due = true;
    }

    fn finished(&self) -> bool {
        self.end.is_some_and(|(length, _)| self.acked == length)
    }

    /// The credit to send now, `(ack, next, limit, finished)`.
    pub(super) fn take_credit(&mut self) -> Option<(u64, u64, u64, bool)> {
        if !std::mem::take(&mut self.credit_due) || self.unknown() {
            return None;
        }
        Some((self.acked, self.received, self.limit, self.finished()))
    }

    pub(super) fn take_stop(&mut self) -> bool {
        std::mem::take(&mut self.stop_due) && self.end.is_none()
    }

    fn unknown(&self) -> bool {
        matches!(self.end, Some((_, CloseReason::Unknown)))
    }

    /// Nothing more to say or hear: the sender does not know the stream, or has been told that all is well.
    pub(super) fn over(&self) -> bool {
        self.finished() && (self.unknown() || !self.credit_due)
    }
}
