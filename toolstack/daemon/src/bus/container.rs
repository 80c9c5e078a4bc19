//! Methods of `org.xenpod1.Container`.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;
use xenpod_api::error::ErrorName;
use xenpod_api::state::ContainerState;
use zbus::message::{Body, Header};

use super::Service;
use super::access::{Action, check};
use super::caller::Caller;
use super::error::BusError;
use super::object::exec_path;
use super::options::Options;
use super::pod::answered;
use super::properties::{job_object, path};
use super::reply::Reply;
use crate::engine::exec::{ExecRequest, ExecSpec};
use crate::engine::jobs::{Job, JobKind};
use crate::engine::pod::{Ask, ContainerAsk};
use crate::engine::{Failure, PodHandle, PodStatus};
use crate::logs::{Follow, Hub, Since, Stream};

/// Does what `member` says.
pub(super) async fn call(
    service: &Arc<Service>,
    caller: &Caller,
    header: &Header<'_>,
    pod: &PodHandle,
    name: &str,
    member: &str,
    body: &Body,
) -> Result<Reply, BusError> {
    let may = async |verb| check(service, caller, header, Action::ManagePods, verb, &pod.name).await;
    let begin = |kind, ask: &dyn Fn(String, Job) -> ContainerAsk| -> Result<Reply, BusError> {
        let job = service.engine.ask(pod, caller.uid, kind, |job| Ask::Container(ask(name.into(), job)))?;
        job.add_object(pod.id.container_path(name));
        Reply::with(job_object(job.id())?)
    };
    match member {
        "Logs" => {
            let mut options = Options::new(body.deserialize()?);
            let wanted = Wanted {
                follow: options.flag("follow")?,
                timestamps: options.flag("timestamps")?,
                since: match (options.take::<u64>("tail", "t")?, options.take::<u64>("since", "t")?) {
                    (None, None) => Since::Start,
                    (Some(lines), None) => Since::Tail(lines),
                    (None, Some(usec)) => Since::Time(usec.saturating_mul(1000)),
                    (Some(_), Some(_)) => return Err(BusError::invalid("options tail and since exclude each other")),
                },
            };
            options.end()?;
            check(service, caller, header, Action::EnterPods, "logs", &pod.name).await?;
            logs(pod, name, wanted)
        }
        "Exec" => {
            let (command, given): (Vec<String>, _) = body.deserialize()?;
            let mut options = Options::new(given);
            let tty = options.flag("tty")?;
            let rows = options.take::<u32>("rows", "u")?.unwrap_or(24);
            let columns = options.take::<u32>("cols", "u")?.unwrap_or(80);
            let spec = ExecSpec {
                command,
                tty: tty.then_some((rows, columns)),
                stdin: options.flag("stdin")?,
                env: options.take::<Vec<String>>("env", "as")?.unwrap_or_default(),
                cwd: options.take::<String>("cwd", "s")?,
                user: options.take::<String>("user", "s")?,
            };
            options.end()?;
            if spec.command.is_empty() {
                return Err(BusError::invalid("command is empty; name a program"));
            }
            if let Some(bad) = spec.env.iter().find(|e| !e.contains('=') || e.starts_with('=')) {
                return Err(BusError::invalid(format!("option env: {bad:?} is not NAME=value")));
            }
            check(service, caller, header, Action::EnterPods, "exec", &pod.name).await?;
            let (answer, answered) = oneshot::channel();
            pod.ask(Ask::Exec(ExecRequest { container: name.into(), by_uid: caller.uid, spec, answer }));
            let running = answered.await.map_err(|_| Failure::Removed(pod.name.to_string()))??;
            let object = path(exec_path(&running.exec)).unwrap_or_default();
            let [stdin, stdout, stderr] = running.pipes.map(zbus::OwnedFd::from);
            Reply::with((object, stdin, stdout, stderr))
        }
        "Start" => {
            Options::new(body.deserialize()?).end()?;
            may("start-container").await?;
            begin(JobKind::StartContainer, &|name, job| ContainerAsk::Start { name, job })
        }
        "Stop" => {
            let mut options = Options::new(body.deserialize()?);
            let grace_seconds = options.take::<u32>("grace_seconds", "u")?;
            options.end()?;
            may("stop-container").await?;
            begin(JobKind::StopContainer, &|name, job| ContainerAsk::Stop { name, grace_seconds, job })
        }
        "Remove" => {
            let mut options = Options::new(body.deserialize()?);
            let force = options.flag("force")?;
            options.end()?;
            may("remove-container").await?;
            begin(JobKind::RemoveContainer, &|name, job| ContainerAsk::Remove { name, force, job })
        }
        "Kill" => {
            let (signal, given): (u32, _) = body.deserialize()?;
            let mut options = Options::new(given);
            let all = options.flag("all")?;
            options.end()?;
            // _NSIG of x86-64: signals are 1 to 64.
            if !(1..=64).contains(&signal) {
                return Err(BusError::invalid(format!("{signal} is not a signal: 1 to 64")));
            }
            may("kill-container").await?;
            let name = name.to_string();
            answered(pod, |answer| Ask::Container(ContainerAsk::Kill { name, signal, all, answer })).await
        }
        "Rename" => {
            let (to, given): (String, _) = body.deserialize()?;
            Options::new(given).end()?;
            xenpod_api::manifest::check_container_name(&to).map_err(BusError::invalid)?;
            may("rename-container").await?;
            let name = name.to_string();
            answered(pod, |answer| Ask::Container(ContainerAsk::Rename { name, to, answer })).await
        }
        "Wait" => {
            Options::new(body.deserialize()?).end()?;
            let mut status = pod.watch();
            let over = |s: &PodStatus| ended(s, name);
            match status.wait_for(|s| over(s)).await {
                Ok(s) => {
                    let c = s.container(name);
                    Reply::with((c.map_or(0, |c| c.exit_code), c.and_then(|c| c.reason).map_or("", |r| r.as_str())))
                }
                Err(_) => Err(Failure::Removed(pod.name.to_string()).into()),
            }
        }
        _ => Err(BusError::unknown_method("org.xenpod1.Container", member)),
    }
}

