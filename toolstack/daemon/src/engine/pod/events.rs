//! What happens to a pod that nobody asked for: exits, kills for memory, a domain that stops or is paused by others.

use std::time::Duration;

use tokio::time::Instant;
use xenpod_api::spec::{RestartPolicy, Role};
use xenpod_api::state::{ContainerState, ExitReason, PodState};
use xenpod_protocol::message::event::What;
use xenpod_protocol::message::{self, request::Op};
use xenpod_xen::hypervisor::ShutdownReason;

use super::super::failure::Failure;
use super::super::watcher::Sight;
use super::super::world::DomainView;
use super::super::{exit_meaning, is_active};
use super::{Happening, Pod, lock};
use crate::clock;
use crate::guest::FromGuest;
use crate::journal::Intent;

/// A container that ran for this long is not in a loop of crashes: its next restart is at once again.
const LONG_RUN: Duration = Duration::from_secs(600);

/// The state, the reason and the words for a domain that ended by itself.
pub(in super::super) fn how_it_ended(reason: ShutdownReason) -> (PodState, &'static str) {
    match reason {
        ShutdownReason::Poweroff => (PodState::Stopped, "powered itself off"),
        ShutdownReason::Reboot => (PodState::Stopped, "asked for a reboot"),
        ShutdownReason::Suspend => (PodState::Failed, "suspended itself"),
        ShutdownReason::Crash => (PodState::Failed, "crashed"),
        ShutdownReason::Watchdog => (PodState::Failed, "was ended by its watchdog"),
        ShutdownReason::SoftReset => (PodState::Failed, "asked for a soft reset"),
        ShutdownReason::Unknown(_) => (PodState::Failed, "ended for a reason that is not known"),
    }
}

