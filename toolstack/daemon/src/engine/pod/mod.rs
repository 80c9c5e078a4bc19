//! One pod: its task, what can be asked of it, and what it holds.
//!
//! ```text
//!   mailbox --Ask--> judge (transition) --> perform --> build / boot / stop / release / ...
//!   guest, domain, timers --Happening--> events
//! ```
//!
//! While a piece of work is going on, further requests are judged against the published state: refused, queued, or made to
//! interrupt it. Nothing else changes the pod.

mod ask;
mod boot;
mod build;
mod care;
mod containers;
mod describe;
mod disks;
mod ending;
mod events;
mod exec;
mod handle;
mod limits;
mod release;
mod resize;
mod sequence;
mod stop;
mod streams;
mod termination;

pub use ask::Ask;
pub use containers::ContainerAsk;
pub(super) use events::how_it_ended;
pub use handle::PodHandle;
use handle::Shared;
pub use limits::{LimitChange, LimitRequest};

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use xenpod_api::state::PodState;

use super::contents::Contents;
use super::failure::Failure;
use super::jobs::{Cancel, Job, Progress};
use super::status::PodStatus;
use super::transition::{Verdict, judge};
use super::watcher::Sight;
use super::world::{DiskPlan, ImageInfo, World};
use super::{Change, Engine};
use crate::clock;
use crate::guest::{FromGuest, Guest, SharedLog};
use crate::journal::{Intent, Record};