/// Nothing more will come from the container in this life of the pod.
fn ended(status: &PodStatus, name: &str) -> bool {
    status.removed
        || !status.state().is_live()
        || status.container(name).is_none_or(|c| c.state == ContainerState::Exited)
}

/// What part of a log.
struct Wanted {
    follow: bool,
    timestamps: bool,
    since: Since,
}

/// Two pipes, and a task that fills them.
fn logs(pod: &PodHandle, name: &str, wanted: Wanted) -> Result<Reply, BusError> {
    let failed = |e: std::io::Error| BusError::new(ErrorName::LimitsExceeded, format!("no pipe for the log: {e}"));
    // Only our ends do not block: the caller's are its own.
    let pipe = || -> std::io::Result<(OwnedFd, pipe::Sender)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&write, rustix::fs::fcntl_getfl(&write)? | rustix::fs::OFlags::NONBLOCK)?;
        Ok((read, pipe::Sender::from_owned_fd(write)?))
    };
    let (out, out_sink) = pipe().map_err(failed)?;
    let (err, err_sink) = pipe().map_err(failed)?;
    let (pod, name) = (pod.clone(), name.to_string());
    tokio::spawn(async move {
        if let Some(hub) = log_of(&pod, &name, wanted.follow).await
            && let Err(error) = copy(hub, wanted, out_sink, err_sink).await
        {
            tracing::debug!(pod = %pod.name, container = name, %error, "the reader of a log went away");
        }
    });
    Reply::with((zbus::OwnedFd::from(out), zbus::OwnedFd::from(err)))
}

/// The container's log; one that follows waits for it to begin.
async fn log_of(pod: &PodHandle, name: &str, follow: bool) -> Option<Hub> {
    let mut status = pod.watch();
    loop {
        if let Some(hub) = pod.log(name) {
            return Some(hub);
        }
        let over = ended(&status.borrow_and_update(), name);
        if !follow || over || status.changed().await.is_err() {
            return pod.log(name);
        }
    }
}

async fn copy(hub: Hub, wanted: Wanted, mut out: pipe::Sender, mut err: pipe::Sender) -> std::io::Result<()> {
    let mut log = Follow::new(hub, wanted.since, wanted.follow, wanted.timestamps)?;
    loop {
        // A reader that has closed its ends is noticed even while nothing is written.
        let next = tokio::select! {
            next = log.next() => next?,
            () = closed(&out), if wanted.follow => return Ok(()),
        };
        match next {
            Some((Stream::Stdout, bytes)) => out.write_all(&bytes).await?,
            Some((Stream::Stderr, bytes)) => err.write_all(&bytes).await?,
            None => return Ok(()),
        }
    }
}

/// Returns when the reading end of the pipe has been closed.
async fn closed(pipe: &pipe::Sender) {
    // A pipe without a reader is an error condition, which is reported as such.
    if pipe.ready(tokio::io::Interest::ERROR).await.is_err() {
        std::future::pending::<()>().await;
    }
}
