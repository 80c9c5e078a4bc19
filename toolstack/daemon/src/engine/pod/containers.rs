//! Containers one by one, in a running pod: made, started, ended, signalled, removed, renamed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use xenpod_api::manifest::{MAX_CONTAINERS, check_container_name};
use xenpod_api::spec::ContainerSpec;
use xenpod_api::state::{ContainerState, ExitReason};
use xenpod_protocol::message::{self, ErrorKind, request::Op};

use super::super::container_verbs::{ContainerVerb, judge};
use super::super::failure::Failure;
use super::super::jobs::{Cancel, Job};
use super::super::process;
use super::super::transition::{Verb, Verdict};
use super::super::world::ImageInfo;
use super::ending::Then;
use super::{Pod, lock};
use crate::clock;
use crate::guest::GuestError;
use crate::journal::{ContainerRecord, ImageUse};

/// A request about one container.
#[derive(Debug)]
pub enum ContainerAsk {
    /// Make it. Its image is here.
    Add {
        /// What it is to be.
        spec: Box<ContainerSpec>,
        /// Its image.
        image: Arc<ImageInfo>,
        /// Start it too.
        start: bool,
        /// The job to end.
        job: Job,
    },
    /// Run its command.
    Start {
        /// Which.
        name: String,
        /// The job to end.
        job: Job,
    },
    /// Stop signal, grace, kill.
    Stop {
        /// Which.
        name: String,
        /// Seconds between the stop signal and the kill; the pod's when not given.
        grace_seconds: Option<u32>,
        /// The job to end.
        job: Job,
    },
    /// Send it a signal.
    Kill {
        /// Which.
        name: String,
        /// 1 to 64.
        signal: u32,
        /// To all its processes.
        all: bool,
        /// Told when it was sent.
        answer: oneshot::Sender<Result<(), Failure>>,
    },
    /// Remove it.
    Remove {
        /// Which.
        name: String,
        /// Whatever it does.
        force: bool,
        /// The job to end.
        job: Job,
    },
    /// Call it something else.
    Rename {
        /// Which.
        name: String,
        /// Its new name.
        to: String,
        /// Told when that is done.
        answer: oneshot::Sender<Result<(), Failure>>,
    },
}

impl ContainerAsk {
    /// What it is, for the judge of pods.
    pub(super) fn verb(&self) -> Verb {
        match self {
            Self::Stop { .. } | Self::Kill { .. } => Verb::EndContainer,
            _ => Verb::Container,
        }
    }

    pub(super) fn job(&self) -> Option<&Job> {
        match self {
            Self::Add { job, .. } | Self::Start { job, .. } | Self::Stop { job, .. } | Self::Remove { job, .. } => {
                Some(job)
            }
            Self::Kill { .. } | Self::Rename { .. } => None,
        }
    }

    pub(super) fn answer(self, result: Result<(), Failure>) {
        match self {
            Self::Add { job, .. } | Self::Start { job, .. } | Self::Stop { job, .. } | Self::Remove { job, .. } => {
                job.end(&result);
            }
            Self::Kill { answer, .. } | Self::Rename { answer, .. } => {
                let _ = answer.send(result);
            }
        }
    }
}

impl Pod {
    pub(super) async fn container_ask(&mut self, ask: ContainerAsk) {
        match ask {
            ContainerAsk::Add { spec, image, start, job } => {
                let result = self.add_container(*spec, image, start, job.canceller()).await;
                job.end(&result);
            }
            ContainerAsk::Start { name, job } => {
                let result = self.start_container(&name).await;
                job.end(&result);
            }
            ContainerAsk::Stop { name, grace_seconds, job } => match self.judge_container(&name, ContainerVerb::Stop) {
                Ok((index, Verdict::Do)) => self.stop_container(index, grace_seconds, job).await,
                Ok(_) => job.end(&Ok(())),
                Err(failure) => job.end(&Err(failure)),
            },
            ContainerAsk::Kill { name, signal, all, answer } => {
                let _ = answer.send(self.signal_container(&name, signal, all).await);
            }
            ContainerAsk::Remove { name, force, job } => {
                let verb = if force { ContainerVerb::ForceRemove } else { ContainerVerb::Remove };
                match self.judge_container(&name, verb) {
                    Ok((index, _)) if self.record.containers[index].state == ContainerState::Running => {
                        self.record.containers[index].held = true;
                        self.save_or_log().await;
                        self.begin_ending(index, Duration::ZERO, Some(Then::Remove(job)), None);
                    }
                    Ok((index, _)) => {
                        let result = self.remove_container(index).await;
                        job.end(&result);
                        self.advance().await;
                        self.end_if_over().await;
                    }
                    Err(failure) => job.end(&Err(failure)),
                }
            }
            ContainerAsk::Rename { name, to, answer } => {
                let _ = answer.send(self.rename_container(&name, &to).await);
            }
        }
    }

