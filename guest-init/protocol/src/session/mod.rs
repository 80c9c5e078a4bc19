//! One end of the channel, without I/O.
//!
//! ```text
//!            feed()                      output()/advance_output()
//!  transport ------> [frames -> checks] ...... [messages, credits, data] ------> transport
//!                     | next_event()            ^ request() reply() emit()
//!                     v                         | write() ack() close()
//!                          the guest or the daemon
//! ```
//!
//! **Connections.** The guest's session lives as long as the domain, the daemon's as long as the daemon. When the
//! transport was reset, a session that survives is told with [`Session::reconnect`]. Both ends begin with Hello; nothing
//! else is sent before the peer's came.
//!
//! **Streams** go one way each; their ids are chosen by the daemon and never used twice in a pod's life. The receiver
//! sends CREDIT(acknowledged, next, limit). On each connection a sender is silent about a stream until the receiver has
//! said where it stands, and continues from there: no byte is lost or doubled over a restart. A receiver that has
//! restarted opens the stream at what it has on disk; a sender that has restarted adopts what the receiver says.
//!
//! **Events** are numbered by the guest, sent again on each connection, and forgotten when acknowledged.
//!
//! **Order of sending.** Messages first, then credits and ends, then data, in turns of [`TURN`] bytes per stream, so one
//! busy or stuck stream delays nobody else by more than a turn of each.
//!
//! **Bounds.** One frame of input, one message being put together, [`send::WINDOW`] per sending stream,
//! [`MAX_STREAMS`] streams, [`MAX_REQUESTS`] open requests. The first error is final until `reconnect`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prost::Message as _;

use crate::error::{ProtocolError, SessionError};
use crate::message::{self, Envelope, Event, EventAck, Hello, Reply, Request, envelope, event::What, reply, request};
use crate::{PROTOCOL_MAX, PROTOCOL_MIN};

mod events;
mod incoming;
mod outgoing;
mod recv;
mod send;

pub use events::MAX_EVENTS;
pub use send::WINDOW;

use events::EventLog;
use recv::RecvStream;
use send::SendStream;

/// Most streams of one direction.
pub const MAX_STREAMS: usize = 1024;
/// Most requests without a reply.
pub const MAX_REQUESTS: usize = 1024;
/// Longest message to the guest, encoded. Files that are longer are sent in parts.
pub const MAX_MESSAGE_TO_GUEST: usize = 256 * 1024;
/// Longest message to the daemon. Small, as the guest is not trusted with dom0's memory.
pub const MAX_MESSAGE_TO_DAEMON: usize = 64 * 1024;
/// Bytes of one stream's turn.
pub const TURN: usize = 8 * 1024;
/// Output is made in portions of about this size.
const PORTION: usize = 32 * 1024;
/// A guest with this much unsent output takes no more requests.
const MAX_QUEUED: usize = 512 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Guest,
    Daemon,
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// The sender has sent everything.
    End = 0,
    /// The receiver wants no more.
    Stop = 1,
    /// The sender knows no such stream: never opened, or removed.
    Unknown = 2,
    /// The source failed before its end.
    Failed = 3,
}

/// Names a request to reply to. It is of one connection: a reply on a later one is dropped, as the daemon that asked is
/// gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestToken {
    id: u64,
    connection: u64,
}

