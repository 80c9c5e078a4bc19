//! The daemon's end of the channel to a guest.
//!
//! ```text
//!   engine --Command--> [ link task: protocol::Session ] <--bytes--> vchan
//!          <--Event----        |            ^
//!                         log files     pipes of exec
//! ```
//!
//! One task a pod. It owns the session and the transport; everything else talks to it through a [`Guest`]. Output goes from
//! the ring to the log file in this task and is then acknowledged, so a full disk or a stuck reader holds back the one
//! container it concerns, as a pipe would.

mod figures;
mod link;
mod sinks;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use xenpod_protocol::message::{self, reply, request};

use crate::logs::{LogWriter, Stream};
pub use figures::Figures;

/// What carries the bytes.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// A container's log, shared by the link that writes it and the engine that begins it anew.
pub type SharedLog = Arc<Mutex<LogWriter>>;

/// Why a guest did not do what it was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum GuestError {
    /// It said no, and why.
    #[error("{}", .0.message)]
    Refused(message::Error),
    /// The channel ended before the answer.
    #[error("the guest's channel ended: {0}")]
    Lost(String),
    /// The answer did not come.
    #[error("the guest did not answer {what} within {} s", .after.as_secs())]
    Timeout {
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The answer was one to another question.
    #[error("the guest's answer to {0} makes no sense")]
    Nonsense(&'static str),
}

/// What comes from the guest.
#[derive(Debug)]
pub enum FromGuest {
    /// Its Hello: from now on it can be asked.
    Up {
        /// What it says of itself.
        hello: message::Hello,
    },
    /// Something happened. All output of a container stands in its log before its exit is told.
    /// Answer with [`Guest::ack_event`] when it is on disk.
    Event(message::Event),
    /// The channel is gone; nothing more comes.
    Lost {
        /// Why: one line.
        why: String,
    },
}

/// A stream of the guest's output that goes to a log.
#[derive(Clone, Debug)]
pub struct LogSink {
    /// The stream's id.
    pub id: u32,
    /// The container whose it is.
    pub container: String,
    /// Which of its streams.
    pub which: Stream,
    /// Where it goes.
    pub log: SharedLog,
}

/// Where a stream of the guest goes that a request makes.
#[derive(Debug)]
pub enum Output {
    /// To a log.
    Log(LogSink),
    /// To a pipe.
    Pipe {
        /// The stream's id.
        id: u32,
        /// The end to write to.
        pipe: OwnedFd,
    },
    /// To a socket.
    Socket {
        /// The stream's id.
        id: u32,
        /// The half to write to.
        socket: OwnedWriteHalf,
    },
}

#[expect(clippy::large_enum_variant, reason = "handled one at a time, never stored in numbers")]
pub(crate) enum Command {
    Request { op: request::Op, outputs: Vec<Output>, answer: oneshot::Sender<Result<reply::Result, GuestError>> },
    Resume(LogSink),
    ResumeInput { id: u32 },
    OpenInput { id: u32, from: sinks::From },
    AttachInput { id: u32, pipe: OwnedFd, ends: bool, answer: oneshot::Sender<bool> },
    KeepInput { id: u32 },
    ForgetInput { id: u32 },
    PipeWritten { id: u32, offset: u64 },
    PipeClosed { id: u32 },
    Input { id: u32, bytes: Vec<u8>, taken: oneshot::Sender<()> },
    InputEnded { id: u32 },
    AckEvent(u64),
    Close,
}

/// A handle to a guest's link. The link ends when it is closed, or the last handle is dropped.
#[derive(Clone, Debug)]
pub struct Guest {
    commands: mpsc::UnboundedSender<Command>,
}

impl Guest {
    /// Starts a link over `transport`. `last_event` is the last event on disk. Logs given here go on where they end, and so
    /// do containers' standard inputs, by their streams.
    #[must_use]
    pub fn start(
        transport: Box<dyn Transport>,
        last_event: u64,
        logs: Vec<LogSink>,
        inputs: Vec<u32>,
    ) -> (Self, mpsc::UnboundedReceiver<FromGuest>) {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (out, events) = mpsc::unbounded_channel();
        let link = link::Link::new(transport, last_event, commands.downgrade(), out);
        for sink in logs {
            // The inbox was made above and is not closed.
            let _ = commands.send(Command::Resume(sink));
        }
        for id in inputs {
            let _ = commands.send(Command::ResumeInput { id });
        }
        tokio::spawn(link.run(inbox));
        (Self { commands }, events)
    }

    /// Sends a request at once; the answer comes later. Requests are handled in the order of these calls.
    pub fn send(&self, what: &'static str, op: request::Op) -> Answer {
        self.send_with(what, op, Vec::new())
    }

    /// The same, for a request that makes streams of output. They are opened when the guest has them, that is when it has
    /// answered: it would say of a stream asked for earlier that it knows no such.
    pub fn send_with(&self, what: &'static str, op: request::Op, outputs: Vec<Output>) -> Answer {
        let (answer, result) = oneshot::channel();
        let _ = self.commands.send(Command::Request { op, outputs, answer });
        Answer { what, result }
    }

    /// A pipe's bytes go to the guest, to the pipe's end. Call before the request that makes the guest read them.
    pub fn open_input(&self, id: u32, pipe: OwnedFd) {
        let _ = self.commands.send(Command::OpenInput { id, from: sinks::From::Pipe(pipe) });
    }

    /// The same for a socket: what its other end sends.
    pub fn open_socket_input(&self, id: u32, socket: OwnedReadHalf) {
        let _ = self.commands.send(Command::OpenInput { id, from: sinks::From::Socket(socket) });
    }

    /// A pipe's bytes go to a container's standard input, beside what others write. `ends`: it ends with the pipe. False: it
    /// is closed.
    pub async fn attach_input(&self, id: u32, pipe: OwnedFd, ends: bool) -> bool {
        let (answer, attached) = oneshot::channel();
        let _ = self.commands.send(Command::AttachInput { id, pipe, ends, answer });
        attached.await.unwrap_or(false)
    }

    /// The end of what is written to a stream from here is not to be its end.
    pub fn keep_input(&self, id: u32) {
        let _ = self.commands.send(Command::KeepInput { id });
    }

    /// The guest reads a stream no more.
    pub fn forget_input(&self, id: u32) {
        let _ = self.commands.send(Command::ForgetInput { id });
    }

    /// Ends the link, whoever else has a handle. The domain cannot go while its ring is mapped here.
    pub fn close(&self) {
        let _ = self.commands.send(Command::Close);
    }

    /// Every event up to this one is on disk.
    pub fn ack_event(&self, sequence: u64) {
        let _ = self.commands.send(Command::AckEvent(sequence));
    }
}

/// An answer that is on its way.
#[derive(Debug)]
pub struct Answer {
    what: &'static str,
    result: oneshot::Receiver<Result<reply::Result, GuestError>>,
}

impl Answer {
    /// Waits for it.
    ///
    /// # Errors
    /// See [`GuestError`].
    pub async fn within(self, time: Duration) -> Result<reply::Result, GuestError> {
        match tokio::time::timeout(time, self.result).await {
            Ok(Ok(Ok(reply::Result::Error(error)))) => Err(GuestError::Refused(error)),
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(GuestError::Lost("it is closed".into())),
            Err(_) => Err(GuestError::Timeout { what: self.what, after: time }),
        }
    }

    /// Waits for a plain "done".
    ///
    /// # Errors
    /// See [`GuestError`].
    pub async fn done(self, time: Duration) -> Result<(), GuestError> {
        let what = self.what;
        match self.within(time).await? {
            reply::Result::Done(_) => Ok(()),
            _ => Err(GuestError::Nonsense(what)),
        }
    }

    /// Waits for a process id.
    ///
    /// # Errors
    /// See [`GuestError`].
    pub async fn started(self, time: Duration) -> Result<u32, GuestError> {
        let what = self.what;
        match self.within(time).await? {
            reply::Result::Started(started) => Ok(started.pid),
            _ => Err(GuestError::Nonsense(what)),
        }
    }
}

#[cfg(test)]
mod tests;
