//! Giving everything back. There is one way to do it, whatever led here: a stop, a failure, a crash of the daemon.
//!
//! It goes by the record, not by memory; each step finds what there is by a name derived from the pod's id, and goes on
//! after an error, so that one thing that is stuck does not keep the rest.

use xenpod_api::state::{ContainerState, ExitReason, PodState};

use super::super::failure::Failure;
use super::super::is_active;
use super::super::reconcile::End;
use super::{Pod, lock};
use crate::clock;
use crate::devices::DeviceError;
use crate::engine::contents::Contents;
use crate::journal::Intent;

impl Pod {
    /// Gives back the domain, its interface, its disks.
    pub(super) async fn release(&mut self) -> Result<(), Failure> {
        let (id, pod) = (self.record.id, self.name());
        let mut failures = Vec::new();
        self.disconnect();
        // What is written of the domain for others must be there to be removed with it.
        if let Some(describing) = self.describing.take() {
            let _ = describing.await;
        }
        if let Err(source) = self.world.domains.destroy(id).await {
            failures.push(Failure::Domain { pod: pod.clone(), source });
        }
        if let Some(lease) = &self.record.lease
            && let Err(source) = self.world.net.detach(id, self.domid.or(self.record.domid), lease).await
        {
            failures.push(Failure::Net { pod: pod.clone(), source });
        }
        // While the domain may be there, its disks are still in use.
        if failures.is_empty() {
            let released = self.world.disks.release(id, &self.scratch_file()).await;
            if let Err(source) = released.and_then(|()| self.remove_volume_files()) {
                failures.push(Failure::Device { pod, source });
            }
        }
        match failures.len() {
            0 => {
                self.domid = None;
                self.record.domid = None;
                self.disks.clear();
                self.retry = None;
                Ok(())
            }
            1 => Err(failures.remove(0)),
            _ => Err(Failure::Several(failures)),
        }
    }

    fn remove_volume_files(&self) -> Result<(), DeviceError> {
        self.volume_files().into_iter().try_for_each(|(path, _)| match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(DeviceError::Io { what: "remove", path, source })
            }
            _ => Ok(()),
        })
    }

    /// Gives back what could not be given back before.
    pub(super) async fn release_again(&mut self) {
        self.retry = None;
        match self.release().await {
            Ok(()) => {
                tracing::info!(pod_id = %self.record.id, pod = self.record.spec.name, "pod {}: the rest was given back", self.record.spec.name);
                self.record.message = self.record.message.split("; not everything").next().unwrap_or_default().into();
                self.save_or_log().await;
                self.publish();
            }
            Err(error) => {
                tracing::warn!(pod_id = %self.record.id, pod = self.record.spec.name, %error, "pod {}: still not given back: {error}", self.record.spec.name);
                self.retry = Some(tokio::time::Instant::now() + self.world.settings.release_retry);
            }
        }
    }

    /// Ends the link to the guest; what it was doing ends with it.
    pub(super) fn disconnect(&mut self) {
        if let Some(guest) = self.guest.take() {
            guest.close();
        }
        self.guest_events = None;
        self.restarts.clear();
        self.resize_over();
        self.endings_over();
        self.cares.clear();
        let name = self.name();
        self.start_over(|| Err(Failure::Cancelled(format!("the start of pod {name}"))));
        for log in self.logs.values() {
            lock(log).end();
        }
        for exec in lock(&self.shared.execs).values() {
            exec.lost();
        }
    }

    /// Ends in `state`, with everything given back, and says why.
    pub(super) async fn settle(&mut self, state: PodState, reason: &str, message: &str) {
        self.record.intent = Intent::Stop;
        if reason != "Stopped" {
            let (pod, how) = (self.name(), format!("ended ({message})"));
            self.start_over(|| Err(Failure::DomainEnded { pod, how }));
        }
        self.contents = Contents::default();
        for container in &mut self.record.containers {
            if is_active(container.state) {
                container.state = ContainerState::Exited;
                container.exit_code = 128 + 9;
                container.signal = 9;
                container.reason = Some(ExitReason::Error);
                container.message = format!("ended with the pod: {message}");
                container.finished_usec = clock::now_usec();
            }
            container.pid = 0;
            (container.up, container.ready) = (false, false);
        }
        let released = self.release().await;
        let message = match &released {
            Ok(()) => message.to_owned(),
            Err(error) => {
                tracing::error!(
                    pod_id = %self.record.id, pod = self.record.spec.name, %error,
                    "pod {}: not everything could be given back: {error}", self.record.spec.name
                );
                self.retry = Some(tokio::time::Instant::now() + self.world.settings.release_retry);
                format!("{message}; not everything could be given back yet: {error}")
            }
        };
        self.enter(state, reason, &message);
        self.save_or_log().await;
    }

    /// The pod has failed: everything is given back and it stays, to be looked at.
    pub(super) async fn failed(&mut self, failure: &Failure) {
        self.settle(PodState::Failed, failure.reason(), &failure.to_string()).await;
    }

    /// Same, for the failure of a piece of work, which is then handed on to who asked.
    pub(super) async fn give_up(&mut self, failure: Failure) -> Failure {
        self.failed(&failure).await;
        failure
    }

    /// After a restart of the daemon: what the pod may still hold is given back, and it ends up as `end` says. True: it is
    /// removed.
    pub(super) async fn settle_as(&mut self, end: End) -> bool {
        match end {
            End::In(state, reason, message) => self.settle(state, &reason, &message).await,
            End::Removed => return self.erase().await.is_ok(),
            // Its folder is all it has; whatever a crash in its last moments left goes with the same hand.
            End::AsItWas => {
                if self.release().await.is_err() {
                    self.retry = Some(tokio::time::Instant::now() + self.world.settings.release_retry);
                }
            }
        }
        false
    }

    /// Removes the pod: everything it holds, its addresses, its record, its logs.
    pub(super) async fn erase(&mut self) -> Result<(), Failure> {
        let released = self.release().await;
        if let Err(failure) = released {
            let text = failure.to_string();
            self.settle(PodState::Failed, failure.reason(), &text).await;
            return Err(failure);
        }
        lock(&self.shared.logs).clear();
        lock(&self.shared.execs).clear();
        self.logs.clear();
        let (journal, id) = (self.world.journal.clone(), self.record.id);
        crate::blocking::blocking(move || journal.remove(id)).await?;
        let mut picture = (**self.status.borrow()).clone();
        picture.removed = true;
        self.status.send_replace(std::sync::Arc::new(picture));
        if let Some(engine) = self.engine.upgrade() {
            engine.forget(id, &self.record.kernel_digest);
        }
        tracing::info!(pod_id = %id, pod = self.record.spec.name, "pod {} is removed", self.record.spec.name);
        Ok(())
    }
}
