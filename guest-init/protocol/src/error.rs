//! What can be wrong with a peer, and with a call.

/// The peer broke the protocol. The connection is of no use any more; the process goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A frame of a kind that does not exist.
    #[error("frame of unknown kind {0:#04x}")]
    FrameKind(u8),
    /// Flag bits that do not exist, or reserved bytes that are not zero.
    #[error("frame of kind {kind:#04x} with reserved bits set")]
    FrameFlags {
        /// The frame's kind.
        kind: u8,
    },
    /// A payload longer or shorter than its kind allows.
    #[error("frame of kind {kind:#04x} with a payload of {length} bytes")]
    FrameLength {
        /// The frame's kind.
        kind: u8,
        /// What its header says.
        length: u32,
    },
    /// A frame other than Hello before Hello, or a second Hello.
    #[error("{0} out of place: Hello comes first, and once")]
    Order(&'static str),
    /// The two version ranges do not meet.
    #[error("peer speaks protocol {theirs_min} to {theirs_max}, we speak {ours_min} to {ours_max}")]
    Version {
        /// Peer's lowest.
        theirs_min: u32,
        /// Peer's highest.
        theirs_max: u32,
        /// Our lowest.
        ours_min: u32,
        /// Our highest.
        ours_max: u32,
    },
    /// A message longer than allowed, in all its fragments.
    #[error("message longer than {0} bytes")]
    MessageTooLong(usize),
    /// A message that is not protobuf.
    #[error("message does not decode: {0}")]
    Decode(String),
    /// A kind of message that this end never receives.
    #[error("unexpected {0} message")]
    Direction(&'static str),
    /// A reply to nothing.
    #[error("reply to request {0}, which is not open")]
    UnknownReply(u64),
    /// Events that are not numbered one after the other.
    #[error("event {got} follows event {last}")]
    EventOrder {
        /// The last one seen.
        last: u64,
        /// The one that came.
        got: u64,
    },
    /// Acknowledgement of an event that was not sent.
    #[error("event {0} acknowledged before it was sent")]
    EventAck(u64),
    /// Data for a stream that is not open.
    #[error("data for stream {0}, which is not open")]
    UnknownStream(u32),
    /// Data that does not follow what came before.
    #[error("stream {stream}: data or end at offset {got}, expected {expected}")]
    OffsetGap {
        /// The stream.
        stream: u32,
        /// Where it stands.
        expected: u64,
        /// What came.
        got: u64,
    },
    /// More data than was allowed.
    #[error("stream {stream}: data up to {end}, credit ends at {limit}")]
    CreditOverrun {
        /// The stream.
        stream: u32,
        /// End of the data.
        end: u64,
        /// What was granted.
        limit: u64,
    },
    /// A credit that takes back, or acknowledges what was not sent.
    #[error("stream {stream}: impossible credit (acknowledged {ack}, next {next}, limit {limit})")]
    BadCredit {
        /// The stream.
        stream: u32,
        /// Everything before this is safe.
        ack: u64,
        /// Everything before this has arrived.
        next: u64,
        /// May be sent up to here.
        limit: u64,
    },
    /// Data after the end.
    #[error("stream {0}: data after its end")]
    AfterEnd(u32),
    /// An unknown reason in a CLOSE.
    #[error("stream {stream}: closed with unknown reason {reason}")]
    CloseReason {
        /// The stream.
        stream: u32,
        /// What came.
        reason: u8,
    },
}

/// A call on a [`Session`](crate::Session) that cannot be done. The session is unharmed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Stream ids are chosen once and never used again in a pod's life.
    #[error("stream {0} is already open")]
    StreamExists(u32),
    /// Closed, finished, or never opened.
    #[error("stream {0} is not open")]
    NoStream(u32),
    /// 0 means "no stream" in messages.
    #[error("0 is not a stream id")]
    StreamZero,
    /// More than [`MAX_STREAMS`](crate::session::MAX_STREAMS).
    #[error("too many streams (limit {0})")]
    TooManyStreams(usize),
    /// Acknowledgement beyond what has arrived.
    #[error("stream {stream}: offset {offset} acknowledged, {received} received")]
    AckBeyond {
        /// The stream.
        stream: u32,
        /// What was acknowledged.
        offset: u64,
        /// What has arrived.
        received: u64,
    },
    /// Longer than the peer accepts.
    #[error("message of {length} bytes; the limit is {limit}")]
    MessageTooLong {
        /// Its encoded length.
        length: usize,
        /// What the peer takes.
        limit: usize,
    },
    /// Too many requests wait for their reply, or too many events for their acknowledgement.
    #[error("too many messages are waiting; try again when some are answered")]
    Full,
    /// The wrong end of the channel for that call.
    #[error("{0} is not for this end of the channel")]
    Role(&'static str),
}
