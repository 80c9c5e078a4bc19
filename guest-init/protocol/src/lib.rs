//! The channel between the daemon and a pod's domain: frames, streams and messages.
//!
//! No I/O here. A [`Session`] is fed the bytes that came and asked for the bytes to send, so the same code runs over a
//! vchan in PID 1, under the daemon's executor, and over two vectors in a test.
//!
//! - [`frame`]: what is on the wire.
//! - [`message`]: the requests, replies and events (`xenpod-guest.proto`).
//! - [`session`]: connections, streams, credits, and what survives a restart of the daemon.

pub mod error;
mod expand;
pub mod frame;
pub mod message {
    //! The messages, made from `xenpod-guest.proto`.
    #![allow(missing_docs, clippy::all)]
    include!("generated.rs");
}
pub mod session;

pub use error::{ProtocolError, SessionError};
pub use expand::expand;
pub use session::{CloseReason, Incoming, RequestToken, Session};

/// Lowest protocol version this crate speaks.
pub const PROTOCOL_MIN: u32 = 1;
/// Highest protocol version this crate speaks.
pub const PROTOCOL_MAX: u32 = 1;
