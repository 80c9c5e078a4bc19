//! A container's limits change while it runs.

use tokio::sync::oneshot;
use xenpod_api::manifest::check_limits;
use xenpod_api::spec::Resources;
use xenpod_api::state::{ContainerState, PodState};
use xenpod_protocol::message::{self, ErrorKind, request::Op};

use super::super::failure::Failure;
use super::super::process;
use super::Pod;
use crate::guest::GuestError;

/// What is to change of a container's limits; `Some(0)` takes one away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitChange {
    /// The most memory, in bytes.
    pub memory_limit: Option<u64>,
    /// The memory that it is promised, in bytes.
    pub memory_request: Option<u64>,
    /// The most CPU time, in thousandths of a CPU.
    pub cpu_limit_milli: Option<u64>,
    /// Its share of CPU time, in thousandths of a CPU.
    pub cpu_request_milli: Option<u64>,
}

impl LimitChange {
    /// The limits after it.
    #[must_use]
    pub fn of(&self, now: &Resources) -> Resources {
        let pick = |new: Option<u64>, old| new.map_or(old, |n| (n > 0).then_some(n));
        Resources {
            memory_limit: pick(self.memory_limit, now.memory_limit),
            memory_request: pick(self.memory_request, now.memory_request),
            cpu_limit_milli: pick(self.cpu_limit_milli, now.cpu_limit_milli),
            cpu_request_milli: pick(self.cpu_request_milli, now.cpu_request_milli),
        }
    }
}

/// A request to change them.
#[derive(Debug)]
pub struct LimitRequest {
    /// Of which container.
    pub container: String,
    /// What is to change.
    pub change: LimitChange,
    /// Told when that is done.
    pub answer: oneshot::Sender<Result<(), Failure>>,
}

impl Pod {
    pub(super) async fn limit(&mut self, request: LimitRequest) {
        let result = self.change_limits(&request.container, request.change).await;
        let _ = request.answer.send(result);
    }

    async fn change_limits(&mut self, name: &str, change: LimitChange) -> Result<(), Failure> {
        let pod = self.name();
        let Some(index) = self.record.containers.iter().position(|c| c.name == name) else {
            return Err(Failure::NoSuchContainer { pod, container: name.into() });
        };
        let before = self.record.spec.containers[index].resources.clone();
        let wanted = change.of(&before);
        check_limits(&wanted)
            .map_err(|why| Failure::BadDescription { pod: pod.clone(), why: format!("container {name}: {why}") })?;
        if wanted == before {
            return Ok(());
        }
        self.record.spec.containers[index].resources = wanted.clone();
        let mut result = self.save().await;
        let container = &self.record.containers[index];
        if result.is_ok()
            && self.record.state == PodState::Running
            && container.state == ContainerState::Running
            && let Some(guest) = &self.guest
        {
            let resources = Some(process::resources(&wanted));
            let op = message::UpdateResources { container: container.key().to_owned(), resources };
            let sent = guest.send("to change a container's limits", Op::UpdateResources(op));
            result = sent.done(self.world.settings.answer_timeout).await.map_err(|source| match source {
                GuestError::Refused(e) if e.kind() == ErrorKind::NoMemory => {
                    Failure::LimitInUse { pod, text: e.message }
                }
                source => self.guest_failure(Some(name.into()), source),
            });
        }
        if result.is_err() {
            self.record.spec.containers[index].resources = before;
            self.save_or_log().await;
            return result;
        }
        tracing::info!(pod_id = %self.record.id, container = name, limits = ?wanted, "container {name} has other limits");
        self.publish();
        Ok(())
    }
}
