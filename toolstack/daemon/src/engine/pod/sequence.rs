//! The start of a pod whose containers are not all started at once: init containers, sidecars, hooks.
//!
//! The pod is `starting` until all of them have been started; what each of them waits for comes as events and notes, and after
//! each the next step is looked for. Other pods never come here.

use xenpod_api::spec::{ContainerSpec, Role};
use xenpod_api::state::{ContainerState, PodState};

use super::super::failure::Failure;
use super::super::jobs::Job;
use super::Pod;
use crate::journal::ContainerRecord;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Start that container.
    Start(usize),
    /// Something has to happen first.
    Wait,
    /// That init container has failed for good.
    Failed(usize),
    /// All of them have been started.
    Done,
}

/// Whether its containers have to be started one after another.
pub(super) fn in_sequence(containers: &[ContainerSpec]) -> bool {
    let waits = |c: &ContainerSpec| match c.role {
        Role::Init | Role::Sidecar => true,
        Role::App => c.lifecycle.post_start.is_some(),
        Role::Added => false,
    };
    containers.iter().any(waits)
}

/// The next step of a start: a pure function.
fn next_step(specs: &[ContainerSpec], records: &[ContainerRecord]) -> Step {
    use ContainerState as S;
    for (index, (spec, record)) in specs.iter().zip(records).enumerate() {
        match (spec.role, record.state) {
            (Role::Added, _) => {}
            (_, S::Created) => return Step::Start(index),
            (Role::Init, S::Exited) if record.exit_code != 0 || record.held => return Step::Failed(index),
            (Role::Init, S::Exited) => {}
            (Role::Init, S::Running | S::Waiting) => return Step::Wait,
            // The next one may count on it.
            (Role::Sidecar, S::Running) if record.up => {}
            (Role::Sidecar, S::Running | S::Waiting) => return Step::Wait,
            // Its hook holds up the next one; its startup probe does not.
            (Role::App, S::Running)
                if spec.lifecycle.post_start.is_some() && !record.up && spec.probes.startup.is_none() =>
            {
                return Step::Wait;
            }
            (Role::App | Role::Sidecar, _) => {}
        }
    }
    Step::Done
}

impl Pod {
    /// Whether its containers have to be started one after another.
    pub(super) fn in_sequence(&self) -> bool {
        in_sequence(&self.record.spec.containers)
    }

    /// Takes the next steps of a start that goes on. Afterwards the pod may be over.
    pub(super) async fn advance(&mut self) {
        while self.record.state == PodState::Starting && self.guest.is_some() {
            match next_step(&self.record.spec.containers, &self.record.containers) {
                Step::Wait => return,
                Step::Start(index) => {
                    let result = self.launch(index).await;
                    self.save_or_log().await;
                    self.publish();
                    if let Err(failure) = result {
                        return self.start_failed(failure).await;
                    }
                }
                Step::Failed(index) => {
                    let (pod, c) = (self.name(), &self.record.containers[index]);
                    let (container, code) = (c.name.clone(), c.exit_code);
                    return self.start_failed(Failure::InitFailed { pod, container, code }).await;
                }
                Step::Done => {
                    self.phase("containers");
                    self.enter(PodState::Running, "", "");
                    self.save_or_log().await;
                    return self.start_over(|| Ok(()));
                }
            }
        }
    }

    async fn start_failed(&mut self, failure: Failure) {
        let job = self.beginning.take();
        let failure = self.give_up(failure).await;
        if let Some(job) = job {
            job.end(&Err(failure));
        }
    }

    /// Who asked for it to end.
    pub(super) async fn start_cancelled(&mut self) {
        self.start_failed(Failure::Cancelled(format!("pod {}", self.name()))).await;
    }

    /// The start is over, in this way; the job that waits for it, if there is one, ends.
    pub(super) fn start_over(&mut self, how: impl FnOnce() -> Result<(), Failure>) {
        if let Some(job) = self.beginning.take() {
            job.end(&how());
        }
    }

    /// A start has got as far as it does at once: what is to come ends the job.
    pub(super) async fn started(&mut self, job: Job, result: Result<(), Failure>) {
        match result {
            Ok(()) if self.record.state == PodState::Starting => {
                self.beginning = Some(job);
                self.advance().await;
                self.end_if_over().await;
            }
            result => job.end(&result),
        }
    }
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
