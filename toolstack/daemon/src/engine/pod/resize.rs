//! A pod that gets another size.
//!
//! ```text
//! stopped    the record says the new size; the next start has it
//! running    the record says what is wanted --> ask the domain --> look, every now and then --> the record says what was reached
//! ```
//!
//! Nothing waits here: the pod goes on with all else it does. A daemon that was stopped in between goes on with it.

use std::time::Duration;

use tokio::time::Instant;
use xenpod_api::state::PodState;
use xenpod_protocol::message::{self, reply, request::Op};

use super::super::failure::Failure;
use super::super::jobs::{Job, JobKind};
use super::super::resize::{DomainSize, MIB, SizeRequest, least_mib, reserve_kib, step_down, step_up};
use super::super::world::DomainError;
use super::Pod;
use crate::guest::GuestError;
use crate::journal::ResizeRecord;

/// How far from its target a domain is there: pages that its guest lends and takes back meanwhile, in KiB.
const NEAR_KIB: u64 = 512;
/// How long one may take that a daemon goes on with, in seconds.
const RESUMED_SECONDS: u32 = 60;
/// A guest that does not say within this how it is cannot be asked to give.
const ASK: Duration = Duration::from_secs(5);

/// A size that is being reached.
#[derive(Debug)]
pub(super) struct Resizing {
    job: Job,
    wanted: ResizeRecord,
    /// Memory is to change.
    memory: bool,
    /// The size that the guest was asked for last, in MiB.
    step_mib: Option<u64>,
    /// Memory is what it is to be, or will not become so.
    memory_over: bool,
    /// What was seen last.
    seen: DomainSize,
    /// When something has moved last.
    moved: Instant,
    /// When it is looked at next.
    next: Instant,
    deadline: Instant,
}

impl Pod {
    pub(super) async fn resize(&mut self, request: SizeRequest) {
        let job = request.job.clone();
        if let Err(failure) = self.begin_resize(request).await {
            job.end(&Err(failure));
        }
    }

    /// Begins; what cannot be done is refused before anything is changed.
    async fn begin_resize(&mut self, request: SizeRequest) -> Result<(), Failure> {
        if self.resizing.is_some() {
            return Err(Failure::Resizing(self.name()));
        }
        let spec = &self.record.spec;
        let memory_mib = request.memory_mib.unwrap_or(spec.memory_mib);
        let vcpus = request.vcpus.unwrap_or(spec.vcpus);
        let (PodState::Running, Some(domid)) = (self.record.state, self.domid) else {
            let before = (spec.memory_mib, spec.vcpus);
            (self.record.spec.memory_mib, self.record.spec.vcpus) = (memory_mib, vcpus);
            if let Err(failure) = self.save().await {
                (self.record.spec.memory_mib, self.record.spec.vcpus) = before;
                return Err(failure);
            }
            self.publish();
            self.tell_reached(&request.job);
            request.job.end(&Ok(()));
            return Ok(());
        };
        if vcpus > spec.max_vcpus() {
            return Err(Failure::NoRoom { pod: self.name(), wanted: vcpus, room: spec.max_vcpus() });
        }
        let world = self.world.clone();
        let size = world.domains.size(self.record.id, domid).await.map_err(|e| self.domain_failure(e))?;
        // What the domain owns is its size but for pages that its guest gave back when it booted.
        let apart = (spec.memory_mib * MIB) as i64 - size.memory_kib as i64;
        let apart_kib = if apart.unsigned_abs() <= 4 * MIB { apart } else { 0 };
        let wanted = ResizeRecord { memory_mib, vcpus, apart_kib };
        let have = wanted.have(size);
        if memory_mib < spec.memory_mib {
            let least_mib = least_mib(have, self.available_kib().await?);
            if memory_mib < least_mib {
                return Err(Failure::MemoryInUse { pod: self.name(), wanted_mib: memory_mib, least_mib });
            }
        } else if memory_mib > spec.memory_mib {
            let needed_kib = (memory_mib * MIB).saturating_sub(have);
            let free_kib = world.domains.host().await.map_err(|e| self.domain_failure(e))?.free_memory_kib;
            if needed_kib > free_kib {
                let source = xenpod_xen::hypervisor::HypervisorError::NotEnoughMemory { needed_kib, free_kib };
                return Err(self.domain_failure(source.into()));
            }
        }
        // It keeps the room that its domain was built with.
        self.record.spec.max_vcpus = self.record.spec.max_vcpus();
        // What is wanted is on disk before anything is done about it.
        self.record.resize = Some(wanted);
        if let Err(failure) = self.save().await {
            self.record.resize = None;
            return Err(failure);
        }
        tracing::info!(
            pod_id = %self.record.id, pod = self.record.spec.name, memory_mib, vcpus,
            "pod {} is to have {}", self.record.spec.name, size_text(memory_mib, vcpus)
        );
        self.go_on_resizing(request.job, request.wait_seconds).await
    }