impl Pod {
    pub(super) async fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Guest(FromGuest::Event(event)) => {
                self.guest_event(event).await;
                self.advance().await;
                self.end_if_over().await;
            }
            Happening::Guest(FromGuest::Up { .. }) => {}
            Happening::Guest(FromGuest::Lost { why }) => self.guest_lost(&why).await,
            Happening::GuestClosed => self.guest_lost("it is closed").await,
            Happening::Sight(sight) => self.sighted(sight).await,
            Happening::Restart(key) => self.restart(&key).await,
            Happening::EndingDue(key) => self.ending_due(&key),
            Happening::Noted(note) => {
                self.noted(note).await;
                self.advance().await;
                self.end_if_over().await;
            }
            Happening::ResizeDue => self.resize_on().await,
            Happening::Cancelled => self.start_cancelled().await,
            Happening::Retry => self.release_again().await,
        }
    }

    /// Takes in one event: first the record, then the acknowledgement.
    pub(super) async fn guest_event(&mut self, event: message::Event) {
        self.record.last_event = self.record.last_event.max(event.sequence);
        let mut saved = true;
        match event.what {
            Some(What::ContainerStarted(started)) => {
                if let Some(container) = self.record.containers.iter_mut().find(|c| c.key() == started.name) {
                    container.pid = started.pid;
                }
            }
            Some(What::ContainerExited(exited)) => {
                let exit = exited.exit.unwrap_or_default();
                self.container_exited(&exited.name, &exit);
                self.last_words(&exited.name, &exit).await;
                saved = self.save_or_log().await;
                self.publish();
                // After that: who sees the output end finds the exit code.
                self.end_log(&exited.name);
                self.ending_done(&exited.name).await;
            }
            Some(What::ExecExited(exited)) => {
                let for_a_probe = self.shared.commands.ended(&exited.id, exited.exit.clone().unwrap_or_default());
                if !for_a_probe {
                    self.exec_exited(&exited);
                }
            }
            Some(What::OutOfMemory(oom)) => {
                tracing::warn!(
                    pod_id = %self.record.id, pod = self.record.spec.name, container = oom.container,
                    "container {} of pod {}: something was killed for memory", oom.container, self.record.spec.name
                );
            }
            // Said before the containers' ends, so that these are not taken for failures to be restarted.
            Some(What::ShuttingDown(down)) if down.reason != "daemon" && self.record.state != PodState::Stopping => {
                self.record.intent = Intent::Stop;
                self.restarts.clear();
                self.record.reason = "ShutdownFromOutside".into();
                self.record.message = format!("the guest shuts down; {} asked for it", down.reason);
            }
            Some(What::ShuttingDown(_)) => {}
            Some(What::Log(line)) => self.guest_log(&line),
            // Of a newer guest: noted as seen.
            None => {}
        }
        if saved && let Some(guest) = &self.guest {
            guest.ack_event(event.sequence);
        }
    }

    fn guest_log(&self, line: &message::Log) {
        let (id, pod) = (self.record.id, &self.record.spec.name);
        match line.level {
            0..=3 => tracing::error!(pod_id = %id, pod, "guest: {}", line.text),
            4 => tracing::warn!(pod_id = %id, pod, "guest: {}", line.text),
            _ => tracing::debug!(pod_id = %id, pod, "guest: {}", line.text),
        }
    }

    fn container_exited(&mut self, key: &str, exit: &message::Exit) {
        let stopping = self.record.intent != Intent::Run;
        let base = self.world.settings.restart_delay;
        let pod_id = self.record.id;
        let Some(index) = self.record.containers.iter().position(|c| c.key() == key) else { return };
        let policy = self.record.spec.restart_policy_of(index);
        let unwell = self.ended_because(key);
        self.care_over(key);
        let container = &mut self.record.containers[index];
        let name = container.name.clone();
        (container.up, container.ready) = (false, false);
        let (code, signal, reason) = exit_meaning(exit);
        container.exit_code = code;
        container.signal = signal;
        container.reason = Some(reason);
        container.message = match reason {
            ExitReason::OomKilled => "killed for memory".into(),
            ExitReason::Signal => format!("ended by signal {signal}"),
            _ => String::new(),
        };
        let ill = unwell.is_some();
        if let Some(why) = unwell {
            container.message = why;
        }
        container.pid = 0;
        container.finished_usec = if exit.finished_ns > 0 { exit.finished_ns / 1000 } else { clock::now_usec() };
        if exit.started_ns > 0 {
            container.started_usec = exit.started_ns / 1000;
        }
        tracing::info!(pod_id = %pod_id, container = name, code, reason = %reason, "container {name} ended: {reason}, exit code {code}");
        let again = !stopping
            && !container.held
            && match policy {
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure => code != 0 || ill,
                RestartPolicy::Never => false,
            };
        container.state = if again { ContainerState::Waiting } else { ContainerState::Exited };
        if again {
            let ran = Duration::from_micros(container.finished_usec.saturating_sub(container.started_usec));
            let delay = restart_delay(base, container.restarts, ran);
            self.restarts.push((Instant::now() + delay, key.to_owned()));
        }
    }

    /// Tells the readers of an ended container's log, which is complete, that it has ended.
    pub(super) fn end_log(&self, key: &str) {
        let Some(container) = self.record.containers.iter().find(|c| c.key() == key) else { return };
        if let Some(log) = self.logs.get(&container.name) {
            if container.state == ContainerState::Waiting { lock(log).end_run() } else { lock(log).end() }
        }
    }

    /// Containers that wait for a restart which the last daemon did not come to: they are started at once.
    pub(super) fn restore_restarts(&mut self) {
        for container in &self.record.containers {
            if container.state == ContainerState::Waiting {
                self.restarts.push((Instant::now(), container.key().to_owned()));
            }
        }
    }

    async fn restart(&mut self, key: &str) {
        let Some(index) = self.record.containers.iter().position(|c| c.key() == key) else { return };
        if !matches!(self.record.state, PodState::Starting | PodState::Running) {
            // Paused: when it runs again.
            self.restarts.push((Instant::now() + Duration::from_secs(1), key.to_owned()));
            return;
        }
        let name = self.record.containers[index].name.clone();
        let launched = self.launch(index).await;
        self.record.containers[index].restarts += 1;
        if let Err(failure) = launched {
            tracing::warn!(pod_id = %self.record.id, container = name, %failure, "container {name} cannot be started again: {failure}");
            let container = &mut self.record.containers[index];
            container.message = failure.to_string();
            let delay = restart_delay(self.world.settings.restart_delay, container.restarts, Duration::ZERO);
            self.restarts.push((Instant::now() + delay, key.to_owned()));
        }
        self.save_or_log().await;
        self.publish();
    }

    /// Makes a container in the guest, anew if it was there, and starts it.
    pub(super) async fn launch(&mut self, index: usize) -> Result<(), Failure> {
        let Some(guest) = self.guest.clone() else { return Ok(()) };
        let name = self.record.containers[index].name.clone();
        let within = self.world.settings.answer_timeout;
        let key = self.record.containers[index].key().to_owned();
        let remove = Op::RemoveContainer(message::RemoveContainer { name: key });
        // It may be that a start which failed removed it already.
        let _ = guest.send("to remove a container", remove).done(within).await;
        // Reserved first; the new log then takes them.
        self.record.next_stream = self.streams(3).await?;
        self.fresh_log(index)?;
        let [create, start] = self.container_requests(index);
        let created = guest.send_with(create.what, create.op, create.outputs);
        let started = guest.send(start.what, start.op);
        created.done(within).await.map_err(|e| self.guest_failure(Some(name.clone()), e))?;
        let pid = started.started(within).await.map_err(|e| self.guest_failure(Some(name), e))?;
        let container = &mut self.record.containers[index];
        container.state = ContainerState::Running;
        container.started_usec = clock::now_usec();
        container.pid = pid;
        container.message = String::new();
        self.attend(index);
        Ok(())
    }

    /// Stops the pod when its last container has ended for good.
    pub(super) async fn end_if_over(&mut self) {
        if self.record.state == PodState::Running && self.record.intent == Intent::Run && self.is_over() {
            let reason = self.status_reason();
            // Sidecars may still run, and are asked first.
            let runs = self.record.containers.iter().any(|c| c.state == ContainerState::Running);
            let grace = if runs { self.record.spec.grace_seconds } else { 0 };
            let _ = self.stop(grace, PodState::Stopped, reason.as_str(), "every container has ended").await;
        }
    }

    /// Nothing runs, and nothing is to run but by request of somebody who made or ended a container.
    fn is_over(&self) -> bool {
        let spec = &self.record.spec.containers;
        let mut lasting = self.record.containers.iter().zip(spec);
        let begun = spec.iter().any(|s| s.role != Role::Added);
        begun
            && lasting.all(|(c, s)| match c.state {
                // They end with the others.
                _ if s.role == Role::Sidecar => true,
                ContainerState::Created => s.role == Role::Added,
                ContainerState::Exited => !c.held || s.role == Role::Added,
                _ => false,
            })
    }

    fn status_reason(&self) -> ExitReason {
        super::PodStatus { record: self.record.clone(), domid: None, phases: Vec::new(), removed: false }.exit_reason()
    }

    /// The channel is gone: either the domain is, or the guest broke the protocol.
    async fn guest_lost(&mut self, why: &str) {
        self.guest_events = None;
        self.guest = None;
        if !matches!(self.record.state, PodState::Starting | PodState::Running | PodState::Paused) {
            return;
        }
        let view = self.look().await;
        match view {
            Some(domain) if domain.shutdown.is_none() && !domain.dying => {
                // It may be on its way down: give it the time.
                let patience = Instant::now() + Duration::from_secs(5);
                while let Ok(Ok(())) = tokio::time::timeout_at(patience, self.sight.changed()).await {
                    let sight = self.sight.borrow_and_update().clone();
                    let ended = match &sight {
                        Sight::Present(d) => d.shutdown.is_some() || d.dying,
                        Sight::Absent => true,
                        Sight::Unseen => false,
                    };
                    if ended {
                        return self.sighted(sight).await;
                    }
                }
                let message = format!("the guest's channel broke, so it can no longer be controlled: {why}");
                self.settle(PodState::Failed, "GuestLost", &message).await;
            }
            view => self.sighted(view.map_or(Sight::Absent, Sight::Present)).await,
        }
    }

    /// The pod's domain as it is now, past the watcher.
    async fn look(&self) -> Option<DomainView> {
        let id = self.record.id;
        match self.world.domains.list().await {
            Ok(list) => list.into_iter().find(|d| d.id == id),
            // What cannot be seen is taken to be what it was.
            Err(_) => match &*self.sight.borrow() {
                Sight::Present(domain) => Some(domain.clone()),
                _ => None,
            },
        }
    }

    /// The watcher saw the domain change.
    async fn sighted(&mut self, sight: Sight) {
        if self.domid.is_none() || !self.record.state.is_live() {
            return;
        }
        match sight {
            Sight::Unseen => {}
            Sight::Present(domain) if domain.shutdown.is_some() || domain.dying => {
                self.domain_ended_itself(&domain).await
            }
            Sight::Present(domain) => match (self.record.state, domain.paused) {
                (PodState::Running, true) => {
                    self.enter(PodState::Paused, "PausedFromOutside", "its domain was paused from outside");
                }
                (PodState::Paused, false) => {
                    self.enter(PodState::Running, "", "");
                    self.end_if_over().await;
                }
                _ => {}
            },
            Sight::Absent => {
                // What the watcher saw may be older than the domain.
                if self.look().await.is_none() {
                    self.drain_guest().await;
                    let message = "its domain was destroyed from outside";
                    self.settle(PodState::Failed, "DestroyedFromOutside", message).await;
                }
            }
        }
    }

    async fn domain_ended_itself(&mut self, domain: &DomainView) {
        self.drain_guest().await;
        if let Some(reason) = domain.shutdown {
            let (state, words) = how_it_ended(reason);
            let over = !self.record.containers.iter().any(|c| is_active(c.state));
            let (reason, message) = match (state, self.record.reason.as_str()) {
                (PodState::Stopped, "ShutdownFromOutside") => {
                    ("ShutdownFromOutside".to_owned(), self.record.message.clone())
                }
                (PodState::Stopped, _) if over => {
                    (self.status_reason().to_string(), "every container has ended".to_owned())
                }
                (PodState::Stopped, _) => ("PoweredOff".to_owned(), format!("its domain {words}")),
                _ => ("KernelCrashed".to_owned(), format!("its domain {words}; see `xl dmesg`")),
            };
            self.settle(state, &reason, &message).await;
        } else {
            self.settle(PodState::Failed, "DestroyedFromOutside", "its domain was destroyed from outside").await;
        }
    }
}

/// How long to wait before restart number `restarts` (from 0): at once, then `base`, doubling up to thirty times that.
fn restart_delay(base: Duration, restarts: u32, ran: Duration) -> Duration {
    match restarts {
        0 => Duration::ZERO,
        _ if ran >= LONG_RUN => Duration::ZERO,
        n => (base * 2u32.saturating_pow((n - 1).min(5))).min(base * 30),
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
