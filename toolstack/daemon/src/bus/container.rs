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
use crate::engine::streams::{AttachRequest, ResizeRequest};
use crate::engine::{Failure, PodHandle, PodStatus};
use crate::logs::{Follow, Hub, Since};

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
                previous: options.flag("previous")?,
                tail: options.take::<u64>("tail", "t")?,
                not_before: options.take::<u64>("since", "t")?.unwrap_or(0).saturating_mul(1000),
            };
            options.end()?;
            if wanted.follow && wanted.previous {
                return Err(BusError::invalid(
                    "options follow and previous exclude each other: nothing more comes of a run that is over",
                ));
            }
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
        "Update" => super::pod_change::update(service, caller, header, pod, name, body).await,
        "Attach" => {
            let mut options = Options::new(body.deserialize()?);
            let stdin = options.flag("stdin")?;
            let since = if options.flag("logs")? { Since::Start } else { Since::Now };
            options.end()?;
            check(service, caller, header, Action::EnterPods, "attach", &pod.name).await?;
            attach(pod, name, stdin, since).await
        }
        "Resize" => {
            let (rows, columns, given): (u32, u32, _) = body.deserialize()?;
            Options::new(given).end()?;
            check(service, caller, header, Action::EnterPods, "resize", &pod.name).await?;
            let (answer, answered) = oneshot::channel();
            let request = ResizeRequest { container: name.into(), rows, columns, answer };
            pod.ask(Ask::ResizeTerminal(request));
            answered.await.map_err(|_| Failure::Removed(pod.name.to_string()))??;
            Reply::of(&())
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

/// The container's own streams: its input, and its output from now on or from its start, until it ends.
async fn attach(pod: &PodHandle, name: &str, stdin: bool, since: Since) -> Result<Reply, BusError> {
    // Output is what the log gets: one who reads slowly holds nobody up. Taken first, so that no answer to what is
    // written is missed.
    let begun = pod.log(name).map(|hub| Follow::new(&hub, since, true, false)).transpose();
    let (answer, attached) = oneshot::channel();
    pod.ask(Ask::Attach(AttachRequest { container: name.into(), stdin, answer }));
    let input = attached.await.map_err(|_| Failure::Removed(pod.name.to_string()))??;
    let input = match input {
        Some(pipe) => pipe,
        None => std::fs::File::options().write(true).open("/dev/null").map(OwnedFd::from).map_err(no_pipe)?,
    };
    let log = begun.ok().flatten().ok_or_else(|| {
        BusError::new(ErrorName::StateFailed, format!("pod {}: the log of container {name} cannot be read", pod.name))
    })?;
    let (out, out_sink) = pipe().map_err(no_pipe)?;
    let (err, err_sink) = pipe().map_err(no_pipe)?;
    tokio::spawn(copy_and_note(pod.clone(), name.to_owned(), async { copy(log.one_run(), out_sink, err_sink).await }));
    Reply::with((zbus::OwnedFd::from(input), zbus::OwnedFd::from(out), zbus::OwnedFd::from(err)))
}

fn no_pipe(error: std::io::Error) -> BusError {
    BusError::new(ErrorName::LimitsExceeded, format!("no pipe can be made: {error}"))
}

async fn copy_and_note(pod: PodHandle, name: String, copied: impl Future<Output = std::io::Result<()>>) {
    if let Err(error) = copied.await {
        tracing::debug!(pod = %pod.name, container = name, %error, "the reader of a log went away");
    }
}

/// What part of a log.
struct Wanted {
    follow: bool,
    timestamps: bool,
    previous: bool,
    tail: Option<u64>,
    not_before: u64,
}

impl Wanted {
    fn since(&self) -> Since {
        self.tail.map_or(Since::Start, Since::Tail)
    }

    fn open(&self, hub: &Hub) -> std::io::Result<Follow> {
        Ok(Follow::new(hub, self.since(), self.follow, self.timestamps)?.not_before(self.not_before))
    }

    /// The run before this one.
    fn open_previous(&self, pod: &PodHandle, name: &str) -> Result<Follow, BusError> {
        let found = pod.log(name).map(|hub| Follow::previous(&hub, self.since(), self.timestamps)).transpose();
        let found = found.map_err(|e| {
            BusError::new(ErrorName::StateFailed, format!("pod {}: the log of container {name}: {e}", pod.name))
        })?;
        found.flatten().map(|log| log.not_before(self.not_before)).ok_or_else(|| {
            let text = format!("pod {}: container {name} has no previous run: it was not started again yet", pod.name);
            BusError::new(ErrorName::NoSuchLog, text)
        })
    }
}

/// Two pipes, and a task that fills them.
fn logs(pod: &PodHandle, name: &str, wanted: Wanted) -> Result<Reply, BusError> {
    let previous = if wanted.previous { Some(wanted.open_previous(pod, name)?) } else { None };
    let (out, out_sink) = pipe().map_err(no_pipe)?;
    let (err, err_sink) = pipe().map_err(no_pipe)?;
    let (of, container) = (pod.clone(), name.to_string());
    let copied = async move {
        let log = match previous {
            Some(log) => log,
            None => match log_of(&of, &container, wanted.follow).await {
                Some(hub) => wanted.open(&hub)?,
                None => return Ok(()),
            },
        };
        copy(log, out_sink, err_sink).await
    };
    tokio::spawn(copy_and_note(pod.clone(), name.to_string(), copied));
    Reply::with((zbus::OwnedFd::from(out), zbus::OwnedFd::from(err)))
}

/// A pipe: the caller's end to read, and ours to write. Only ours does not block.
fn pipe() -> std::io::Result<(OwnedFd, pipe::Sender)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&write, rustix::fs::fcntl_getfl(&write)? | rustix::fs::OFlags::NONBLOCK)?;
    Ok((read, pipe::Sender::from_owned_fd(write)?))
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

async fn copy(mut log: Follow, out: pipe::Sender, err: pipe::Sender) -> std::io::Result<()> {
    let mut sinks = [Some(out), Some(err)];
    loop {
        // A reader that has closed its ends is noticed even while nothing is written.
        let next = tokio::select! {
            next = log.next() => next?,
            () = closed(&sinks) => return Ok(()),
        };
        let Some((stream, bytes)) = next else { return Ok(()) };
        let sink = &mut sinks[stream.index()];
        if let Some(pipe) = sink
            && let Err(error) = pipe.write_all(&bytes).await
        {
            // Who reads one of them only gets that one.
            *sink = None;
            if sinks.iter().all(Option::is_none) {
                return Err(error);
            }
        }
    }
}

/// Returns when nobody reads any of the pipes.
async fn closed(pipes: &[Option<pipe::Sender>]) {
    for pipe in pipes.iter().flatten() {
        // A pipe without a reader is an error condition, which is reported as such.
        if pipe.ready(tokio::io::Interest::ERROR).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