    /// What the record says is wanted is asked of the domain. Also what a daemon that has started again does.
    pub(super) async fn go_on_resizing(&mut self, job: Job, wait_seconds: u32) -> Result<(), Failure> {
        let (Some(wanted), Some(domid)) = (self.record.resize, self.domid) else {
            self.tell_reached(&job);
            job.end(&Ok(()));
            return Ok(());
        };
        let (now, world, id) = (Instant::now(), self.world.clone(), self.record.id);
        let asked = async {
            let size = world.domains.size(id, domid).await?;
            if size.vcpus != wanted.vcpus {
                world.domains.set_vcpus(id, domid, wanted.vcpus, self.record.spec.max_vcpus()).await?;
            }
            if wanted.memory_mib * MIB > wanted.have(size) {
                // Before the guest is told: it must not ask for what it may not have.
                world.domains.set_max_memory(id, domid, wanted.memory_mib * MIB).await?;
            }
            Ok(size)
        };
        let size = match asked.await {
            Ok(size) => size,
            Err(error) => {
                self.not_resized().await;
                return Err(self.domain_failure(error));
            }
        };
        let deadline = now + Duration::from_secs(wait_seconds.into());
        let memory = wanted.memory_mib != self.record.spec.memory_mib;
        let (step_mib, memory_over, seen) = (None, !memory, size);
        self.resizing =
            Some(Resizing { job, wanted, memory, step_mib, memory_over, seen, moved: now, next: now, deadline });
        Ok(())
    }

    /// Nothing was begun: the record says what it said.
    async fn not_resized(&mut self) {
        self.record.resize = None;
        self.save_or_log().await;
    }

    /// When it is looked at next.
    pub(super) fn resize_due(&self) -> Option<Instant> {
        self.resizing.as_ref().map(|r| r.next)
    }

    /// Looks how far it is, and asks for the next step.
    pub(super) async fn resize_on(&mut self) {
        let Some(mut resizing) = self.resizing.take() else { return };
        match self.resize_step(&mut resizing).await {
            Ok(false) => {
                resizing.next = Instant::now() + self.world.settings.resize_pause;
                self.resizing = Some(resizing);
            }
            Ok(true) => self.resized(resizing, None).await,
            Err(failure) => self.resized(resizing, Some(failure)).await,
        }
    }

    /// True: it is over.
    async fn resize_step(&mut self, r: &mut Resizing) -> Result<bool, Failure> {
        let pod = self.name();
        let Some(domid) = self.domid else { return Err(Failure::Cancelled(format!("the resize of pod {pod}"))) };
        let (world, id, now) = (self.world.clone(), self.record.id, Instant::now());
        let size = world.domains.size(id, domid).await.map_err(|e| self.domain_failure(e))?;
        let (wanted, have) = (r.wanted, r.wanted.have(size));
        if size.memory_kib.abs_diff(r.seen.memory_kib) >= 64 || size.vcpus != r.seen.vcpus {
            r.moved = now;
        }
        r.seen = size;
        self.show_progress(r, have);
        let given_up = r.job.canceller().is_cancelled()
            || self.record.state != PodState::Running
            || now >= r.deadline
            || now >= r.moved + world.settings.resize_stall;
        let at_step = r.step_mib.is_none_or(|step| have.abs_diff(step * MIB) <= NEAR_KIB);
        if !r.memory_over {
            if given_up {
                self.keep_memory(domid, r, have).await?;
            } else if at_step && r.step_mib == Some(wanted.memory_mib) {
                // Only now: it may own what it still has.
                world
                    .domains
                    .set_memory_target(id, domid, wanted.memory_mib * MIB)
                    .await
                    .map_err(|e| self.domain_failure(e))?;
                world
                    .domains
                    .set_max_memory(id, domid, wanted.memory_mib * MIB)
                    .await
                    .map_err(|e| self.domain_failure(e))?;
                r.memory_over = true;
            } else {
                let available = self.available_kib().await.unwrap_or(0);
                let at_mib = r.step_mib.unwrap_or(have.div_ceil(MIB));
                let down = wanted.memory_mib * MIB < have;
                let next = match (at_step, down) {
                    (true, true) => step_down(have, wanted.memory_mib, available),
                    (true, false) => Some(step_up(at_mib, wanted.memory_mib, available)),
                    // On its way down, and its containers take what it was to give back.
                    (false, true) if available < reserve_kib(have) / 2 => None,
                    (false, _) => r.step_mib,
                };
                match next {
                    None => self.keep_memory(domid, r, have).await?,
                    Some(next) if r.step_mib != Some(next) => {
                        (r.step_mib, r.moved) = (Some(next), now);
                        let told = world.domains.set_memory_target(id, domid, next * MIB).await;
                        told.map_err(|e| self.domain_failure(e))?;
                    }
                    Some(_) => {}
                }
            }
        }
        if given_up && size.vcpus != wanted.vcpus {
            // It is not to come by surprise later.
            let told = world.domains.set_vcpus(id, domid, size.vcpus, self.record.spec.max_vcpus()).await;
            told.map_err(|e| self.domain_failure(e))?;
        }
        Ok(r.memory_over && (given_up || size.vcpus == wanted.vcpus))
    }

