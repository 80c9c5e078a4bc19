//! Ending a pod in order.

use std::time::Duration;

use tokio::time::Instant;
use xenpod_api::spec::Role;
use xenpod_api::state::{ContainerState, PodState};
use xenpod_protocol::message::{self, request::Op};

use super::super::failure::Failure;
use super::super::process;
use super::super::watcher::Sight;
use super::{Happening, Pod};
use crate::guest::FromGuest;
use crate::journal::Intent;

/// From the last container's end to the domain's, at most.
const POWER_OFF: Duration = Duration::from_secs(10);

/// From the kill of a container, and what its hook may add, to the next step of a stop.
const AFTER_KILL: Duration = Duration::from_secs(15);

impl Pod {
    /// Stop signal, grace, kill; the guest powers off; everything is given back. The pod ends in `state`.
    ///
    /// A guest that does not answer is not waited for beyond its time: its domain is destroyed.
    pub(super) async fn stop(
        &mut self,
        grace_seconds: u32,
        state: PodState,
        reason: &str,
        message: &str,
    ) -> Result<(), Failure> {
        let was = self.record.state;
        self.record.intent = Intent::Stop;
        self.enter(PodState::Stopping, reason, message);
        self.restarts.clear();
        self.resize_over();
        // If the daemon dies now, the next one is to finish this, not to reattach.
        self.save_or_log().await;
        if was == PodState::Paused
            && let Some(domid) = self.domid
        {
            // A paused guest cannot end in order.
            let _ = self.world.domains.unpause(self.record.id, domid).await;
        }
        if self.guest.is_some() {
            self.end_containers(Duration::from_secs(grace_seconds.into())).await;
        }
        self.settle(state, reason, message).await;
        match self.retry {
            None => Ok(()),
            Some(_) => Err(Failure::DomainEnded { pod: self.name(), how: self.record.message.clone() }),
        }
    }

    async fn end_containers(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        if self.ends_in_sequence() {
            self.end_in_sequence(deadline).await;
        }
        let Some(guest) = self.guest.clone() else { return };
        // guest-init ends everything with SIGTERM by itself; images that want another signal get it first.
        let mut own_signals = false;
        for (container, image) in self.record.containers.iter().zip(&self.images) {
            let signal = process::stop_signal(image);
            if container.state == ContainerState::Running && signal != process::SIGTERM {
                own_signals = true;
                let name = container.key().to_owned();
                drop(guest.send(
                    "the stop signal",
                    Op::SignalContainer(message::SignalContainer { name, signal, all: false }),
                ));
            }
        }
        if own_signals {
            let others: Vec<_> = self
                .record
                .containers
                .iter()
                .zip(&self.images)
                .filter(|(c, i)| c.state == ContainerState::Running && process::stop_signal(i) == process::SIGTERM)
                .map(|(c, _)| c.key().to_owned())
                .collect();
            for name in others {
                let op = message::SignalContainer { name, signal: process::SIGTERM, all: false };
                drop(guest.send("the stop signal", Op::SignalContainer(op)));
            }
            self.await_end(deadline, |pod| pod.record.containers.iter().all(|c| c.state != ContainerState::Running))
                .await;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let grace_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        drop(guest.send("to shut down", Op::Shutdown(message::Shutdown { grace_ms })));
        drop(guest);
        self.await_end(Instant::now() + left + POWER_OFF, |_| false).await;
    }

    /// Whether its containers have to be ended one after another.
    fn ends_in_sequence(&self) -> bool {
        let containers = &self.record.spec.containers;
        containers.iter().any(|c| c.role == Role::Sidecar || c.lifecycle.pre_stop.is_some())
    }

    /// Hooks and stop signals for all but the sidecars; when they have ended, the sidecars, the last first.
    async fn end_in_sequence(&mut self, deadline: Instant) {
        let roles: Vec<Role> = self.record.spec.containers.iter().map(|c| c.role).collect();
        let (sidecars, others): (Vec<usize>, Vec<usize>) =
            (0..roles.len()).partition(|index| roles[*index] == Role::Sidecar);
        let steps = std::iter::once(others).chain(sidecars.into_iter().rev().map(|index| vec![index]));
        for step in steps {
            let left = deadline.saturating_duration_since(Instant::now());
            for index in step {
                if self.record.containers[index].state == ContainerState::Running {
                    self.begin_ending(index, left, None, None);
                }
            }
            // Each has a time of its own after which it is killed, and one after which it is not waited for.
            self.await_end(Instant::now() + left + AFTER_KILL, |pod| pod.endings.is_empty()).await;
        }
    }

    /// Takes in what the guest says until `enough`, the domain has ended, or the time is over.
    async fn await_end(&mut self, deadline: Instant, enough: impl Fn(&Self) -> bool) {
        let mut channel_gone = false;
        while !enough(self) {
            let Ok(happening) = tokio::time::timeout_at(deadline, self.next()).await else { return };
            match happening {
                Happening::Guest(FromGuest::Lost { .. }) | Happening::GuestClosed => {
                    // All it had to say is said. The domain's end follows at once; it need not be waited for long.
                    self.guest_events = None;
                    channel_gone = true;
                }
                Happening::Guest(FromGuest::Event(event)) => self.guest_event(event).await,
                Happening::EndingDue(key) => self.ending_due(&key),
                Happening::Noted(note) => self.noted(note).await,
                Happening::Sight(Sight::Absent) => return,
                Happening::Sight(Sight::Present(domain)) if domain.shutdown.is_some() || domain.dying => {
                    if channel_gone || self.guest_events.is_none() {
                        return;
                    }
                    self.drain_guest().await;
                    return;
                }
                _ => {}
            }
        }
    }

    /// Takes in what the guest said before it went.
    pub(super) async fn drain_guest(&mut self) {
        let patience = Instant::now() + Duration::from_secs(1);
        while let Some(events) = &mut self.guest_events {
            match tokio::time::timeout_at(patience, events.recv()).await {
                Ok(Some(FromGuest::Event(event))) => self.guest_event(event).await,
                Ok(Some(FromGuest::Up { .. })) => {}
                Ok(Some(FromGuest::Lost { .. }) | None) | Err(_) => self.guest_events = None,
            }
        }
    }
}