/// What came in.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "handled one at a time, never stored in numbers")]
pub enum Incoming {
    /// The peer's Hello; from now on things are sent.
    Connected {
        /// What it says of itself.
        hello: Hello,
        /// The protocol version in use.
        version: u32,
    },
    /// Guest: a request. `None` is one of a newer protocol, to be refused as unsupported.
    Request {
        /// For [`Session::reply`].
        token: RequestToken,
        /// What is asked.
        op: Option<request::Op>,
    },
    /// Daemon: the reply to [`Session::request`]. `None` is a result of a newer protocol.
    Reply {
        /// The request's id.
        id: u64,
        /// What came of it.
        result: Option<reply::Result>,
    },
    /// Daemon: an event; call [`Session::ack_event`] when it is on disk. Repeated ones are not shown.
    Event(Event),
    /// Bytes of a stream we receive; call [`Session::ack`] when they are safe.
    Data {
        /// The stream.
        stream: u32,
        /// Of the first byte.
        offset: u64,
        /// The bytes; never empty.
        bytes: Vec<u8>,
    },
    /// A stream we receive has ended: all its bytes were shown, or will never come.
    Ended {
        /// The stream.
        stream: u32,
        /// Its length.
        length: u64,
        /// How.
        reason: CloseReason,
    },
    /// A stream we send has more room than before.
    Writable {
        /// The stream.
        stream: u32,
    },
    /// The receiver of a stream we send wants no more; what is written from now on is refused.
    Stopped {
        /// The stream.
        stream: u32,
    },
    /// All of a stream we sent, and its end, is the receiver's; the stream is forgotten.
    Finished {
        /// The stream.
        stream: u32,
    },
}

/// One end of the channel. See the module's text.
#[derive(Debug)]
pub struct Session {
    role: Role,
    hello: Hello,
    connection: u64,
    hello_sent: bool,
    connected: bool,
    failed: Option<ProtocolError>,

    input: Vec<u8>,
    input_at: usize,
    fragments: Vec<u8>,

    output: Vec<u8>,
    output_at: usize,
    /// Encoded messages that wait; of the first, `fragment_at` bytes are sent.
    messages: VecDeque<Vec<u8>>,
    fragment_at: usize,
    queued: usize,

    sends: BTreeMap<u32, SendStream>,
    recvs: BTreeMap<u32, RecvStream>,
    /// The stream whose turn was last.
    turn: u32,
    /// Credits came for these, which we do not know: stream and acknowledged offset.
    strangers: BTreeMap<u32, u64>,

    next_request: u64,
    open_requests: BTreeSet<u64>,
    /// Daemon: the last event shown.
    last_event: u64,
    /// Daemon: the next event is the first of this connection.
    first_event: bool,
    events: EventLog,
}

impl Session {
    /// The guest's end. `hello` says who we are; its protocol fields are filled in here.
    #[must_use]
    pub fn guest(hello: Hello) -> Self {
        Self::new(Role::Guest, hello)
    }

    /// The daemon's end. `last_event` is the sequence number of the last event on disk, 0 for none.
    #[must_use]
    pub fn daemon(hello: Hello, last_event: u64) -> Self {
        let mut session = Self::new(Role::Daemon, hello);
        session.last_event = last_event;
        session.hello.last_event = last_event;
        session
    }

    fn new(role: Role, mut hello: Hello) -> Self {
        hello.protocol_min = PROTOCOL_MIN;
        hello.protocol_max = PROTOCOL_MAX;
        Self {
            role,
            hello,
            connection: 0,
            hello_sent: false,
            connected: false,
            failed: None,
            input: Vec::new(),
            input_at: 0,
            fragments: Vec::new(),
            output: Vec::new(),
            output_at: 0,
            messages: VecDeque::new(),
            fragment_at: 0,
            queued: 0,
            sends: BTreeMap::new(),
            recvs: BTreeMap::new(),
            turn: 0,
            strangers: BTreeMap::new(),
            next_request: 0,
            open_requests: BTreeSet::new(),
            last_event: 0,
            first_event: true,
            events: EventLog::default(),
        }
    }

    /// What our next Hello says, for the guest to keep `configured` and `uptime_ns` true.
    pub fn hello_mut(&mut self) -> &mut Hello {
        &mut self.hello
    }

