//! Commands that are run in a container, besides its own.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use xenpod_api::ids::PodId;
use xenpod_api::state::ExitReason;
use xenpod_protocol::message::{self, request::Op};

use super::failure::Failure;
pub use super::process::ExecSpec;
use super::{Change, exit_meaning};
use crate::guest::{Guest, GuestError};

/// How long an ended command can still be looked at.
pub const LINGER: Duration = Duration::from_secs(30);

/// A request to run a command.
#[derive(Debug)]
pub struct ExecRequest {
    /// In which container.
    pub container: String,
    /// Who asks.
    pub by_uid: u32,
    /// What.
    pub spec: ExecSpec,
    /// The command, and the client's ends of its stdin, stdout and stderr.
    pub answer: oneshot::Sender<Result<Running, Failure>>,
}

impl ExecRequest {
    pub(super) fn refuse(self, failure: Failure) {
        let _ = self.answer.send(Err(failure));
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    /// It.
    pub exec: Arc<Exec>,
    /// The client's ends: where to write its input, where to read its output and its errors.
    pub pipes: [OwnedFd; 3],
}

/// How a command is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecStatus {
    /// What it ended with, once it has.
    pub ended: Option<(i32, ExitReason)>,
}

/// A command in a container.
#[derive(Debug)]
pub struct Exec {
    /// Its number in the pod.
    pub number: u32,
    /// Its pod.
    pub pod: PodId,
    /// Its container.
    pub container: String,
    /// Who asked for it.
    pub owner_uid: u32,
    /// What was asked for.
    pub command: Vec<String>,
    guest: Guest,
    /// The stream of its standard input, or 0.
    stdin: u32,
    status: watch::Sender<ExecStatus>,
    changes: mpsc::UnboundedSender<Change>,
}

impl Exec {
    pub(super) fn new(
        (pod, number): (PodId, u32),
        request: &ExecRequest,
        (guest, stdin): (Guest, u32),
        changes: mpsc::UnboundedSender<Change>,
    ) -> Self {
        Self {
            number,
            pod,
            container: request.container.clone(),
            owner_uid: request.by_uid,
            command: request.spec.command.clone(),
            guest,
            stdin,
            status: watch::Sender::default(),
            changes,
        }
    }

    /// As it is now.
    #[must_use]
    pub fn status(&self) -> ExecStatus {
        self.status.borrow().clone()
    }

    /// Returns when it has ended: its exit code, and why.
    pub async fn wait(&self) -> (i32, ExitReason) {
        let mut status = self.status.subscribe();
        let ended = status.wait_for(|s| s.ended.is_some()).await.ok().and_then(|s| s.ended);
        ended.unwrap_or((128 + 9, ExitReason::Error))
    }

    /// Sets its terminal's size.
    ///
    /// # Errors
    /// What the guest says.
    pub async fn resize(&self, rows: u32, columns: u32, within: Duration) -> Result<(), GuestError> {
        let of = Some(message::resize_tty::Of::Exec(id(self.number)));
        let op = Op::ResizeTty(message::ResizeTty { of, size: Some(message::Tty { rows, columns }) });
        self.guest.send("to resize a terminal", op).done(within).await
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// What the guest says.
    pub async fn signal(&self, signal: u32, within: Duration) -> Result<(), GuestError> {
        let op = Op::SignalExec(message::SignalExec { id: id(self.number), signal });
        self.guest.send("to signal a command", op).done(within).await
    }

    /// It goes on without those who hold its pipes: their end is not the end of its input.
    pub fn detach(&self) {
        self.guest.keep_input(self.stdin);
    }

    pub(super) fn ended(&self, exit: &message::Exit) {
        let (code, _, reason) = exit_meaning(exit);
        self.end(code, reason);
    }

    /// Its domain is gone, and it with it.
    pub(super) fn lost(&self) {
        self.end(128 + 9, ExitReason::Error);
    }

    fn end(&self, code: i32, reason: ExitReason) {
        let news = self.status.send_if_modified(|s| {
            let news = s.ended.is_none();
            s.ended.get_or_insert((code, reason));
            news
        });
        if news {
            let _ = self.changes.send(Change::Exec(self.pod, self.number));
        }
    }
}

/// Its name in the guest.
pub(super) fn id(number: u32) -> String {
    format!("exec-{number}")
}

/// The number in an id that [`id`] made.
pub(super) fn number(id: &str) -> Option<u32> {
    id.strip_prefix("exec-")?.parse().ok()
}

pub(super) struct Pipes {
    pub(super) ours: [Option<OwnedFd>; 3],
    pub(super) theirs: [OwnedFd; 3],
}

/// A pipe for each stream that is connected; `/dev/null` for the others.
pub(super) fn pipes(stdin: bool, stderr: bool) -> std::io::Result<Pipes> {
    let null = || -> std::io::Result<OwnedFd> {
        Ok(std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?.into())
    };
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC);
    let (out_read, out_write) = pipe()?;
    let (in_read, in_write) = if stdin { pipe().map(|(r, w)| (Some(r), w))? } else { (None, null()?) };
    let (err_read, err_write) = if stderr { pipe().map(|(r, w)| (r, Some(w)))? } else { (null()?, None) };
    Ok(Pipes { ours: [in_read, Some(out_write), err_write], theirs: [in_write, out_read, err_read] })
}
