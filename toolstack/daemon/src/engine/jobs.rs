//! Work that takes its time: a state, a progress, a way to end it, and what it ended with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use xenpod_api::state::JobResult;

use super::Change;
use super::failure::Failure;

/// How long an ended job can still be looked at.
pub const LINGER: Duration = Duration::from_secs(60);
/// How many ended jobs are kept at most.
pub const KEPT: usize = 256;

/// What a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobKind {
    /// Build a pod, and perhaps start it.
    Create,
    /// Start one.
    Start,
    /// Stop one.
    Stop,
    /// Remove one.
    Remove,
    /// Make a container in a running pod.
    CreateContainer,
    /// Start one.
    StartContainer,
    /// End one.
    StopContainer,
    /// Remove one.
    RemoveContainer,
    /// Give a pod another size.
    Resize,
    /// Fetch an image.
    Pull,
    /// Take an image from a file.
    Import,
    /// Take a guest kernel from a file.
    ImportKernel,
}

impl JobKind {
    /// The word on the bus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Remove => "remove",
            Self::CreateContainer => "create-container",
            Self::StartContainer => "start-container",
            Self::StopContainer => "stop-container",
            Self::RemoveContainer => "remove-container",
            Self::Resize => "resize",
            Self::Pull => "pull",
            Self::Import => "import",
            Self::ImportKernel => "import-kernel",
        }
    }
}

/// What a job ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In one word.
    pub result: JobResult,
    /// The error's name on the bus, or empty.
    pub error_name: String,
    /// Its text, or empty.
    pub message: String,
}

/// One part of a job's progress: what, how many bytes are done, of how many.
pub type Item = (String, u64, u64);

/// A job as others see it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStatus {
    /// Its number.
    pub id: u32,
    /// What it is for.
    pub kind: JobKind,
    /// Whose it is.
    pub owner_uid: u32,
    /// Paths of the objects it is about.
    pub objects: Vec<String>,
    /// Its parts.
    pub items: Vec<Item>,
    /// What it came to, in figures, where there is something to say.
    pub came_to: BTreeMap<String, u64>,
    /// `None` while it is at work.
    pub outcome: Option<Outcome>,
}

impl JobStatus {
    /// The state's word on the bus.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.outcome.as_ref().map_or("running", |o| o.result.as_str())
    }

    /// From 0 to 1.
    #[must_use]
    pub fn progress(&self) -> f64 {
        match &self.outcome {
            Some(o) if o.result == JobResult::Done => 1.0,
            _ => {
                let (done, total) = self.items.iter().fold((0, 0), |(d, t), (_, done, total)| (d + done, t + total));
                if total == 0 { 0.0 } else { (done as f64 / total as f64).min(1.0) }
            }
        }
    }
}

/// Asks a piece of work to end.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<watch::Sender<bool>>);

impl Default for Cancel {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Cancel {
    /// Asks.
    pub fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Whether it was asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when it is asked.
    pub async fn cancelled(&self) {
        // The sender is held by `self`: this ends only with `true`.
        let _ = self.0.subscribe().wait_for(|c| *c).await;
    }

    /// Runs `work` to its end, or drops it when asked.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.cancelled() => None,
            done = work => Some(done),
        }
    }
}

/// Where a piece of work says how far it is. Cheap to clone; may be of no job.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<Job>);

impl Progress {
    /// Sets the progress of one part.
    pub fn set(&self, item: &str, done: u64, total: u64) {
        if let Some(job) = &self.0 {
            job.update(|s| match s.items.iter_mut().find(|(name, ..)| name == item) {
                Some((_, d, t)) => (*d, *t) = (done, total),
                None => s.items.push((item.into(), done, total)),
            });
        }
    }
}

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    status: watch::Sender<JobStatus>,
    cancel: Cancel,
    changes: mpsc::UnboundedSender<Change>,
}

