//! The world in memory: it can fail, or stop the daemon dead, at any step.
//!
//! Domains and their guests live on a runtime of their own, so that they go on when a test drops the engine's: that is what
//! a crash of the daemon is.

mod domains;
mod guest;
mod meter;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use xenpod_api::ids::{HostTag, PodId};
use xenpod_xen::hypervisor::ShutdownReason;

use super::jobs::Progress;
use super::world::*;
use crate::devices::{Block, DeviceError};
use crate::guest::Transport;
use crate::journal::{Journal, LeaseRecord};

/// What is to go wrong, and at which step, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The step fails; nothing of it was done.
    Fail(usize),
    /// The daemon dies before the step is done.
    CrashBefore(usize),
    /// The daemon dies after the step was done.
    CrashAfter(usize),
}

struct Domain {
    domid: u16,
    paused: bool,
    published: bool,
    shutdown: Option<ShutdownReason>,
    /// What it owns, what its guest was told to have, and what it may own: KiB.
    memory: [u64; 3],
    vcpus: u32,
    name: String,
    /// Disks that came while it ran, by their number in the guest.
    disks: BTreeSet<usize>,
    /// Connections of the daemon to the guest.
    guest: Option<mpsc::UnboundedSender<DuplexStream>>,
}

impl Domain {
    fn new(domid: u16, memory_kib: u64, vcpus: u32, name: &str) -> Self {
        Self {
            domid,
            paused: true,
            published: false,
            shutdown: None,
            memory: [memory_kib; 3],
            vcpus,
            name: name.into(),
            disks: BTreeSet::new(),
            guest: None,
        }
    }
}

#[derive(Default)]
struct State {
    steps: Vec<&'static str>,
    fault: Option<Fault>,
    domains: HashMap<PodId, Domain>,
    marks: BTreeSet<PodId>,
    next_domid: u16,
    loops: BTreeMap<PathBuf, BTreeSet<PodId>>,
    leases: HashMap<PodId, LeaseRecord>,
    ports: BTreeSet<PodId>,
    images: Vec<Arc<ImageInfo>>,
    pulls: usize,
    hidden: bool,
    /// KiB that containers hold, and below which no guest goes.
    held_kib: u64,
    /// Guests do not react to their targets.
    stuck: bool,
    /// KiB that the host has left.
    free_kib: u64,
    /// The containers' limits, as last changed.
    limits: BTreeMap<String, xenpod_protocol::message::Resources>,
    /// What the command `health` ends with.
    health: u32,
    /// What was run in containers without streams, and which containers were sent which signal.
    commands: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
    /// How often somebody asked what pods use, and whether guests keep silent about it.
    measured: usize,
    mute: bool,
}

/// The world.
#[derive(Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    changes: watch::Sender<u64>,
    crashed: watch::Sender<bool>,
    guests: tokio::runtime::Handle,
}

/// What stands in the world, a line each: for "nothing is left over".
pub type Inventory = Vec<String>;