    /// Both Hellos were exchanged on this connection.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.connected
    }

    /// The transport was reset: what was half sent or half received is void. Streams and events stay. Requests that were
    /// open will not be answered; their ids are returned.
    pub fn reconnect(&mut self) -> Vec<u64> {
        self.connection += 1;
        self.hello_sent = false;
        self.connected = false;
        self.failed = None;
        self.input = Vec::new();
        self.input_at = 0;
        self.fragments = Vec::new();
        self.output = Vec::new();
        self.output_at = 0;
        self.messages.clear();
        self.fragment_at = 0;
        self.queued = 0;
        self.strangers.clear();
        self.first_event = true;
        self.sends.values_mut().for_each(SendStream::rewind);
        self.recvs.values_mut().for_each(RecvStream::restate);
        std::mem::take(&mut self.open_requests).into_iter().collect()
    }

    /// Daemon: sends a request; the reply comes with the id that is returned.
    ///
    /// # Errors
    /// Too long, or too many are open.
    pub fn request(&mut self, op: request::Op) -> Result<u64, SessionError> {
        self.must_be(Role::Daemon, "a request")?;
        if self.open_requests.len() >= MAX_REQUESTS {
            return Err(SessionError::Full);
        }
        let id = self.next_request + 1;
        self.enqueue(envelope::Body::Request(Request { id, op: Some(op) }))?;
        self.next_request = id;
        self.open_requests.insert(id);
        Ok(id)
    }

    /// Guest: answers a request. A token of an earlier connection is accepted and nothing is sent.
    ///
    /// # Errors
    /// The reply is too long.
    pub fn reply(&mut self, token: RequestToken, result: reply::Result) -> Result<(), SessionError> {
        self.must_be(Role::Guest, "a reply")?;
        if token.connection != self.connection {
            return Ok(());
        }
        self.enqueue(envelope::Body::Reply(Reply { id: token.id, result: Some(result) }))
    }

    /// Guest: reports something; returns its number. It is kept until the daemon has it on disk.
    ///
    /// # Errors
    /// [`SessionError::Full`] for a log line when [`MAX_EVENTS`] wait; everything else is always taken, so refuse new
    /// work while [`Session::events_full`].
    pub fn emit(&mut self, time_ns: u64, what: What) -> Result<u64, SessionError> {
        self.must_be(Role::Guest, "an event")?;
        if self.events.full() && matches!(what, What::Log(_)) {
            return Err(SessionError::Full);
        }
        Ok(self.events.push(time_ns, what))
    }

    /// Guest: [`MAX_EVENTS`] or more events wait for their acknowledgement.
    #[must_use]
    pub fn events_full(&self) -> bool {
        self.events.full()
    }

    /// Guest: number of events that wait for their acknowledgement.
    #[must_use]
    pub fn events_waiting(&self) -> usize {
        self.events.waiting()
    }

    /// Daemon: all events up to `sequence` are on disk.
    ///
    /// # Errors
    /// Not called by the daemon.
    pub fn ack_event(&mut self, sequence: u64) -> Result<(), SessionError> {
        self.must_be(Role::Daemon, "an acknowledgement of events")?;
        if sequence > self.hello.last_event {
            self.hello.last_event = sequence;
            if self.connected {
                return self.enqueue(envelope::Body::EventAck(EventAck { sequence }));
            }
        }
        Ok(())
    }

    /// Opens a stream to send on, from offset 0.
    ///
    /// # Errors
    /// The id is 0 or taken, or there are too many.
    pub fn open_send(&mut self, stream: u32) -> Result<(), SessionError> {
        self.insert_send(stream, false)
    }

    /// Opens a stream to send on that an earlier process has begun: the offset is what the receiver says. There is no
    /// room to write before [`Incoming::Writable`].
    ///
    /// # Errors
    /// The id is 0 or taken, or there are too many.
    pub fn adopt_send(&mut self, stream: u32) -> Result<(), SessionError> {
        self.insert_send(stream, true)
    }

    fn insert_send(&mut self, stream: u32, adopt: bool) -> Result<(), SessionError> {
        Self::can_open(stream, &self.sends)?;
        self.sends.insert(stream, SendStream::new(adopt));
        Ok(())
    }

    /// Opens a stream to receive, from `offset`: 0, or what is safe already from before a restart. Open it before the
    /// request that makes the peer send.
    ///
    /// # Errors
    /// The id is 0 or taken, or there are too many.
    pub fn open_recv(&mut self, stream: u32, offset: u64) -> Result<(), SessionError> {
        Self::can_open(stream, &self.recvs)?;
        self.recvs.insert(stream, RecvStream::new(offset));
        Ok(())
    }

    fn can_open<T>(stream: u32, streams: &BTreeMap<u32, T>) -> Result<(), SessionError> {
        match stream {
            0 => Err(SessionError::StreamZero),
            _ if streams.contains_key(&stream) => Err(SessionError::StreamExists(stream)),
            _ if streams.len() >= MAX_STREAMS => Err(SessionError::TooManyStreams(MAX_STREAMS)),
            _ => Ok(()),
        }
    }

    /// How many bytes [`Session::write`] would take; 0 for a stream that is closed or not open.
    #[must_use]
    pub fn room(&self, stream: u32) -> usize {
        self.sends.get(&stream).map_or(0, SendStream::room)
    }

    /// Offset of the next byte to [`Session::write`]; `None` when the stream is not open, or adopted and the receiver has
    /// not said yet where it stands.
    #[must_use]
    pub fn send_offset(&self, stream: u32) -> Option<u64> {
        self.sends.get(&stream).and_then(SendStream::position)
    }

    /// Takes as many bytes as there is room for; returns how many.
    ///
    /// # Errors
    /// The stream is not open.
    pub fn write(&mut self, stream: u32, bytes: &[u8]) -> Result<usize, SessionError> {
        Ok(self.sends.get_mut(&stream).ok_or(SessionError::NoStream(stream))?.write(bytes))
    }

    /// Ends a stream we send; what was written is still delivered. Closing twice is nothing.
    ///
    /// # Errors
    /// The stream is not open.
    pub fn close(&mut self, stream: u32, reason: CloseReason) -> Result<(), SessionError> {
        self.sends.get_mut(&stream).ok_or(SessionError::NoStream(stream))?.close(reason);
        Ok(())
    }

    /// Forgets a stream we send, with what it holds. A receiver that asks for it later is told that it is unknown.
    pub fn drop_send(&mut self, stream: u32) {
        if let Some(send) = self.sends.remove(&stream) {
            drop(send);
            self.strange(stream, 0);
        }
    }

    /// Everything of the stream before `offset` is safe; the sender forgets it and may send more.
    ///
    /// # Errors
    /// The stream is not open, or that much has not come.
    pub fn ack(&mut self, stream: u32, offset: u64) -> Result<(), SessionError> {
        let recv = self.recvs.get_mut(&stream).ok_or(SessionError::NoStream(stream))?;
        if offset > recv.received {
            return Err(SessionError::AckBeyond { stream, offset, received: recv.received });
        }
        recv.ack(offset);
        Ok(())
    }

    /// The rest of a stream is not wanted: the sender is asked to stop, what comes is dropped. Nothing more is shown.
    ///
    /// # Errors
    /// The stream is not open.
    pub fn discard(&mut self, stream: u32) -> Result<(), SessionError> {
        self.recvs.get_mut(&stream).ok_or(SessionError::NoStream(stream))?.discard();
        Ok(())
    }

    fn must_be(&self, role: Role, what: &'static str) -> Result<(), SessionError> {
        if self.role == role { Ok(()) } else { Err(SessionError::Role(what)) }
    }

    /// Longest message that may be sent from here.
    fn longest(&self) -> usize {
        match self.role {
            Role::Guest => MAX_MESSAGE_TO_DAEMON,
            Role::Daemon => MAX_MESSAGE_TO_GUEST,
        }
    }

    fn enqueue(&mut self, body: envelope::Body) -> Result<(), SessionError> {
        let bytes = Envelope { body: Some(body) }.encode_to_vec();
        let (length, limit) = (bytes.len(), self.longest());
        if length > limit {
            return Err(SessionError::MessageTooLong { length, limit });
        }
        self.queued += length;
        self.messages.push_back(bytes);
        Ok(())
    }

    fn strange(&mut self, stream: u32, ack: u64) {
        if self.strangers.len() < MAX_STREAMS {
            self.strangers.insert(stream, ack);
        }
    }
}

/// An [`message::Error`] as a result.
impl From<message::Error> for reply::Result {
    fn from(error: message::Error) -> Self {
        Self::Error(error)
    }
}

#[cfg(test)]
mod tests;