/// A sentence to follow another.
fn colon(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first record of a new pod, on its way to the disk; a pod that is not new has none.
struct FirstRecord(Option<oneshot::Receiver<bool>>);

impl FirstRecord {
    /// Waits until it is there.
    async fn on_disk(&mut self, pod: &str) -> Result<(), Failure> {
        let Some(recorded) = &mut self.0 else { return Ok(()) };
        let there = recorded.await.unwrap_or(false);
        self.0 = None;
        // Why it is not, the one who asked has been told.
        if there { Ok(()) } else { Err(Failure::Removed(pod.into())) }
    }
}

/// A pod, to its own task.
pub(super) struct Pod {
    world: Arc<World>,
    engine: Weak<Engine>,
    record: Record,
    status: watch::Sender<Arc<PodStatus>>,
    changes: mpsc::UnboundedSender<Change>,
    shared: Arc<Shared>,
    sight: watch::Receiver<Sight>,
    sight_reset: watch::Sender<Sight>,

    /// The images, in the containers' order, once they are known.
    images: Vec<Arc<ImageInfo>>,
    /// The disks, in the guest's order.
    disks: Vec<DiskPlan>,
    /// What was given beside the manifest and the guest does not have yet.
    contents: Contents,
    domid: Option<u16>,
    guest: Option<Guest>,
    guest_events: Option<mpsc::UnboundedReceiver<FromGuest>>,
    logs: HashMap<String, SharedLog>,
    /// Containers to be started again, and when; by their keys.
    restarts: Vec<(tokio::time::Instant, String)>,
    /// The size that it is being brought to.
    resizing: Option<resize::Resizing>,
    /// Containers that are being ended one by one.
    endings: Vec<ending::Ending>,
    /// What looks after those that run, by their keys.
    cares: HashMap<String, care::Care>,
    /// What their probes and hooks have found out.
    notes: (mpsc::UnboundedSender<care::Note>, mpsc::UnboundedReceiver<care::Note>),
    next_run: u64,
    /// The job of a start that waits for containers.
    beginning: Option<Job>,
    /// The domain is being described for other tools.
    describing: Option<tokio::task::JoinHandle<()>>,
    /// Something could not be given back: it is tried again then.
    retry: Option<tokio::time::Instant>,
    /// Stream ids below this one may be in use, says the disk.
    streams_reserved: u32,
    next_exec: u32,

    asked: Option<Instant>,
    phases: Vec<(String, u64)>,
}

/// Starts the task of a pod.
pub(super) fn spawn(
    world: Arc<World>,
    record: Record,
    changes: mpsc::UnboundedSender<Change>,
    engine: Weak<Engine>,
    asked: Option<Instant>,
) -> PodHandle {
    let (asks, mailbox) = mpsc::unbounded_channel();
    let picture = PodStatus { record: record.clone(), domid: None, phases: Vec::new(), removed: false };
    let status = watch::Sender::new(Arc::new(picture));
    let sight = watch::Sender::new(Sight::default());
    let shared = Arc::new(Shared::default());
    let handle = PodHandle {
        id: record.id,
        name: record.spec.name.as_str().into(),
        owner_uid: record.owner_uid,
        created_usec: record.created_usec,
        asks,
        status: status.subscribe(),
        sight: sight.clone(),
        shared: shared.clone(),
    };
    let streams_reserved = record.next_stream;
    let mut pod = Pod {
        world,
        engine,
        record,
        status,
        changes,
        shared,
        sight: sight.subscribe(),
        sight_reset: sight,
        images: Vec::new(),
        disks: Vec::new(),
        contents: Contents::default(),
        domid: None,
        guest: None,
        guest_events: None,
        logs: HashMap::new(),
        restarts: Vec::new(),
        resizing: None,
        endings: Vec::new(),
        cares: HashMap::new(),
        notes: mpsc::unbounded_channel(),
        next_run: 0,
        beginning: None,
        describing: None,
        retry: None,
        streams_reserved,
        next_exec: 1,
        asked,
        phases: Vec::new(),
    };
    // Logs of an earlier life can be read without a domain.
    pod.open_old_logs();
    tokio::spawn(run(pod, mailbox));
    handle
}

/// What a pod's task waits for, besides requests.
enum Happening {
    Guest(FromGuest),
    GuestClosed,
    Sight(Sight),
    Restart(String),
    EndingDue(String),
    ResizeDue,
    Noted(care::Note),
    Cancelled,
    Retry,
}

async fn run(mut pod: Pod, mut mailbox: mpsc::UnboundedReceiver<Ask>) {
    let mut queue: VecDeque<Ask> = VecDeque::new();
    loop {
        let ask = match queue.pop_front() {
            Some(ask) => ask,
            None => tokio::select! {
                biased;
                happening = pod.next() => {
                    pod.happened(happening).await;
                    continue;
                }
                ask = mailbox.recv() => match ask {
                    Some(ask) => ask,
                    // Every handle is gone: the engine is.
                    None => return,
                },
            },
        };
        if let Some(verb) = ask.verb() {
            match judge(&pod.record.spec.name, verb, pod.record.state) {
                Ok(Verdict::Already) => {
                    ask.answer(Ok(()));
                    continue;
                }
                Err(refusal) => {
                    ask.answer(Err(refusal.into()));
                    continue;
                }
                Ok(Verdict::Do | Verdict::Interrupt) => {}
            }
        }
        if let Some(job) = ask.job()
            && job.canceller().is_cancelled()
            && !matches!(ask, Ask::Create { .. })
        {
            let what = format!("{} of pod {}, before it had begun,", job.status().kind.as_str(), pod.record.spec.name);
            ask.answer(Err(Failure::Cancelled(what)));
            continue;
        }
        let cancel = match &ask {
            Ask::Create { job, .. } | Ask::Start { job, .. } => job.canceller().clone(),
            _ => Cancel::default(),
        };
        let (status, name) = (pod.status.subscribe(), pod.record.spec.name.clone());
        let gone = {
            let work = pod.perform(ask, cancel.clone());
            tokio::pin!(work);
            loop {
                tokio::select! {
                    biased;
                    gone = &mut work => break gone,
                    Some(ask) = mailbox.recv() => {
                        let state = status.borrow().state();
                        match ask.verb().map(|verb| judge(&name, verb, state)) {
                            Some(Err(refusal)) => ask.answer(Err(refusal.into())),
                            Some(Ok(Verdict::Interrupt)) => {
                                cancel.cancel();
                                queue.push_back(ask);
                            }
                            // It is judged again when the work is done.
                            _ => queue.push_back(ask),
                        }
                    }
                }
            }
        };
        if gone {
            mailbox.close();
            while let Some(ask) = queue.pop_front().or_else(|| mailbox.try_recv().ok()) {
                let removal = matches!(ask, Ask::Remove { .. });
                ask.answer(if removal { Ok(()) } else { Err(Failure::Removed(name.clone())) });
            }
            return;
        }
    }
}

impl Pod {
    /// Carries out a request. True: the pod is no more.
    async fn perform(&mut self, ask: Ask, cancel: Cancel) -> bool {
        match ask {
            Ask::Create { start, contents, recorded, job } => {
                self.contents = contents;
                let result = self.create(start, FirstRecord(Some(recorded)), &cancel, &job.progress()).await;
                let gone = result.is_err() && self.record.intent == Intent::Remove;
                self.started(job, result).await;
                return gone;
            }
            Ask::Start { contents, job } => {
                self.asked = Some(Instant::now());
                let result = self.start(contents, &cancel, &job.progress()).await;
                self.started(job, result).await;
            }
            Ask::Stop { grace_seconds, job } => {
                let grace = grace_seconds.unwrap_or(self.record.spec.grace_seconds);
                let result = self.stop(grace, PodState::Stopped, "Stopped", "stopped on request").await;
                job.end(&result);
            }
            Ask::Remove { job, .. } => {
                let result = self.remove().await;
                let gone = result.is_ok();
                job.end(&result);
                return gone;
            }
            Ask::Pause(answer) => {
                let _ = answer.send(self.pause().await);
            }
            Ask::Resume(answer) => {
                let _ = answer.send(self.resume().await);
            }
            Ask::Exec(request) => self.exec(request).await,
            Ask::Container(ask) => self.container_ask(ask).await,
            Ask::Attach(request) => self.attach(request),
            Ask::ResizeTerminal(request) => self.resize_terminal(request),
            Ask::Forward(request) => self.forward(request).await,
            Ask::Resize(request) => self.resize(request).await,
            Ask::Limit(request) => self.limit(request).await,
            Ask::Describe(request) => self.describe_anew(request).await,
            Ask::Reattach(done) => {
                self.reattach().await;
                let _ = done.send(());
            }
            Ask::Settle { end, done } => {
                let gone = self.settle_as(end).await;
                let _ = done.send(());
                return gone;
            }
        }
        false
    }

    /// Builds a new pod and perhaps boots it. One that could not be built leaves nothing, not even a record; one that was
    /// built and could not be booted stays, to be looked at.
    async fn create(
        &mut self,
        start: bool,
        mut first: FirstRecord,
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<(), Failure> {
        if let Err(failure) = self.build(cancel, progress, &mut first).await {
            // A record on its way to the disk must not arrive after it was removed.
            let _ = first.on_disk(&self.record.spec.name).await;
            tracing::info!(pod_id = %self.record.id, pod = self.record.spec.name, %failure, "pod could not be created: {failure}");
            self.record.intent = Intent::Remove;
            if let Err(rest) = self.erase().await {
                // It cannot be forgotten while something of it is left.
                self.record.intent = Intent::Stop;
                let all = Failure::Several(vec![failure, rest]);
                self.failed(&all).await;
                return Err(all);
            }
            return Err(failure);
        }
        if start { self.boot(cancel).await } else { Ok(()) }
    }

    async fn start(&mut self, contents: Contents, cancel: &Cancel, progress: &Progress) -> Result<(), Failure> {
        if !contents.is_empty() {
            contents.check(&self.record.spec)?;
            self.contents = contents;
        }
        self.contents.check(&self.record.spec)?;
        self.phases.clear();
        if self.record.state != PodState::Created {
            if self.retry.is_some() {
                // Something of its last life is still there: it goes first.
                self.release().await?;
            }
            self.reset_containers();
            if let Err(failure) = self.build(cancel, progress, &mut FirstRecord(None)).await {
                return Err(self.give_up(failure).await);
            }
        }
        self.boot(cancel).await
    }

    async fn pause(&mut self) -> Result<(), Failure> {
        let Some(domid) = self.domid else { return Ok(()) };
        self.world.domains.pause(self.record.id, domid).await.map_err(|e| self.domain_failure(e))?;
        self.enter(PodState::Paused, "Paused", "paused on request");
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Failure> {
        let Some(domid) = self.domid else { return Ok(()) };
        self.world.domains.unpause(self.record.id, domid).await.map_err(|e| self.domain_failure(e))?;
        self.enter(PodState::Running, "", "");
        Ok(())
    }

    async fn remove(&mut self) -> Result<(), Failure> {
        self.record.intent = Intent::Remove;
        self.erase().await
    }

    /// The next thing that happens to the pod.
    async fn next(&mut self) -> Happening {
        let restart = self.restarts.iter().min_by_key(|(at, _)| *at).cloned();
        let ending = self.next_ending();
        let beginning = self.beginning.as_ref().map(|job| job.canceller().clone());
        let (retry, resize) = (self.retry, self.resize_due());
        tokio::select! {
            biased;
            event = async {
                match &mut self.guest_events {
                    Some(events) => events.recv().await,
                    None => std::future::pending().await,
                }
            } => event.map_or(Happening::GuestClosed, Happening::Guest),
            Ok(()) = self.sight.changed() => Happening::Sight(self.sight.borrow_and_update().clone()),
            (at, name) = async {
                match restart {
                    Some((at, name)) => { tokio::time::sleep_until(at).await; (at, name) }
                    None => std::future::pending().await,
                }
            } => {
                self.restarts.retain(|(a, n)| (*a, n) != (at, &name));
                Happening::Restart(name)
            }
            key = async {
                match ending {
                    Some((at, key)) => { tokio::time::sleep_until(at).await; key }
                    None => std::future::pending().await,
                }
            } => Happening::EndingDue(key),
            () = async {
                match resize {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            } => Happening::ResizeDue,
            // Never `None`: a sender is held here.
            Some(note) = self.notes.1.recv() => Happening::Noted(note),
            () = async {
                match beginning {
                    Some(cancel) => cancel.cancelled().await,
                    None => std::future::pending().await,
                }
            } => Happening::Cancelled,
            () = async {
                match retry {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            } => Happening::Retry,
        }
    }

    /// Publishes what the pod is now.
    fn publish(&self) {
        let picture = Arc::new(PodStatus {
            record: self.record.clone(),
            domid: self.domid,
            phases: self.phases.clone(),
            removed: false,
        });
        self.status.send_replace(picture.clone());
        let _ = self.changes.send(Change::Pod(picture));
    }

    /// Goes to a state and tells everybody.
    fn enter(&mut self, state: PodState, reason: &str, message: &str) {
        if self.record.state != state {
            tracing::info!(
                pod_id = %self.record.id, pod = self.record.spec.name, from = %self.record.state, reason,
                "pod {} is {state}{}", self.record.spec.name, colon(message)
            );
        }
        match state {
            PodState::Running if self.record.state == PodState::Starting => {
                self.record.started_usec = clock::now_usec()
            }
            PodState::Stopped | PodState::Failed if self.record.state.is_live() => {
                self.record.stopped_usec = clock::now_usec();
            }
            _ => {}
        }
        self.record.state = state;
        self.record.reason = reason.into();
        self.record.message = message.into();
        self.publish();
    }

    /// Notes that a part of a start is done.
    fn phase(&mut self, name: &str) {
        if let Some(asked) = self.asked {
            let micros = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.phases.push((name.into(), micros));
        }
    }

    async fn save(&mut self) -> Result<(), Failure> {
        self.record.domid = self.domid;
        let mut record = self.record.clone();
        record.next_stream = self.streams_reserved.max(record.next_stream);
        Ok(super::save(&self.world, record).await?)
    }

    /// Saves where a failure to do so must not stop what is going on.
    async fn save_or_log(&mut self) -> bool {
        let result = self.save().await;
        if let Err(error) = &result {
            tracing::error!(pod_id = %self.record.id, pod = self.record.spec.name, %error, "record could not be written: {error}");
        }
        result.is_ok()
    }

    fn name(&self) -> String {
        self.record.spec.name.clone()
    }

    fn domain_failure(&self, source: super::world::DomainError) -> Failure {
        Failure::Domain { pod: self.name(), source }
    }

    fn scratch_file(&self) -> std::path::PathBuf {
        self.world.journal.dir(self.record.id).join("scratch.img")
    }

    /// The files of the disks that volumes have to themselves, with their sizes.
    fn volume_files(&self) -> Vec<(std::path::PathBuf, u64)> {
        let dir = self.world.journal.dir(self.record.id);
        super::volumes::own_disks(&self.record.spec)
            .map(|(name, bytes)| (super::volumes::disk_file(&dir, name), bytes))
            .collect()
    }

    fn log_dir(&self) -> std::path::PathBuf {
        self.world.journal.dir(self.record.id).join("logs")
    }

    /// Ids for new streams, never given out before in this domain's life. They are reserved on disk in blocks.
    async fn streams(&mut self, count: u32) -> Result<u32, Failure> {
        let first = self.record.next_stream;
        self.record.next_stream += count;
        if self.record.next_stream > self.streams_reserved {
            self.reserve_streams();
            self.save().await?;
        }
        Ok(first)
    }

    /// The next save says that ids well beyond the next one may be in use.
    fn reserve_streams(&mut self) {
        self.streams_reserved = self.record.next_stream + 1024;
    }
}