impl Fake {
    /// An empty world. Guests run on `guests`.
    pub fn new(guests: tokio::runtime::Handle) -> Self {
        let state = State { next_domid: 1, free_kib: 1 << 20, held_kib: 20 << 10, ..State::default() };
        Self {
            state: Arc::new(Mutex::new(state)),
            changes: watch::Sender::new(0),
            crashed: watch::Sender::new(false),
            guests,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// As the engine wants it, with records under `dir`.
    pub fn world(&self, dir: &Path) -> World {
        // A daemon knows leases by its records alone.
        self.state().leases.clear();
        World {
            domains: Arc::new(self.clone()),
            disks: Arc::new(self.clone()),
            net: Arc::new(self.clone()),
            images: Arc::new(self.clone()),
            meter: Arc::new(self.clone()),
            kernels: Arc::new(crate::kernels::testing::kernels(dir)),
            journal: Journal::open(dir).unwrap(),
            settings: Settings {
                boot_timeout: Duration::from_secs(5),
                answer_timeout: Duration::from_secs(5),
                release_retry: Duration::from_millis(20),
                resize_pause: Duration::from_millis(1),
                resize_stall: Duration::from_millis(100),
                restart_delay: Duration::from_millis(10),
                max_pods: 4,
                max_pods_per_user: 2,
                ..Settings::default()
            },
        }
    }

    /// A guest was given a part of a file of a volume.
    pub(super) fn file_written(&self, volume: &str, file: &xenpod_protocol::message::File) {
        let mut state = self.state();
        let content = state.files.entry(format!("{volume}/{}", file.path)).or_default();
        if !file.append {
            content.clear();
        }
        content.extend(&file.data);
    }

    /// All files that guests were given: volume and path, content.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        self.state().files.clone().into_iter().collect()
    }

    /// Adds an image.
    pub fn add_image(&self, name: &str, command: &[&str]) {
        let digest = format!("sha256:{:064x}", name.len() * 7919 + self.state().images.len());
        self.state().images.push(Arc::new(ImageInfo {
            erofs: format!("/images/{digest}.erofs").into(),
            digest,
            names: vec![name.into()],
            entrypoint: command.iter().map(ToString::to_string).collect(),
            ..ImageInfo::default()
        }));
    }

    /// Takes an image's names away, as when they went to another.
    pub fn untag(&self, name: &str) {
        for image in &mut self.state().images {
            if image.names.iter().any(|n| n == name) {
                *image = Arc::new(ImageInfo { names: Vec::new(), ..(**image).clone() });
            }
        }
    }

    /// Sets what is to go wrong, and forgets the steps so far.
    pub fn plan(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.fault = fault;
        state.steps.clear();
        self.crashed.send_replace(false);
    }

    /// The steps since [`Fake::plan`].
    pub fn steps(&self) -> Vec<&'static str> {
        self.state().steps.clone()
    }

    /// Returns when the planned crash has come.
    pub async fn crash(&self) {
        self.crashed.subscribe().wait_for(|c| *c).await.unwrap();
    }

    /// How often an image was fetched.
    pub fn pulls(&self) -> usize {
        self.state().pulls
    }

    /// Everything that a pod could leave behind.
    pub fn inventory(&self) -> Inventory {
        let state = self.state();
        let mut all: Vec<String> = Vec::new();
        all.extend(state.domains.keys().map(|id| format!("domain {id}")));
        all.extend(state.marks.iter().map(|id| format!("mark {id}")));
        all.extend(state.loops.keys().map(|f| format!("loop {}", f.display())));
        all.extend(state.leases.keys().map(|id| format!("lease {id}")));
        all.extend(state.ports.iter().map(|id| format!("port {id}")));
        all.sort();
        all
    }

    /// What containers hold, in KiB: no guest shrinks below it.
    pub fn hold_memory(&self, kib: u64) {
        self.state().held_kib = kib;
    }

    /// From now on guests do not react to what they are asked, or do again.
    pub fn stick(&self, stuck: bool) {
        self.state().stuck = stuck;
    }

    /// What the host has left, in KiB.
    pub fn set_free(&self, kib: u64) {
        self.state().free_kib = kib;
    }

    /// What a domain owns, what its guest was told to have and what it may own, in MiB; its vCPUs; its name.
    pub fn domain(&self, id: PodId) -> ([u64; 3], u32, String) {
        let state = self.state();
        let domain = &state.domains[&id];
        (domain.memory.map(|kib| kib / 1024), domain.vcpus, domain.name.clone())
    }

    /// The limits that a container was given while it ran.
    pub fn limits(&self, container: &str) -> Option<xenpod_protocol::message::Resources> {
        self.state().limits.get(container).copied()
    }

    /// What the command `health` is to end with.
    pub fn set_health(&self, code: u32) {
        self.state().health = code;
    }

    /// What was run in containers for probes and hooks, and which of them were sent which signal, in order.
    pub fn commands(&self) -> Vec<String> {
        self.state().commands.clone()
    }

    /// The numbers of a domain's disks.
    pub fn disks(&self, id: PodId) -> Vec<usize> {
        self.state().domains[&id].disks.iter().copied().collect()
    }

