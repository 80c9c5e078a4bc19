//! Containers that are being ended one by one: the stop signal, a grace, the kill. Nothing waits for them here; what follows
//! comes as events and timers.

use std::time::Duration;

use tokio::time::Instant;
use xenpod_protocol::message::{self, request::Op};

use super::super::failure::Failure;
use super::super::jobs::Job;
use super::super::process;
use super::Pod;
use super::care::Task;
use crate::guest::GuestError;

/// From the kill to the end, at most.
const DYING: Duration = Duration::from_secs(10);
/// From a stop signal that follows a hook to the kill, at least.
const AFTER_HOOK: Duration = Duration::from_secs(2);

/// What is to follow a container's end.
#[derive(Debug)]
pub(super) enum Then {
    /// The job ends.
    End(Job),
    /// It is removed; then the job ends.
    Remove(Job),
}

/// A container that is being ended.
#[derive(Debug)]
pub(super) struct Ending {
    key: String,
    /// The next thing to do if it has not ended by then.
    at: Instant,
    killed: bool,
    /// The hook that comes before the stop signal, while it runs.
    hook: Option<Task>,
    /// It is ended because it is not well: why. It is to be started again unless the policy is Never.
    why: Option<String>,
    then: Vec<Then>,
}

impl Pod {
    /// Begins to end a container that runs: its hook, its stop signal. A further request can only make it faster.
    pub(super) fn begin_ending(&mut self, index: usize, grace: Duration, then: Option<Then>, why: Option<String>) {
        let key = self.record.containers[index].key().to_owned();
        let kill_at = Instant::now() + grace;
        if let Some(ending) = self.endings.iter_mut().find(|e| e.key == key) {
            ending.then.extend(then);
            if !ending.killed {
                ending.at = ending.at.min(kill_at);
            }
            return;
        }
        let hook = if grace.is_zero() { None } else { self.begin_pre_stop(index, grace) };
        let signal_now = hook.is_none() && !grace.is_zero();
        let then = then.into_iter().collect();
        self.endings.push(Ending { key, at: kill_at, killed: false, hook, why, then });
        if signal_now {
            self.send_signal(index, process::stop_signal(&self.images[index]), false);
        }
    }

    /// The hook before the stop signal is done, or has failed, which changes nothing.
    pub(super) fn pre_stop_done(&mut self, index: usize, key: &str) {
        let Some(ending) = self.endings.iter_mut().find(|e| e.key == key && e.hook.is_some()) else { return };
        ending.hook = None;
        // What the hook has used up is not taken from the container altogether.
        ending.at = ending.at.max(Instant::now() + AFTER_HOOK);
        self.send_signal(index, process::stop_signal(&self.images[index]), false);
    }

    /// Why a container that has just ended was ended, if it was not well.
    pub(super) fn ended_because(&self, key: &str) -> Option<String> {
        self.endings.iter().find(|e| e.key == key)?.why.clone()
    }

    /// Does not wait for the answer: one that has just ended needs no signal.
    fn send_signal(&self, index: usize, signal: u32, all: bool) {
        if let Some(guest) = &self.guest {
            let name = self.record.containers[index].key().to_owned();
            let op = Op::SignalContainer(message::SignalContainer { name, signal, all });
            drop(guest.send("to signal a container", op));
        }
    }

    /// When the next of them is to be looked at, and its key.
    pub(super) fn next_ending(&self) -> Option<(Instant, String)> {
        self.endings.iter().min_by_key(|e| e.at).map(|e| (e.at, e.key.clone()))
    }

    /// The grace of one is over.
    pub(super) fn ending_due(&mut self, key: &str) {
        let Some(position) = self.endings.iter().position(|e| e.key == key) else { return };
        let index = self.record.containers.iter().position(|c| c.key() == key);
        if let Some(index) = index
            && !self.endings[position].killed
        {
            // A hook that took all of the grace leaves a little for the stop signal, as in Kubernetes.
            if self.endings[position].hook.is_some() {
                return self.pre_stop_done(index, key);
            }
            self.endings[position].killed = true;
            self.endings[position].at = Instant::now() + DYING;
            return self.send_signal(index, 9, true);
        }
        let name = index.map(|i| self.record.containers[i].name.clone());
        for then in self.endings.swap_remove(position).then {
            let (Then::End(job) | Then::Remove(job)) = then;
            let source = GuestError::Timeout { what: "for the end of a killed container", after: DYING };
            job.end(&Err(self.guest_failure(name.clone(), source)));
        }
    }

    /// A container has ended, and the record says so.
    pub(super) async fn ending_done(&mut self, key: &str) {
        let Some(position) = self.endings.iter().position(|e| e.key == key) else { return };
        let mut result: Result<(), Failure> = Ok(());
        let then = self.endings.swap_remove(position).then;
        if then.iter().any(|t| matches!(t, Then::Remove(_)))
            && let Some(index) = self.record.containers.iter().position(|c| c.key() == key)
        {
            result = self.remove_container(index).await;
        }
        for then in then {
            match then {
                Then::End(job) => job.end(&Ok(())),
                Then::Remove(job) => job.end(&result),
            }
        }
    }

    /// The pod has ended, and all its containers with it.
    pub(super) fn endings_over(&mut self) {
        for ending in self.endings.drain(..) {
            for then in ending.then {
                match then {
                    Then::End(job) => job.end(&Ok(())),
                    Then::Remove(job) => {
                        let what = format!("pod {} has ended: removing a container of it", self.record.spec.name);
                        job.end(&Err(Failure::Cancelled(what)));
                    }
                }
            }
        }
    }
}
