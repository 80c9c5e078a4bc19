//! A pod as everybody but its own task sees it.

use std::net::IpAddr;

use xenpod_api::spec::Role;
use xenpod_api::state::{ExitReason, PodState};

use crate::journal::{ContainerRecord, Record};

/// A picture of a pod. A new one is published at each change.
#[derive(Clone, Debug, PartialEq)]
pub struct PodStatus {
    /// What is (or is about to be) on disk.
    pub record: Record,
    /// The domain, while there is one.
    pub domid: Option<u16>,
    /// What the last start did when, in microseconds since it was asked for.
    pub phases: Vec<(String, u64)>,
    /// The pod is no more.
    pub removed: bool,
}

impl PodStatus {
    /// Its state.
    #[must_use]
    pub fn state(&self) -> PodState {
        self.record.state
    }

    /// The container of that name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerRecord> {
        self.record.containers.iter().find(|c| c.name == name)
    }

    /// Its addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.record.lease.map_or_else(Vec::new, |l| vec![l.v4.into(), l.v6.into()])
    }

    /// Everything that is to run does, and says that it is ready.
    #[must_use]
    pub fn ready(&self) -> bool {
        let mut all = self.record.containers.iter().zip(&self.record.spec.containers);
        self.state() == PodState::Running && all.all(|(c, s)| c.ready || matches!(s.role, Role::Init | Role::Added))
    }

    /// The containers whose end is the pod's: sidecars, and those that were made in the running pod, do not count.
    fn counted(&self) -> impl Iterator<Item = &ContainerRecord> {
        let all = self.record.containers.iter().zip(&self.record.spec.containers);
        all.filter(|(_, s)| matches!(s.role, Role::App | Role::Init)).map(|(c, _)| c)
    }

    /// The exit code of the whole: that of the first container, in the manifest's order, which did not end with 0.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        self.counted().map(|c| c.exit_code).find(|c| *c != 0).unwrap_or(0)
    }

    /// Why the whole ended: the worst of its containers' reasons.
    #[must_use]
    pub fn exit_reason(&self) -> ExitReason {
        let has = |reason| self.counted().any(|c| c.reason == Some(reason));
        [ExitReason::OomKilled, ExitReason::Error, ExitReason::Signal]
            .into_iter()
            .find(|r| has(*r))
            .unwrap_or(ExitReason::Completed)
    }
}
