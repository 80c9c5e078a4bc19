//! What pods use: a sample is taken when somebody asks, and never otherwise.
//!
//! ```text
//!   Xen (vCPUs, memory), sysfs (vbd, vif), /proc (backend threads)  --Meter--\
//!                                                                             Sample --> bus, metrics
//!   guest-init (meminfo, cgroups)  --channel, within GUEST_WITHIN------------/
//! ```
//!
//! The pod's own task is not asked: it may be busy, and a sample must not wait for it.

pub mod meter;
pub mod sample;

use std::time::Duration;

use futures_util::future::join_all;
use rustix::time::{ClockId, clock_gettime};
use xenpod_api::spec::Scratch;
use xenpod_api::state::PodState;
use xenpod_protocol::message::{ContainerStats, Stats};

use super::world::World;
use super::{Engine, PodHandle, PodStatus, volumes};
use crate::clock;
use meter::{Subject, Usage};
use sample::{Container, GuestMemory, Sample};

/// How long a guest may take to answer before the sample does without it.
pub const GUEST_WITHIN: Duration = Duration::from_secs(2);

impl Engine {
    /// Samples of these pods, in their order. With `ask_guests`, what guests say is in them, if they say it in time.
    pub async fn stats(&self, pods: &[PodHandle], ask_guests: bool) -> Vec<Sample> {
        let statuses: Vec<_> = pods.iter().map(PodHandle::status).collect();
        let subjects = statuses.iter().map(|status| subject(self.world(), status)).collect();
        let measured = async {
            let at = (clock::now_usec(), monotonic_usec());
            (at, self.world().meter.measure(subjects).await)
        };
        let guests = join_all(pods.iter().zip(&statuses).map(async |(pod, status)| {
            if ask_guests { said(pod, status.state()).await } else { Err("it was not asked".into()) }
        }));
        let ((at, usages), guests) = tokio::join!(measured, guests);
        let parts = statuses.iter().zip(usages).zip(guests);
        parts.map(|((status, usage), guest)| assemble(status, at, usage, guest)).collect()
    }
}

fn monotonic_usec() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

/// What to look at, from the pod's record.
fn subject(world: &World, status: &PodStatus) -> Subject {
    let record = &status.record;
    let dir = world.journal.dir(record.id);
    let own: Vec<&str> = volumes::own_disks(&record.spec).map(|(name, _)| name).collect();
    let mut files = vec![dir.join("scratch.img")];
    files.extend(own.iter().map(|name| volumes::disk_file(&dir, name)));
    let mut disks = record.disks.clone();
    if disks.is_empty() {
        // As the domain is built: see `pod::disks`.
        for image in record.containers.iter().filter_map(|c| c.image.as_ref()) {
            if !disks.contains(&image.digest) {
                disks.push(image.digest.clone());
            }
        }
        let scratch = match record.spec.scratch {
            Scratch::Default => world.settings.scratch_bytes > 0,
            Scratch::Disk(_) => true,
            Scratch::Memory => false,
        };
        disks.extend(scratch.then(|| "scratch".to_owned()));
        disks.extend(own.iter().map(|name| format!("volume {name}")));
    }
    for disk in disks.iter_mut().filter(|d| d.starts_with("sha256:")) {
        *disk = format!("image {disk}");
    }
    Subject { id: record.id, domid: status.domid, disks, files, logs: dir.join("logs") }
}

/// What the guest says, or why it says nothing.
async fn said(pod: &PodHandle, state: PodState) -> Result<Stats, String> {
    match state {
        PodState::Paused => return Err("the pod is paused".into()),
        PodState::Starting | PodState::Running | PodState::Stopping => {}
        other => return Err(format!("the pod is {other}")),
    }
    match pod.figures() {
        Some(guest) => guest.ask(GUEST_WITHIN).await.map_err(|e| e.to_string()),
        None => Err("the guest is not connected".into()),
    }
}

fn assemble(status: &PodStatus, (time, monotonic): (u64, u64), usage: Usage, guest: Result<Stats, String>) -> Sample {
    let record = &status.record;
    let mut sample = Sample {
        id: record.id.to_string(),
        name: record.spec.name.clone(),
        owner: format!("uid:{}", record.owner_uid),
        state: record.state.as_str(),
        time_usec: time,
        monotonic_usec: monotonic,
        storage: Some(usage.storage),
        ..Sample::default()
    };
    match usage.domain {
        Ok(domain) => {
            sample.cpu = Some(domain.cpu);
            sample.memory = Some(domain.memory);
            sample.disks = Some(domain.disks);
            sample.interfaces = Some(domain.interfaces);
            sample.overhead = Some(domain.overhead);
        }
        Err(why) => drop(sample.missing.insert("domain", why)),
    }
    match guest {
        Ok(stats) => {
            sample.guest = Some(GuestMemory {
                total_bytes: stats.memory_total,
                available_bytes: stats.memory_available,
                working_set_bytes: stats.memory_working_set,
            });
            let known = stats.containers.into_iter().filter_map(|c| container(status, c));
            sample.containers = Some(known.collect());
        }
        Err(why) => drop(sample.missing.insert("guest", why)),
    }
    sample
}

/// One that the record has, by the name that it has now.
fn container(status: &PodStatus, c: ContainerStats) -> Option<Container> {
    let record = status.record.containers.iter().find(|r| r.key() == c.name)?;
    Some(Container {
        name: record.name.clone(),
        cpu_ns: c.cpu_ns,
        cpu_user_ns: c.cpu_user_ns,
        cpu_system_ns: c.cpu_system_ns,
        cpu_periods: c.cpu_periods,
        cpu_throttled_periods: c.cpu_throttled_periods,
        cpu_throttled_ns: c.cpu_throttled_ns,
        memory_bytes: c.memory_bytes,
        memory_working_set_bytes: c.memory_working_set,
        memory_peak_bytes: c.memory_peak,
        memory_limit_bytes: c.memory_max,
        oom_kills: c.oom_kills,
        pids: c.pids,
        pids_limit: c.pids_max,
        read_bytes: c.io_read_bytes,
        written_bytes: c.io_write_bytes,
        reads: c.io_reads,
        writes: c.io_writes,
    })
}
