//! Containers that are being ended one by one: the stop signal, a grace, the kill. Nothing waits for them here; what follows
//! comes as events and timers.

use std::time::Duration;

use tokio::time::Instant;
use xenpod_protocol::message::{self, request::Op};

use super::super::failure::Failure;
use super::super::jobs::Job;
use super::super::process;
use super::Pod;
use super::care::{Note, Task};
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

impl Then {
    fn job(&self) -> &Job {
        let (Self::End(job) | Self::Remove(job)) = self;
        job
    }
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
    /// Each waits for one job's being cancelled.
    cancels: Vec<Task>,
}

impl Pod {
    /// Begins to end a container that runs: its hook, its stop signal. A further request can only make it faster.
    pub(super) fn begin_ending(&mut self, index: usize, grace: Duration, then: Option<Then>, why: Option<String>) {
        let key = self.record.containers[index].key().to_owned();
        let kill_at = Instant::now() + grace;
        let cancels = then.as_ref().map(|then| self.wait_for_cancel(&key, then.job()));
        if let Some(ending) = self.endings.iter_mut().find(|e| e.key == key) {
            ending.then.extend(then);
            ending.cancels.extend(cancels);
            if !ending.killed {
                ending.at = ending.at.min(kill_at);
            }
            return;
        }
        let hook = if grace.is_zero() { None } else { self.begin_pre_stop(index, grace) };
        let signal_now = hook.is_none() && !grace.is_zero();
        let (then, cancels) = (then.into_iter().collect(), cancels.into_iter().collect());
        self.endings.push(Ending { key, at: kill_at, killed: false, hook, why, then, cancels });
        if signal_now {
            self.send_signal(index, process::stop_signal(&self.images[index]), false);
        }
    }

    fn wait_for_cancel(&self, key: &str, job: &Job) -> Task {
        let (notes, key, job) = (self.notes.0.clone(), key.to_owned(), job.clone());
        Task::spawn(async move {
            job.canceller().cancelled().await;
            let _ = notes.send(Note::Withdrawn { key, job: job.id() });
        })
    }

    /// A job that ends a container was cancelled. Before the kill that is possible: what the container was sent it keeps, but
    /// it is not killed if nobody else wants its end, and is started again as before if it ends by itself.
    pub(super) async fn withdraw_ending(&mut self, key: &str, job: u32) {
        let Some(position) = self.endings.iter().position(|e| e.key == key && !e.killed) else { return };
        let ending = &mut self.endings[position];
        let Some(then) = ending.then.iter().position(|then| then.job().id() == job) else { return };
        let then = ending.then.swap_remove(then);
        let wanted = !ending.then.is_empty() || ending.why.is_some();
        let mut name = key;
        if let Some(container) = self.record.containers.iter_mut().find(|c| c.key() == key) {
            container.held &= wanted;
            name = &container.name;
        }
        let what = format!("ending container {name} of pod {}", self.record.spec.name);
        if !wanted {
            self.endings.swap_remove(position);
            self.save_or_log().await;
        }
        then.job().end(&Err(Failure::Cancelled(what)));
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
