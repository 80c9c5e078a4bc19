//! Looking after containers that run: the hook of their start, and their probes.
//!
//! ```text
//! started --postStart--> --startup probe--> up --liveness, readiness--> ...
//!             |                 |                   |
//!             +---- fails ------+------- fails -----+--> it is ended, and the restart policy holds
//! ```
//!
//! Each probe is a task of its own that lasts as long as this run of its container; what it finds comes back as a [`Note`].

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use xenpod_api::spec::{Action, ProbeSpec};
use xenpod_api::state::{ContainerState, PodState};

use super::super::probe::Target;
use super::super::process::{self, ExecSpec};
use super::super::status::PodStatus;
use super::Pod;

/// How long the hook of a start may take: it holds up those that wait for it, not for ever.
const POST_START: Duration = Duration::from_secs(600);

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
        }
    }
}

/// What a task found out. `run` says of which run of the container; a later one is not concerned.
#[derive(Debug)]
pub(super) enum Note {
    PostStart {
        key: String,
        run: u64,
        result: Result<(), String>,
    },
    PreStop {
        key: String,
        run: u64,
        result: Result<(), String>,
    },
    Probe {
        key: String,
        run: u64,
        kind: Kind,
        result: Result<(), String>,
    },
    /// Whoever asked for the container's end has cancelled that job.
    Withdrawn {
        key: String,
        job: u32,
    },
}

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct Task(tokio::task::JoinHandle<()>);

impl Task {
    pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What looks after one run of a container.
#[derive(Debug, Default)]
pub(super) struct Care {
    run: u64,
    tasks: Vec<Task>,
}

impl Pod {
    /// A container has been started: its hook, then its probes.
    pub(super) fn attend(&mut self, index: usize) {
        let key = self.record.containers[index].key().to_owned();
        let hook = self.record.spec.containers[index].lifecycle.post_start.clone();
        (self.record.containers[index].up, self.record.containers[index].ready) = (false, false);
        self.next_run += 1;
        let run = self.next_run;
        self.cares.insert(key.clone(), Care { run, tasks: Vec::new() });
        let Some((hook, target)) = hook.zip(self.target(index)) else { return self.probe(index) };
        let notes = self.notes.0.clone();
        let work = async move {
            let result = target.act(&hook, POST_START).await;
            let _ = notes.send(Note::PostStart { key, run, result });
        };
        self.look_after(index, Task::spawn(work));
    }

    /// After a restart of the daemon: the probes of a container that runs.
    pub(super) fn attend_again(&mut self, index: usize) {
        let key = self.record.containers[index].key().to_owned();
        self.next_run += 1;
        self.cares.insert(key, Care { run: self.next_run, tasks: Vec::new() });
        self.probe(index);
    }

    /// Begins the probes that are due: the startup probe, or once that has succeeded the other two.
    fn probe(&mut self, index: usize) {
        let probes = self.record.spec.containers[index].probes.clone();
        match probes.startup {
            Some(startup) if !self.record.containers[index].up => {
                return self.begin_probe(index, Kind::Startup, startup);
            }
            _ => {}
        }
        let container = &mut self.record.containers[index];
        container.up = true;
        if probes.readiness.is_none() {
            container.ready = true;
        }
        for (kind, probe) in [(Kind::Liveness, probes.liveness), (Kind::Readiness, probes.readiness)] {
            if let Some(probe) = probe {
                self.begin_probe(index, kind, probe);
            }
        }
    }

    fn begin_probe(&mut self, index: usize, kind: Kind, probe: ProbeSpec) {
        let Some(target) = self.target(index) else { return };
        let key = self.record.containers[index].key().to_owned();
        let Some(run) = self.cares.get(&key).map(|c| c.run) else { return };
        let (notes, status) = (self.notes.0.clone(), self.status.subscribe());
        self.look_after(index, Task::spawn(watch_health(target, probe, kind, (key, run), notes, status)));
    }

    fn look_after(&mut self, index: usize, task: Task) {
        let key = self.record.containers[index].key();
        if let Some(care) = self.cares.get_mut(key) {
            care.tasks.push(task);
        }
    }

    /// Where probes and hooks of a container are carried out; `None` without a guest.
    fn target(&self, index: usize) -> Option<Target> {
        let (spec, image) = (&self.record.spec, self.images.get(index)?);
        let any = ExecSpec { command: vec![String::new()], ..ExecSpec::default() };
        Some(Target {
            guest: self.guest.clone()?,
            commands: self.shared.commands.clone(),
            key: self.record.containers[index].key().into(),
            process: process::exec_process(spec, &spec.containers[index], image, &any),
            address: self.record.lease.map(|l| l.v4.into()),
        })
    }