    /// Finds a container and asks whether it fits its state.
    fn judge_container(&self, name: &str, verb: ContainerVerb) -> Result<(usize, Verdict), Failure> {
        let pod = self.name();
        let Some(index) = self.record.containers.iter().position(|c| c.name == name) else {
            return Err(Failure::NoSuchContainer { pod, container: name.into() });
        };
        let state = self.record.containers[index].state;
        match judge(verb, state, self.record.spec.containers[index].role) {
            Ok(verdict) => Ok((index, verdict)),
            Err(hint) => Err(Failure::ContainerRefused {
                pod,
                container: name.into(),
                verb: verb.as_str(),
                state: state.as_str(),
                hint,
            }),
        }
    }

    /// Makes a container: its record, then its image's disk. Its process comes with its start.
    async fn add_container(
        &mut self,
        spec: ContainerSpec,
        image: Arc<ImageInfo>,
        start: bool,
        cancel: &Cancel,
    ) -> Result<(), Failure> {
        let (pod, name) = (self.name(), spec.name.clone());
        if self.record.containers.iter().any(|c| c.name == name) {
            return Err(Failure::ContainerExists { pod, container: name });
        }
        if self.record.containers.len() >= MAX_CONTAINERS {
            return Err(Failure::Limit(format!(
                "pod {pod} has {MAX_CONTAINERS} containers, as many as a pod can have"
            )));
        }
        process::check(&spec, &image).map_err(|why| Failure::BadContainer { pod, container: name.clone(), why })?;
        let mut container = ContainerRecord::new(&name);
        container.key = self.free_key(&name);
        container.image = Some(ImageUse { reference: spec.image.clone(), digest: image.digest.clone() });
        container.command = process::argv(&spec, &image);
        // In the record before it is taken.
        self.plan_image(&image);
        self.record.spec.containers.push(spec);
        self.record.containers.push(container);
        self.images.push(image.clone());
        let mut made = match self.save().await {
            Ok(()) => self.attach_image(&image).await,
            failed => failed,
        };
        if made.is_ok() && cancel.is_cancelled() {
            made = Err(Failure::Cancelled(format!("container {name} of pod {}", self.name())));
        }
        if let Err(failure) = made {
            self.record.spec.containers.pop();
            self.record.containers.pop();
            self.images.pop();
            self.save_or_log().await;
            self.release_image(&image).await;
            return Err(failure);
        }
        tracing::info!(pod_id = %self.record.id, container = name, "container {name} is created");
        self.publish();
        if start { self.start_container(&name).await } else { Ok(()) }
    }

    /// A name for the guest and the log's file that no container has, nor had before it was renamed. Empty when `name` is one.
    fn free_key(&self, name: &str) -> String {
        let taken = |key: &str| self.record.containers.iter().any(|c| c.key() == key || c.name == key);
        if !taken(name) {
            return String::new();
        }
        (2..).map(|n| format!("{name}-{n}")).find(|key| !taken(key)).unwrap_or_default()
    }

    async fn start_container(&mut self, name: &str) -> Result<(), Failure> {
        let (index, Verdict::Do) = self.judge_container(name, ContainerVerb::Start)? else { return Ok(()) };
        let key = self.record.containers[index].key().to_owned();
        self.restarts.retain(|(_, k)| *k != key);
        let attached = self.attach_image(&self.images[index].clone()).await;
        let result = match attached {
            Ok(()) => self.launch(index).await,
            failed => failed,
        };
        let container = &mut self.record.containers[index];
        container.held = result.is_err();
        if let Err(failure) = &result {
            container.state = ContainerState::Exited;
            container.exit_code = exit_code_of(failure);
            container.signal = 0;
            container.reason = Some(ExitReason::Error);
            container.message = failure.to_string();
            container.pid = 0;
            container.finished_usec = clock::now_usec();
        }
        self.save_or_log().await;
        self.publish();
        result
    }

