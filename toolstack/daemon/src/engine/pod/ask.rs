//! What can be asked of a pod's task.

use tokio::sync::oneshot;

use super::super::contents::Contents;
use super::super::describe::DescribeRequest;
use super::super::exec::ExecRequest;
use super::super::failure::Failure;
use super::super::jobs::Job;
use super::super::reconcile::End;
use super::super::resize::SizeRequest;
use super::super::streams::{AttachRequest, ForwardRequest, ResizeRequest};
use super::super::transition::Verb;
use super::{ContainerAsk, LimitRequest};

/// A request to a pod's task.
#[derive(Debug)]
pub enum Ask {
    /// Build it; the first request of a new pod.
    Create {
        /// Boot it too.
        start: bool,
        /// What was given beside the manifest.
        contents: Contents,
        /// True: its first record is on disk. False: that failed.
        recorded: oneshot::Receiver<bool>,
        /// The job to end.
        job: Job,
    },
    /// Boot it.
    Start {
        /// What is given beside the manifest this time.
        contents: Contents,
        /// The job to end.
        job: Job,
    },
    /// End it in order.
    Stop {
        /// Seconds between the stop signal and the kill; the manifest's when not given.
        grace_seconds: Option<u32>,
        /// The job to end.
        job: Job,
    },
    /// Remove it.
    Remove {
        /// Whatever it does.
        force: bool,
        /// The job to end.
        job: Job,
    },
    /// Stop its vCPUs.
    Pause(oneshot::Sender<Result<(), Failure>>),
    /// Let them go on.
    Resume(oneshot::Sender<Result<(), Failure>>),
    /// Run a command.
    Exec(ExecRequest),
    /// Something about one container.
    Container(ContainerAsk),
    /// Write to a container's standard input.
    Attach(AttachRequest),
    /// Give a container's terminal a size.
    ResizeTerminal(ResizeRequest),
    /// Connect to a port.
    Forward(ForwardRequest),
    /// Give it another size.
    Resize(SizeRequest),
    /// Change a container's limits.
    Limit(LimitRequest),
    /// Change what is said of it.
    Describe(DescribeRequest),
    /// Connect to the guest again: the first request of a pod that was found running.
    Reattach(oneshot::Sender<()>),
    /// Give back what it may hold: the first request of a pod that was found not running.
    Settle {
        /// How it is to end up.
        end: End,
        /// Told when that is done.
        done: oneshot::Sender<()>,
    },
}

impl Ask {
    /// What it is, for the judge; `None` is for the engine's own.
    pub(super) fn verb(&self) -> Option<Verb> {
        Some(match self {
            Self::Create { .. } | Self::Reattach(_) | Self::Settle { .. } => return None,
            Self::Start { .. } => Verb::Start,
            Self::Stop { .. } => Verb::Stop,
            Self::Remove { force: false, .. } => Verb::Remove,
            Self::Remove { force: true, .. } => Verb::ForceRemove,
            Self::Pause(_) => Verb::Pause,
            Self::Resume(_) => Verb::Resume,
            Self::Exec(_) => Verb::Exec,
            Self::Container(ask) => ask.verb(),
            Self::Attach(_) | Self::ResizeTerminal(_) => Verb::Attach,
            Self::Forward(_) => Verb::Forward,
            Self::Resize(_) => Verb::Resize,
            Self::Limit(_) => Verb::Resize,
            Self::Describe(_) => Verb::Describe,
        })
    }

    /// The job that it is, if it is one.
    pub(super) fn job(&self) -> Option<&Job> {
        match self {
            Self::Create { job, .. } | Self::Start { job, .. } | Self::Stop { job, .. } | Self::Remove { job, .. } => {
                Some(job)
            }
            Self::Container(ask) => ask.job(),
            _ => None,
        }
    }

    pub(super) fn answer(self, result: Result<(), Failure>) {
        match self {
            Self::Create { job, .. } | Self::Start { job, .. } | Self::Stop { job, .. } | Self::Remove { job, .. } => {
                job.end(&result);
            }
            Self::Pause(answer) | Self::Resume(answer) => {
                let _ = answer.send(result);
            }
            Self::Exec(request) => {
                if let Err(e) = result {
                    request.refuse(e);
                }
            }
            Self::Container(ask) => ask.answer(result),
            Self::Attach(AttachRequest { answer, .. }) => drop(result.map_err(|e| answer.send(Err(e)))),
            Self::ResizeTerminal(ResizeRequest { answer, .. }) => drop(answer.send(result)),
            Self::Forward(ForwardRequest { answer, .. }) => drop(result.map_err(|e| answer.send(Err(e)))),
            Self::Resize(request) => request.job.end(&result),
            Self::Limit(request) => drop(request.answer.send(result)),
            Self::Describe(request) => drop(request.answer.send(result)),
            Self::Reattach(done) | Self::Settle { done, .. } => drop(done),
        }
    }
}