    /// Begins the hook before a container's end. Its note carries the run; `None` when there is no hook.
    pub(super) fn begin_pre_stop(&self, index: usize, within: Duration) -> Option<Task> {
        let hook: Action = self.record.spec.containers[index].lifecycle.pre_stop.clone()?;
        let target = self.target(index)?;
        let key = self.record.containers[index].key().to_owned();
        let run = self.cares.get(&key).map_or(0, |c| c.run);
        let notes = self.notes.0.clone();
        Some(Task::spawn(async move {
            let result = target.act(&hook, within).await;
            let _ = notes.send(Note::PreStop { key, run, result });
        }))
    }

    /// A container does not run any more.
    pub(super) fn care_over(&mut self, key: &str) {
        self.cares.remove(key);
    }

    pub(super) async fn noted(&mut self, note: Note) {
        if let Note::Withdrawn { key, job } = note {
            return self.withdraw_ending(&key, job).await;
        }
        let (Note::PostStart { key, run, .. } | Note::PreStop { key, run, .. } | Note::Probe { key, run, .. }) = &note
        else {
            return;
        };
        let index = self.record.containers.iter().position(|c| c.key() == key);
        let this_run = self.cares.get(key).is_none_or(|c| c.run == *run);
        let Some(index) = index.filter(|i| this_run && self.record.containers[*i].state == ContainerState::Running)
        else {
            return;
        };
        let grace = self.record.spec.grace_seconds;
        let name = self.record.containers[index].name.clone();
        match note {
            Note::PreStop { key, result, .. } => {
                if let Err(why) = result {
                    tracing::warn!(pod_id = %self.record.id, container = name, "container {name}: its preStop hook failed: {why}");
                }
                self.pre_stop_done(index, &key);
            }
            Note::PostStart { result: Ok(()), .. } => self.probe(index),
            Note::PostStart { result: Err(why), .. } => {
                self.end_unhealthy(index, grace, format!("its postStart hook failed: {why}"));
            }
            Note::Probe { kind: Kind::Startup, result: Ok(()), .. } => {
                self.record.containers[index].up = true;
                self.probe(index);
            }
            Note::Withdrawn { .. } | Note::Probe { kind: Kind::Liveness, result: Ok(()), .. } => return,
            Note::Probe { kind: Kind::Readiness, result, .. } => {
                let ready = result.is_ok();
                if self.record.containers[index].ready == ready {
                    return;
                }
                self.record.containers[index].ready = ready;
                self.record.containers[index].message =
                    result.err().map_or_else(String::new, |why| format!("its readiness probe failed: {why}"));
            }
            Note::Probe { kind, result: Err(why), .. } => {
                let probes = &self.record.spec.containers[index].probes;
                let probe = if kind == Kind::Startup { &probes.startup } else { &probes.liveness };
                let grace = probe.as_ref().and_then(|p| p.grace_seconds).unwrap_or(grace);
                self.end_unhealthy(index, grace, format!("its {} probe failed: {why}", kind.as_str()));
            }
        }
        self.publish();
    }

    fn end_unhealthy(&mut self, index: usize, grace_seconds: u32, why: String) {
        let name = &self.record.containers[index].name;
        tracing::warn!(pod_id = %self.record.id, container = name, "container {name} is ended: {why}");
        self.record.containers[index].ready = false;
        self.record.containers[index].message.clone_from(&why);
        self.begin_ending(index, Duration::from_secs(grace_seconds.into()), None, Some(why));
    }
}

/// Makes a probe again and again, and tells when it has changed its mind for good.
async fn watch_health(
    target: Target,
    probe: ProbeSpec,
    kind: Kind,
    (key, run): (String, u64),
    notes: mpsc::UnboundedSender<Note>,
    mut status: watch::Receiver<std::sync::Arc<PodStatus>>,
) {
    let seconds = |n: u32| Duration::from_secs(n.into());
    tokio::time::sleep(seconds(probe.initial_delay_seconds)).await;
    // A paused pod cannot answer, and is not ill.
    let paused = |s: &std::sync::Arc<PodStatus>| s.state() == PodState::Paused;
    let mut in_a_row = 0;
    let mut last: Option<bool> = None;
    loop {
        if status.wait_for(|s| !paused(s)).await.is_err() {
            return;
        }
        let result = target.act(&probe.action, seconds(probe.timeout_seconds)).await;
        if !paused(&status.borrow_and_update()) {
            if let Err(why) = &result {
                tracing::debug!(container = key, probe = kind.as_str(), "probe failed: {why}");
            }
            in_a_row = if last == Some(result.is_ok()) { in_a_row + 1 } else { 1 };
            last = Some(result.is_ok());
            let needed = if result.is_ok() { probe.success_threshold } else { probe.failure_threshold };
            if in_a_row == needed {
                let over = match kind {
                    Kind::Startup => true,
                    Kind::Liveness => result.is_err(),
                    Kind::Readiness => false,
                };
                if notes.send(Note::Probe { key: key.clone(), run, kind, result }).is_err() || over {
                    return;
                }
            }
        }
        tokio::time::sleep(seconds(probe.period_seconds)).await;
    }
}