    /// Somebody else destroys the domain.
    pub fn destroy_from_outside(&self, id: PodId) {
        self.state().domains.remove(&id);
        self.changes.send_modify(|n| *n += 1);
    }

    /// The domain ends by itself.
    pub fn end_domain(&self, id: PodId, reason: ShutdownReason) {
        if let Some(domain) = self.state().domains.get_mut(&id) {
            domain.shutdown = Some(reason);
            domain.guest = None;
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Somebody else pauses the domain, or lets it run.
    pub fn pause_from_outside(&self, id: PodId, paused: bool) {
        self.state().domains.get_mut(&id).unwrap().paused = paused;
        self.changes.send_modify(|n| *n += 1);
    }

    /// From now on the hypervisor cannot be reached, or can be again.
    pub fn hide(&self, hidden: bool) {
        self.state().hidden = hidden;
    }

    /// A domain that has our mark and no record.
    pub fn orphan(&self) -> PodId {
        let id = self.unmarked(HostTag::random());
        self.state().marks.insert(id);
        id
    }

    /// A domain without our mark whose id has this tag.
    pub fn unmarked(&self, tag: HostTag) -> PodId {
        let id = PodId::new(tag);
        let mut state = self.state();
        let domid = state.next_domid;
        state.next_domid += 1;
        state.domains.insert(id, Domain { paused: false, published: true, ..Domain::new(domid, 65536, 1, "other") });
        id
    }

    /// A domain that is somebody else's.
    pub fn foreign(&self) -> PodId {
        self.unmarked(HostTag::random())
    }

    /// True: this step is to fail. Does not return when the daemon is to die here.
    async fn step(&self, name: &'static str) -> bool {
        let (number, fault) = {
            let mut state = self.state();
            state.steps.push(name);
            (state.steps.len() - 1, state.fault)
        };
        if fault == Some(Fault::CrashBefore(number)) {
            self.die().await;
        }
        fault == Some(Fault::Fail(number))
    }

    /// The other half of a step: the daemon may die with it done.
    async fn done(&self) {
        let crash = {
            let state = self.state();
            matches!(state.fault, Some(Fault::CrashAfter(n)) if n + 1 == state.steps.len())
        };
        if crash {
            self.die().await;
        }
    }

    async fn die(&self) {
        self.crashed.send_replace(true);
        std::future::pending::<()>().await;
    }
}

fn broken(what: &'static str) -> DeviceError {
    DeviceError::Io { what, path: "/dev/loop9".into(), source: std::io::ErrorKind::Other.into() }
}

impl Fake {
    fn hold(&self, id: PodId, file: &Path) -> Block {
        self.state().loops.entry(file.into()).or_default().insert(id);
        Block { major: 7, minor: 0 }
    }
}

#[async_trait]
impl Disks for Fake {
    async fn attach_image(&self, id: PodId, file: &Path) -> Result<Block, DeviceError> {
        if self.step("disks.attach_image").await {
            return Err(broken("attach a loop device to"));
        }
        let block = self.hold(id, file);
        self.done().await;
        Ok(block)
    }

    async fn attach_scratch(&self, id: PodId, file: &Path, _bytes: u64) -> Result<Block, DeviceError> {
        if self.step("disks.attach_scratch").await {
            return Err(broken("make a scratch disk"));
        }
        std::fs::write(file, b"scratch").unwrap();
        let block = self.hold(id, file);
        self.done().await;
        Ok(block)
    }

    async fn release_image(&self, id: PodId, file: &Path) -> Result<(), DeviceError> {
        if self.step("disks.release_image").await {
            return Err(broken("detach"));
        }
        self.state().loops.retain(|held, by| {
            if held == file {
                by.remove(&id);
            }
            !by.is_empty()
        });
        self.done().await;
        Ok(())
    }

    async fn release(&self, id: PodId, scratch: &Path) -> Result<(), DeviceError> {
        if self.step("disks.release").await {
            return Err(broken("detach"));
        }
        {
            let mut state = self.state();
            assert!(!state.domains.contains_key(&id), "a disk is taken from a domain that is there");
            state.loops.retain(|_, by| {
                by.remove(&id);
                !by.is_empty()
            });
        }
        let _ = std::fs::remove_file(scratch);
        self.done().await;
        Ok(())
    }

    async fn reconcile(&self, held: &[(PodId, Vec<PathBuf>)]) -> Result<(), DeviceError> {
        self.state().loops.retain(|file, by| {
            *by = held.iter().filter(|(_, files)| files.contains(file)).map(|(id, _)| *id).collect();
            !by.is_empty()
        });
        Ok(())
    }
}

#[async_trait]
impl Net for Fake {
    fn allocate(&self, id: PodId, want: Option<Ipv4Addr>) -> Result<LeaseRecord, NetError> {
        let mut state = self.state();
        let last = state.leases.len() as u8 + 2;
        let v4 = want.unwrap_or(Ipv4Addr::new(10, 0, 0, last));
        let lease = LeaseRecord { v4, v6: v4.to_ipv6_mapped(), mac: [2, 0, 0, 0, 0, last] };
        state.leases.insert(id, lease);
        Ok(lease)
    }

    fn reserve(&self, id: PodId, lease: &LeaseRecord) -> Result<(), NetError> {
        self.state().leases.insert(id, *lease);
        Ok(())
    }

    fn forget(&self, id: PodId) {
        self.state().leases.remove(&id);
    }

    fn settings(&self, lease: &LeaseRecord) -> NetSettings {
        NetSettings { mtu: 1500, addresses: vec![(lease.v4.into(), 24)], ..NetSettings::default() }
    }

    async fn attach(&self, id: PodId, _domid: u16, _lease: &LeaseRecord) -> Result<(), NetError> {
        if self.step("net.attach").await {
            return Err(NetError("interface vif1.0 did not appear".into()));
        }
        self.state().ports.insert(id);
        self.done().await;
        Ok(())
    }

    async fn detach(&self, id: PodId, _domid: Option<u16>, _lease: &LeaseRecord) -> Result<(), NetError> {
        if self.step("net.detach").await {
            return Err(NetError("nf_tables: busy".into()));
        }
        self.state().ports.remove(&id);
        self.done().await;
        Ok(())
    }

    async fn reconcile(&self, live: &[(PodId, u16, LeaseRecord)]) -> Result<(), NetError> {
        self.state().ports.retain(|id| live.iter().any(|(l, ..)| l == id));
        Ok(())
    }
}

#[async_trait]
impl Images for Fake {
    fn find(&self, reference: &str) -> Result<Option<Arc<ImageInfo>>, ImageError> {
        let state = self.state();
        Ok(state.images.iter().find(|i| i.digest == reference || i.names.iter().any(|n| n == reference)).cloned())
    }

    fn list(&self) -> Vec<Arc<ImageInfo>> {
        self.state().images.clone()
    }

    async fn pull(&self, reference: &str, _insecure: bool, progress: Progress) -> Result<Arc<ImageInfo>, ImageError> {
        let not_there = || ImageError::NotHere { image: reference.into() };
        if self.step("images.pull").await || reference.contains("missing") {
            return Err(not_there());
        }
        if reference.contains("slow") {
            progress.set("layer 0", 10, 100);
            std::future::pending::<()>().await;
        }
        self.state().pulls += 1;
        self.add_image(reference, &["sleep"]);
        self.done().await;
        self.find(reference)?.ok_or_else(not_there)
    }

    async fn import(
        &self,
        _kind: ImportKind,
        _source: OwnedFd,
        name: &str,
        _progress: Progress,
    ) -> Result<Arc<ImageInfo>, ImageError> {
        self.add_image(name, &["sleep"]);
        self.find(name)?.ok_or_else(|| ImageError::NotHere { image: name.into() })
    }

    async fn remove(&self, digest: &str) -> Result<(), ImageError> {
        self.state().images.retain(|i| i.digest != digest);
        Ok(())
    }
}