impl Job {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.status.borrow().id
    }

    /// As it is now.
    #[must_use]
    pub fn status(&self) -> JobStatus {
        self.status.borrow().clone()
    }

    /// Asks it to end. What it has taken is given back before it does. A job that has ended stays as it is.
    ///
    /// # Errors
    /// [`Failure::NotCancellable`]: it stops or removes a pod.
    pub fn cancel(&self) -> Result<(), Failure> {
        let (kind, at_work) = {
            let status = self.status.borrow();
            (status.kind, status.outcome.is_none())
        };
        if at_work && matches!(kind, JobKind::Stop | JobKind::Remove) {
            return Err(Failure::NotCancellable { job: self.id(), kind: kind.as_str() });
        }
        self.cancel.cancel();
        Ok(())
    }

    /// For the work.
    #[must_use]
    pub fn canceller(&self) -> &Cancel {
        &self.cancel
    }

    /// For the work.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress(Some(self.clone()))
    }

    /// Says in figures what it came to.
    pub fn came_to<const N: usize>(&self, figures: [(&str, u64); N]) {
        self.update(|s| s.came_to = figures.into_iter().map(|(name, n)| (name.to_owned(), n)).collect());
    }

    /// Names an object it is about.
    pub fn add_object(&self, path: String) {
        self.update(|s| s.objects.push(path));
    }

    /// Returns when it has ended.
    pub async fn wait(&self) -> Outcome {
        let mut status = self.status.subscribe();
        let ended = status.wait_for(|s| s.outcome.is_some()).await.ok().and_then(|s| s.outcome.clone());
        ended.unwrap_or(Outcome { result: JobResult::Cancelled, error_name: String::new(), message: String::new() })
    }

    fn update(&self, change: impl FnOnce(&mut JobStatus)) {
        self.status.send_modify(change);
        let _ = self.changes.send(Change::Job(self.id()));
    }

    /// Ends it. What it ended with first stays.
    pub fn end(&self, result: &Result<(), Failure>) {
        let outcome = match result {
            Ok(()) => Outcome { result: JobResult::Done, error_name: String::new(), message: String::new() },
            Err(e) => Outcome {
                result: if matches!(e, Failure::Cancelled(_)) { JobResult::Cancelled } else { JobResult::Failed },
                error_name: e.name().to_string(),
                message: e.to_string(),
            },
        };
        let first = self.status.send_if_modified(|s| {
            let first = s.outcome.is_none();
            s.outcome.get_or_insert(outcome);
            first
        });
        if first {
            let _ = self.changes.send(Change::JobEnded(self.id()));
        }
    }
}

/// All jobs.
#[derive(Debug)]
pub struct Jobs {
    all: Mutex<BTreeMap<u32, Job>>,
    next: Mutex<u32>,
    max_running: usize,
    max_per_user: usize,
    changes: mpsc::UnboundedSender<Change>,
}

impl Jobs {
    /// None yet. The second bound is that of each user who is not root.
    #[must_use]
    pub fn new(max_running: usize, max_per_user: usize, changes: mpsc::UnboundedSender<Change>) -> Self {
        Self { all: Mutex::default(), next: Mutex::new(1), max_running, max_per_user, changes }
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u32, Job>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a job.
    ///
    /// # Errors
    /// [`Failure::Limit`] when too many are at work.
    pub fn begin(&self, kind: JobKind, owner_uid: u32, objects: Vec<String>) -> Result<Job, Failure> {
        let mut all = self.all();
        let at_work = || all.values().filter(|j| j.status.borrow().outcome.is_none());
        let running = at_work().count();
        if running >= self.max_running {
            return Err(Failure::Limit(format!("{running} jobs are at work; wait until some have ended")));
        }
        if owner_uid != 0 {
            let own = at_work().filter(|j| j.status.borrow().owner_uid == owner_uid).count();
            if own >= self.max_per_user {
                let text = format!("{own} jobs of user {owner_uid} are at work; wait until some have ended");
                return Err(Failure::Limit(text));
            }
        }
        let id = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let id = *next;
            *next = next.wrapping_add(1).max(1);
            id
        };
        let status =
            JobStatus { id, kind, owner_uid, objects, items: Vec::new(), came_to: BTreeMap::new(), outcome: None };
        let job = Job { status: watch::Sender::new(status), cancel: Cancel::default(), changes: self.changes.clone() };
        all.insert(id, job.clone());
        let _ = self.changes.send(Change::JobNew(id));
        // Bound what is kept of the past.
        let ended: Vec<u32> =
            all.iter().filter(|(_, j)| j.status.borrow().outcome.is_some()).map(|(id, _)| *id).collect();
        for old in ended.iter().take(ended.len().saturating_sub(KEPT)) {
            all.remove(old);
        }
        Ok(job)
    }

    /// A job by its number.
    #[must_use]
    pub fn get(&self, id: u32) -> Option<Job> {
        self.all().get(&id).cloned()
    }

    /// Every job that is kept.
    #[must_use]
    pub fn list(&self) -> Vec<Job> {
        self.all().values().cloned().collect()
    }

    /// Forgets a job that has ended.
    pub fn forget(&self, id: u32) {
        self.all().remove(&id);
    }
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
