//! A container's output on disk, in the form node agents and log shippers read (the CRI log format).
//!
//! ```text
//! 2026-01-02T03:04:05.000000006Z stdout F a whole line
//! 2026-01-02T03:04:05.000000007Z stderr P a piece of a line
//!
//! <dir>/web.log                    what is written now
//! <dir>/web.<out>-<err>.log        what was written before the last rotation; its name says where each stream stood then
//! <dir>/web.previous.log           the last file of the container's run before this one
//! <dir>/web.previous.old.log       what that run wrote before its last rotation
//! ```
//!
//! The file is the truth about what has arrived: the content of a stream's records, with a newline after each `F`, is the
//! stream, byte for byte. So a restarted daemon finds the offset from which the guest is to go on by reading the file,
//! and there is no second number that could disagree with it.

mod follow;
pub mod journald;
mod record;
mod segment;
mod writer;

pub use follow::{Follow, Since};
pub use record::{Entry, Stream, parse};
pub use writer::{Hub, LogError, LogWriter};

#[cfg(test)]
mod tests;