    async fn stop_container(&mut self, index: usize, grace_seconds: Option<u32>, job: Job) {
        let grace = grace_seconds.unwrap_or(self.record.spec.grace_seconds);
        let container = &mut self.record.containers[index];
        container.held = true;
        if container.state == ContainerState::Running {
            // After a restart of the daemon it is still known that it was ended by request.
            self.save_or_log().await;
            let grace = Duration::from_secs(grace.into());
            return self.begin_ending(index, grace, Some(Then::End(job)), None);
        }
        let key = container.key().to_owned();
        container.state = ContainerState::Exited;
        self.restarts.retain(|(_, k)| *k != key);
        self.save_or_log().await;
        self.publish();
        job.end(&Ok(()));
    }

    async fn signal_container(&mut self, name: &str, signal: u32, all: bool) -> Result<(), Failure> {
        let (index, _) = self.judge_container(name, ContainerVerb::Kill)?;
        let Some(guest) = &self.guest else { return Ok(()) };
        let key = self.record.containers[index].key().to_owned();
        let op = Op::SignalContainer(message::SignalContainer { name: key, signal, all });
        let sent = guest.send("to signal a container", op).done(self.world.settings.answer_timeout).await;
        sent.map_err(|source| self.guest_failure(Some(name.into()), source))
    }

    /// Removes a container that does not run, with its log, and its disk if no other has it.
    pub(super) async fn remove_container(&mut self, index: usize) -> Result<(), Failure> {
        let (name, key) = {
            let container = &self.record.containers[index];
            (container.name.clone(), container.key().to_owned())
        };
        if let Some(guest) = self.guest.clone() {
            let remove = Op::RemoveContainer(message::RemoveContainer { name: key.clone() });
            let removed = guest.send("to remove a container", remove).done(self.world.settings.answer_timeout).await;
            match removed {
                // Never started: the guest has not heard of it.
                Err(GuestError::Refused(e)) if e.kind() == ErrorKind::NoSuch => {}
                removed => removed.map_err(|source| self.guest_failure(Some(name.clone()), source))?,
            }
        }
        self.note_disks();
        self.restarts.retain(|(_, k)| *k != key);
        self.record.spec.containers.remove(index);
        self.record.containers.remove(index);
        let image = self.images.remove(index);
        lock(&self.shared.logs).remove(&name);
        if let Some(log) = self.logs.remove(&name) {
            lock(&log).end();
        }
        self.delete_logs(&key);
        self.save().await?;
        self.release_image(&image).await;
        tracing::info!(pod_id = %self.record.id, container = name, "container {name} is removed");
        self.publish();
        Ok(())
    }

    /// Deletes the files of a container's log. What cannot be deleted goes with the pod.
    fn delete_logs(&self, key: &str) {
        let own =
            |file: &str| file.strip_prefix(key).is_some_and(|rest| rest.starts_with('.') && rest.ends_with(".log"));
        for entry in std::fs::read_dir(self.log_dir()).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(own)
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::debug!(file = %entry.path().display(), %error, "a log stays");
            }
        }
    }

    /// Only its name changes: to the guest it stays what it was.
    async fn rename_container(&mut self, name: &str, to: &str) -> Result<(), Failure> {
        let pod = self.name();
        let Some(index) = self.record.containers.iter().position(|c| c.name == name) else {
            return Err(Failure::NoSuchContainer { pod, container: name.into() });
        };
        if to == name {
            return Ok(());
        }
        if let Err(why) = check_container_name(to) {
            return Err(Failure::BadContainer { pod, container: name.into(), why });
        }
        if self.record.containers.iter().any(|c| c.name == to) {
            return Err(Failure::ContainerExists { pod, container: to.into() });
        }
        let before = self.record.clone();
        let container = &mut self.record.containers[index];
        container.key = container.key().to_owned();
        container.name = to.into();
        self.record.spec.containers[index].name = to.into();
        if let Err(failure) = self.save().await {
            self.record = before;
            return Err(failure);
        }
        if let Some(log) = self.logs.remove(name) {
            self.logs.insert(to.into(), log);
        }
        let mut hubs = lock(&self.shared.logs);
        if let Some(hub) = hubs.remove(name) {
            hubs.insert(to.into(), hub);
        }
        drop(hubs);
        tracing::info!(pod_id = %self.record.id, container = name, to, "container {name} is now called {to}");
        self.publish();
        Ok(())
    }
}

/// What a container that could not be started is said to have ended with: as a shell says it.
fn exit_code_of(failure: &Failure) -> i32 {
    let Failure::Guest { source: GuestError::Refused(error), .. } = failure else { return 128 };
    match error.kind() {
        ErrorKind::NotFound => 127,
        ErrorKind::PermissionDenied | ErrorKind::BadFormat => 126,
        _ => 128,
    }
}