    /// It stays as far as it has come.
    async fn keep_memory(&self, domid: u16, r: &mut Resizing, have_kib: u64) -> Result<(), Failure> {
        let id = self.record.id;
        let kib = have_kib.div_ceil(MIB) * MIB;
        let keep = async {
            self.world.domains.set_memory_target(id, domid, kib).await?;
            self.world.domains.set_max_memory(id, domid, kib).await
        };
        keep.await.map_err(|e: DomainError| self.domain_failure(e))?;
        r.memory_over = true;
        Ok(())
    }

    /// It is over: the record says what was reached, and so does the job.
    async fn resized(&mut self, r: Resizing, failure: Option<Failure>) {
        let (wanted, have) = (r.wanted, r.wanted.have(r.seen));
        let memory_mib = if !r.memory || have.abs_diff(wanted.memory_mib * MIB) <= NEAR_KIB {
            wanted.memory_mib
        } else {
            have.div_ceil(MIB)
        };
        let vcpus = r.seen.vcpus;
        let shrinking = wanted.memory_mib < self.record.spec.memory_mib;
        (self.record.spec.memory_mib, self.record.spec.vcpus) = (memory_mib, vcpus);
        self.record.resize = None;
        self.save_or_log().await;
        self.publish();
        self.describe_again().await;
        self.tell_reached(&r.job);
        let (reached, asked) = (size_text(memory_mib, vcpus), size_text(wanted.memory_mib, wanted.vcpus));
        let result = match failure {
            Some(failure) => Err(failure),
            None if (memory_mib, vcpus) == (wanted.memory_mib, wanted.vcpus) => Ok(()),
            None if r.job.canceller().is_cancelled() => Err(Failure::Cancelled(format!(
                "the resize of pod {} to {asked}, which has {reached} now,",
                self.name()
            ))),
            None => {
                let in_use = shrinking && memory_mib > wanted.memory_mib;
                Err(Failure::ResizeIncomplete { pod: self.name(), asked, reached: reached.clone(), in_use })
            }
        };
        match &result {
            Ok(()) => {
                tracing::info!(pod_id = %self.record.id, pod = self.record.spec.name, memory_mib, vcpus, "pod {} has {reached}", self.record.spec.name)
            }
            Err(failure) => {
                tracing::warn!(pod_id = %self.record.id, pod = self.record.spec.name, memory_mib, vcpus, %failure, "{failure}")
            }
        }
        r.job.end(&result);
    }

    /// The pod has ended: its next start has the size that was wanted.
    pub(super) fn resize_over(&mut self) {
        if let Some(wanted) = self.record.resize.take() {
            (self.record.spec.memory_mib, self.record.spec.vcpus) = (wanted.memory_mib, wanted.vcpus);
        }
        if let Some(r) = self.resizing.take() {
            r.job.end(&Err(Failure::Cancelled(format!("pod {} has ended: its resize", self.record.spec.name))));
        }
    }

    fn tell_reached(&self, job: &Job) {
        let spec = &self.record.spec;
        job.came_to([("memory_kib", spec.memory_mib * MIB), ("vcpus", spec.vcpus.into())]);
    }

    fn show_progress(&self, r: &Resizing, have_kib: u64) {
        let (from, to) = (self.record.spec.memory_mib * MIB, r.wanted.memory_mib * MIB);
        if from != to {
            r.job.progress().set(
                "memory",
                from.abs_diff(have_kib).min(from.abs_diff(to)) * 1024,
                from.abs_diff(to) * 1024,
            );
        }
    }

    /// What the guest has available, in KiB.
    async fn available_kib(&self) -> Result<u64, Failure> {
        let failure = |source| self.guest_failure(None, source);
        let Some(guest) = &self.guest else { return Err(failure(GuestError::Lost("it is closed".into()))) };
        match guest.send("how much memory it has", Op::GetStats(message::GetStats {})).within(ASK).await {
            Ok(reply::Result::Stats(stats)) => Ok(stats.memory_available / 1024),
            Ok(_) => Err(failure(GuestError::Nonsense("how much memory it has"))),
            Err(source) => Err(failure(source)),
        }
    }

    /// A daemon that has started again goes on with what the last one had begun.
    pub(super) async fn resume_resizing(&mut self) {
        if self.record.resize.is_none() {
            return;
        }
        let Some(engine) = self.engine.upgrade() else { return };
        let begun = engine.jobs().begin(JobKind::Resize, self.record.owner_uid, vec![self.record.id.path()]);
        let gone_on = match begun {
            Ok(job) => {
                let gone_on = self.go_on_resizing(job.clone(), RESUMED_SECONDS).await;
                if gone_on.is_err() {
                    job.end(&Err(Failure::Cancelled(format!("the resize of pod {}", self.name()))));
                }
                gone_on
            }
            Err(failure) => Err(failure),
        };
        if let Err(failure) = gone_on {
            tracing::warn!(pod_id = %self.record.id, pod = self.record.spec.name, %failure, "pod {}: its resize does not go on: {failure}", self.record.spec.name);
            self.not_resized().await;
        }
    }
}

fn size_text(memory_mib: u64, vcpus: u32) -> String {
    let s = if vcpus == 1 { "" } else { "s" };
    format!("{memory_mib} MiB and {vcpus} vCPU{s}")
}
