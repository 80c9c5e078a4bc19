//! From bytes to [`Incoming`]: every check of what a peer says is here or in the streams.

use prost::Message as _;

use super::send::Credited;
use super::{
    CloseReason, Incoming, MAX_MESSAGE_TO_DAEMON, MAX_MESSAGE_TO_GUEST, MAX_QUEUED, RequestToken, Role, Session,
};
use crate::error::ProtocolError;
use crate::frame::{HEADER_LEN, Header, Kind, MAX_PAYLOAD};
use crate::message::{Envelope, Event, Hello, envelope::Body};

impl Session {
    /// Takes bytes that came; returns how many. Fewer than given means that [`Session::next_event`] must be called until
    /// it has nothing more, and the rest fed again.
    pub fn feed(&mut self, bytes: &[u8]) -> usize {
        if self.input_at > 0 {
            self.input.drain(..self.input_at);
            self.input_at = 0;
        }
        if self.input.is_empty() && self.input.capacity() > MAX_PAYLOAD / 4 {
            self.input = Vec::new();
        }
        let taken = bytes.len().min(HEADER_LEN + MAX_PAYLOAD - self.input.len());
        self.input.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// The next thing that came, or `None` when more bytes are needed (for a guest: or more output sent).
    ///
    /// # Errors
    /// The peer broke the protocol; this and every later call fails, until [`Session::reconnect`].
    pub fn next_event(&mut self) -> Result<Option<Incoming>, ProtocolError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            if self.role == Role::Guest && self.queued > MAX_QUEUED {
                return Ok(None);
            }
            match self.step() {
                Ok(Step::More) => {}
                Ok(Step::Starved) => return Ok(None),
                Ok(Step::Incoming(incoming)) => return Ok(Some(incoming)),
                Err(error) => {
                    self.input = Vec::new();
                    self.input_at = 0;
                    self.fragments = Vec::new();
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }

    /// Handles one frame.
    fn step(&mut self) -> Result<Step, ProtocolError> {
        let rest = &self.input[self.input_at..];
        let Some(raw) = rest.first_chunk::<HEADER_LEN>() else { return Ok(Step::Starved) };
        let header = Header::decode(raw)?;
        let length = header.length as usize;
        let Some(payload) = rest[HEADER_LEN..].get(..length) else { return Ok(Step::Starved) };
        let payload = payload.to_vec();
        self.input_at += HEADER_LEN + length;
        if !self.connected && header.kind != Kind::Message {
            return Err(ProtocolError::Order("a stream's frame"));
        }
        match header.kind {
            Kind::Message => self.fragment(header.flag, &payload),
            Kind::Data => self.data(&header, payload),
            Kind::Credit => self.credit(&header, &payload),
            Kind::Close => self.closed(&header, payload[0]),
        }
    }

    fn fragment(&mut self, more: bool, payload: &[u8]) -> Result<Step, ProtocolError> {
        let limit = match self.role {
            Role::Guest => MAX_MESSAGE_TO_GUEST,
            Role::Daemon => MAX_MESSAGE_TO_DAEMON,
        };
        if self.fragments.len() + payload.len() > limit {
            return Err(ProtocolError::MessageTooLong(limit));
        }
        self.fragments.extend_from_slice(payload);
        if more {
            return Ok(Step::More);
        }
        let bytes = std::mem::take(&mut self.fragments);
        let envelope = Envelope::decode(bytes.as_slice()).map_err(|e| ProtocolError::Decode(e.to_string()))?;
        self.message(envelope)
    }

    fn message(&mut self, envelope: Envelope) -> Result<Step, ProtocolError> {
        let Some(body) = envelope.body else {
            // Of a newer protocol.
            return if self.connected { Ok(Step::More) } else { Err(ProtocolError::Order("an unknown message")) };
        };
        match (body, self.role, self.connected) {
            (Body::Hello(hello), _, false) => self.hello(hello),
            (Body::Hello(_), _, true) => Err(ProtocolError::Order("Hello")),
            (_, _, false) => Err(ProtocolError::Order("a message")),
            (Body::Request(request), Role::Guest, true) => {
                let token = RequestToken { id: request.id, connection: self.connection };
                Ok(Step::Incoming(Incoming::Request { token, op: request.op }))
            }
            (Body::EventAck(ack), Role::Guest, true) => self.events.ack(ack.sequence).map(|()| Step::More),
            (Body::Reply(reply), Role::Daemon, true) => {
                if !self.open_requests.remove(&reply.id) {
                    return Err(ProtocolError::UnknownReply(reply.id));
                }
                Ok(Step::Incoming(Incoming::Reply { id: reply.id, result: reply.result }))
            }
            (Body::Event(event), Role::Daemon, true) => self.event(event),
            (Body::Request(_), Role::Daemon, _) => Err(ProtocolError::Direction("Request")),
            (Body::EventAck(_), Role::Daemon, _) => Err(ProtocolError::Direction("EventAck")),
            (Body::Reply(_), Role::Guest, _) => Err(ProtocolError::Direction("Reply")),
            (Body::Event(_), Role::Guest, _) => Err(ProtocolError::Direction("Event")),
        }
    }

    fn hello(&mut self, hello: Hello) -> Result<Step, ProtocolError> {
        let ours = (self.hello.protocol_min, self.hello.protocol_max);
        let version = ours.1.min(hello.protocol_max);
        if version < ours.0 || version < hello.protocol_min {
            return Err(ProtocolError::Version {
                theirs_min: hello.protocol_min,
                theirs_max: hello.protocol_max,
                ours_min: ours.0,
                ours_max: ours.1,
            });
        }
        if self.role == Role::Guest {
            self.events.resume(hello.last_event)?;
        }
        self.connected = true;
        Ok(Step::Incoming(Incoming::Connected { hello, version }))
    }

    fn event(&mut self, event: Event) -> Result<Step, ProtocolError> {
        let (last, got) = (self.last_event, event.sequence);
        let first = std::mem::replace(&mut self.first_event, false);
        if got <= last && first {
            // Shown before, not yet acknowledged when the connection broke. The ones after it come in order again.
            self.first_event = true;
            return Ok(Step::More);
        }
        if got <= last || (!first && got != last + 1) {
            return Err(ProtocolError::EventOrder { last, got });
        }
        self.last_event = got;
        Ok(Step::Incoming(Incoming::Event(event)))
    }

    fn data(&mut self, header: &Header, bytes: Vec<u8>) -> Result<Step, ProtocolError> {
        let (stream, offset) = (header.stream, header.offset);
        let recv = self.recvs.get_mut(&stream).ok_or(ProtocolError::UnknownStream(stream))?;
        if recv.data(stream, offset, bytes.len())? {
            return Ok(Step::Incoming(Incoming::Data { stream, offset, bytes }));
        }
        Ok(Step::More)
    }

    fn credit(&mut self, header: &Header, payload: &[u8]) -> Result<Step, ProtocolError> {
        let word = |at: usize| payload[at..at + 8].iter().rev().fold(0u64, |acc, byte| acc << 8 | u64::from(*byte));
        let (stream, ack, next, limit) = (header.stream, header.offset, word(0), word(8));
        let Some(send) = self.sends.get_mut(&stream) else {
            if !header.flag {
                self.strange(stream, ack);
            }
            return Ok(Step::More);
        };
        match send.credit(stream, (ack, next, limit), header.flag)? {
            Credited::Nothing => Ok(Step::More),
            Credited::Room => Ok(Step::Incoming(Incoming::Writable { stream })),
            Credited::Finished => {
                self.sends.remove(&stream);
                Ok(Step::Incoming(Incoming::Finished { stream }))
            }
        }
    }

    fn closed(&mut self, header: &Header, reason: u8) -> Result<Step, ProtocolError> {
        let (stream, offset) = (header.stream, header.offset);
        let reason = match reason {
            0 => CloseReason::End,
            1 => CloseReason::Stop,
            2 => CloseReason::Unknown,
            3 => CloseReason::Failed,
            reason => return Err(ProtocolError::CloseReason { stream, reason }),
        };
        if reason == CloseReason::Stop {
            // It may have been finished while this was under way.
            let Some(send) = self.sends.get_mut(&stream) else { return Ok(Step::More) };
            send.stop();
            return Ok(Step::Incoming(Incoming::Stopped { stream }));
        }
        let Some(recv) = self.recvs.get_mut(&stream) else {
            return if reason == CloseReason::Unknown {
                Ok(Step::More)
            } else {
                Err(ProtocolError::UnknownStream(stream))
            };
        };
        if recv.close(stream, offset, reason)? {
            return Ok(Step::Incoming(Incoming::Ended { stream, length: recv.received, reason }));
        }
        Ok(Step::More)
    }
}

#[expect(clippy::large_enum_variant, reason = "returned, never stored")]
enum Step {
    /// A frame was handled and there is nothing to tell.
    More,
    /// Not a whole frame.
    Starved,
    Incoming(Incoming),
}
