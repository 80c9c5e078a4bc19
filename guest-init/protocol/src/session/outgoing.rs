//! From what waits to bytes: messages first, then credits and ends, then data in turns.

use prost::Message as _;

use super::{CloseReason, PORTION, Session, TURN};
use crate::frame::{HEADER_LEN, Header, Kind, MAX_PAYLOAD};
use crate::message::{Envelope, envelope};

impl Session {
    /// What to send now; empty when there is nothing. Tell with [`Session::advance_output`] how much of it was sent.
    pub fn output(&mut self) -> &[u8] {
        if self.output_at == self.output.len() {
            self.output.clear();
            self.output_at = 0;
            if self.failed.is_none() {
                self.fill();
            }
            if self.output.is_empty() {
                self.output = Vec::new();
            }
        }
        &self.output[self.output_at..]
    }

    /// `count` bytes of [`Session::output`] were sent. [`Session::next_event`] may have more to give after it.
    pub fn advance_output(&mut self, count: usize) {
        self.output_at = (self.output_at + count).min(self.output.len());
    }

    fn fill(&mut self) {
        if !self.hello_sent {
            self.hello_sent = true;
            let bytes = Envelope { body: Some(envelope::Body::Hello(self.hello.clone())) }.encode_to_vec();
            self.put(Kind::Message, false, 0, 0, &bytes);
        }
        if !self.connected {
            return;
        }
        while self.output.len() < PORTION {
            if self.messages.is_empty() {
                let Some(event) = self.events.next() else { break };
                self.queued += event.len();
                self.messages.push_back(event);
            }
            self.put_fragment();
        }
        self.put_credits();
        self.put_data();
    }

    fn put(&mut self, kind: Kind, flag: bool, stream: u32, offset: u64, payload: &[u8]) {
        let header = Header { kind, flag, length: payload.len() as u32, stream, offset };
        self.output.extend_from_slice(&header.encode());
        self.output.extend_from_slice(payload);
    }

    fn put_fragment(&mut self) {
        let Some(first) = self.messages.front_mut() else { return };
        let end = first.len().min(self.fragment_at + MAX_PAYLOAD);
        let (more, length) = (end < first.len(), end - self.fragment_at);
        let header = Header { kind: Kind::Message, flag: more, length: length as u32, stream: 0, offset: 0 };
        self.output.extend_from_slice(&header.encode());
        self.output.extend_from_slice(&first[self.fragment_at..end]);
        self.fragment_at = end;
        self.queued -= length;
        if !more {
            self.messages.pop_front();
            self.fragment_at = 0;
        }
    }

    fn put_credits(&mut self) {
        for (stream, ack) in std::mem::take(&mut self.strangers) {
            self.put(Kind::Close, false, stream, ack, &[CloseReason::Unknown as u8]);
        }
        let mut recvs = std::mem::take(&mut self.recvs);
        recvs.retain(|stream, recv| {
            if recv.take_stop() {
                self.put(Kind::Close, false, *stream, 0, &[CloseReason::Stop as u8]);
            }
            if let Some((ack, next, limit, finished)) = recv.take_credit() {
                let mut payload = [0; 16];
                payload[..8].copy_from_slice(&next.to_le_bytes());
                payload[8..].copy_from_slice(&limit.to_le_bytes());
                self.put(Kind::Credit, finished, *stream, ack, &payload);
            }
            !recv.over()
        });
        self.recvs = recvs;
    }

    /// Turns of data, beginning after the stream that had the last one, until the portion is full or nobody has any.
    fn put_data(&mut self) {
        let mut sends = std::mem::take(&mut self.sends);
        let mut busy = true;
        while busy && self.output.len() < PORTION {
            busy = false;
            let start = self.turn.saturating_add(1);
            let order: Vec<u32> = sends.range(start..).chain(sends.range(..start)).map(|(id, _)| *id).collect();
            for id in order {
                let Some(send) = sends.get_mut(&id) else { continue };
                let count = send.sendable().min(TURN);
                if count > 0 {
                    let at = self.output.len();
                    self.output.resize(at + HEADER_LEN, 0);
                    let offset = send.take(count, &mut self.output);
                    let header = Header { kind: Kind::Data, flag: false, length: count as u32, stream: id, offset };
                    self.output[at..at + HEADER_LEN].copy_from_slice(&header.encode());
                    self.turn = id;
                    busy = true;
                }
                if let Some((length, reason)) = send.take_end() {
                    self.put(Kind::Close, false, id, length, &[reason as u8]);
                }
                if self.output.len() >= PORTION {
                    break;
                }
            }
        }
        self.sends = sends;
    }
}
