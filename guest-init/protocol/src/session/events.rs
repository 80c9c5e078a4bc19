//! The guest's events: numbered, kept until acknowledged.

use std::collections::VecDeque;

use prost::Message as _;

use crate::error::ProtocolError;
use crate::message::{Envelope, Event, envelope, event::What};

/// Most events that wait for their acknowledgement before log lines are dropped and new work should be refused.
pub const MAX_EVENTS: usize = 512;

#[derive(Debug, Default)]
pub(super) struct EventLog {
    /// Sequence number and encoded envelope of what is not acknowledged.
    waiting: VecDeque<(u64, Vec<u8>)>,
    last: u64,
    /// The last one sent on this connection.
    sent: u64,
    /// The last one sent on any.
    high: u64,
}

impl EventLog {
    pub(super) fn push(&mut self, time_ns: u64, what: What) -> u64 {
        self.last += 1;
        let event = Event { sequence: self.last, time_ns, what: Some(what) };
        let envelope = Envelope { body: Some(envelope::Body::Event(event)) };
        self.waiting.push_back((self.last, envelope.encode_to_vec()));
        self.last
    }

    pub(super) fn full(&self) -> bool {
        self.waiting.len() >= MAX_EVENTS
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// A new connection, to a daemon that has everything up to `last`.
    pub(super) fn resume(&mut self, last: u64) -> Result<(), ProtocolError> {
        self.sent = 0;
        self.ack(last)
    }

    pub(super) fn ack(&mut self, sequence: u64) -> Result<(), ProtocolError> {
        if sequence > self.high {
            return Err(ProtocolError::EventAck(sequence));
        }
        while self.waiting.front().is_some_and(|(at, _)| *at <= sequence) {
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Ok(())
    }

    /// The next event to send on this connection.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let (at, bytes) = self.waiting.iter().find(|(at, _)| *at > self.sent)?;
        self.sent = *at;
        self.high = self.high.max(*at);
        Some(bytes.clone())
    }
}
