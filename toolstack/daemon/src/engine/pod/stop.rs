//! Ending a pod in order.

use std::time::Duration;

use tokio::time::Instant;
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
        let Some(guest) = self.guest.clone() else { return };
        let deadline = Instant::now() + grace;
        // guest-init ends everything with SIGTERM by itself; images that want another signal get it first.
        let mut own_signals = false;
        for (container, image) in self.record.containers.iter().zip(&self.images) {
            let signal = process::stop_signal(image);
            if container.state == ContainerState::Running && signal != process::SIGTERM {
                own_signals = true;
                let name = container.name.clone();
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
                .map(|(c, _)| c.name.clone())
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
