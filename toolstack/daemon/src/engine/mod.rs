//! The engine: every pod's life, without a word of the bus.
//!
//! ```text
//!  bus ----create, verbs----> Engine ----Ask----> [ task of the pod ] ----> World (traits)
//!      <---Change (what to look at again)--              |
//!                                                   Journal: intent before act
//! ```
//!
//! One task owns a pod; everybody else sends it an [`Ask`](pod::Ask) and looks at its published [`PodStatus`]. What may be asked
//! when is [`transition`]'s. Whatever goes wrong, what the record names is taken back by the one [`release`](pod), which
//! start-up uses as well.

pub mod container_verbs;
pub mod contents;
pub mod describe;
pub mod exec;
mod failure;
mod images;
pub mod jobs;
mod kernels;
pub mod pod;
pub mod probe;
mod process;
pub mod reconcile;
pub mod resize;
pub mod stats;
mod status;
pub mod streams;
pub mod transition;
mod volumes;
mod watcher;
pub mod world;

#[cfg(test)]
pub mod fake;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};
use xenpod_api::ids::PodId;
use xenpod_api::spec::{ContainerSpec, Known, LateEnv, PodSpec, PullPolicy, Seccomp};
use xenpod_api::state::{ContainerState, ExitReason, PodState};

pub use failure::Failure;
pub use pod::PodHandle;
pub use status::PodStatus;

use crate::clock;
use crate::journal::{ContainerRecord, ImageUse, Intent, Record, VERSION};
use crate::security::seccomp;
use contents::Contents;
use jobs::{Job, JobKind, Jobs};
use pod::{Ask, ContainerAsk};
use world::{ImageError, ImageInfo, ImportKind, World};

/// Something changed. Pods come as pictures, made at the time, so that no state is missed; the rest is to be looked at again.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A pod is there.
    PodNew(Arc<PodStatus>),
    /// A pod, or a container of it, is not what it was.
    Pod(Arc<PodStatus>),
    /// A pod is gone.
    PodGone(PodId),
    /// A command runs in a container, or does so no more.
    Exec(PodId, u32),
    /// It cannot be looked at any more.
    ExecGone(PodId, u32),
    /// An image is there.
    ImageNew(String),
    /// An image's names changed.
    Image(String),
    /// An image is gone.
    ImageGone(String),
    /// A guest kernel is there.
    KernelNew(String),
    /// It has become the default, or is so no more.
    Kernel(String),
    /// It is gone.
    KernelGone(String),
    /// A job has begun.
    JobNew(u32),
    /// A job has got further.
    Job(u32),
    /// A job has ended.
    JobEnded(u32),
}

/// What a new pod is to be.
#[derive(Clone, Debug)]
pub struct CreateRequest {
    /// The manifest's text.
    pub manifest: String,
    /// The same, understood.
    pub spec: PodSpec,
    /// Who asks.
    pub owner_uid: u32,
    /// Start it too.
    pub start: bool,
    /// What is given beside the manifest.
    pub contents: Contents,
}

#[derive(Default)]
struct Pods {
    by_id: HashMap<PodId, PodHandle>,
    by_name: HashMap<String, PodId>,
}

/// All pods.
pub struct Engine {
    world: Arc<World>,
    pods: Mutex<Pods>,
    jobs: Jobs,
    changes: mpsc::UnboundedSender<Change>,
}

impl Engine {
    /// An engine without pods; [`reconcile`] brings back those on disk. What changes comes out of the receiver.
    #[must_use]
    pub fn new(world: World) -> (Arc<Self>, mpsc::UnboundedReceiver<Change>) {
        let (changes, out) = mpsc::unbounded_channel();
        let jobs = Jobs::new(world.settings.max_jobs, world.settings.max_jobs_per_user, changes.clone());
        let engine = Arc::new(Self { world: Arc::new(world), pods: Mutex::default(), jobs, changes });
        watcher::spawn(&engine);
        (engine, out)
    }

    fn pods(&self) -> MutexGuard<'_, Pods> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world the engine works on.
    #[must_use]
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// The jobs.
    #[must_use]
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// A pod by its id.
    #[must_use]
    pub fn pod(&self, id: PodId) -> Option<PodHandle> {
        self.pods().by_id.get(&id).cloned()
    }

    /// A pod by its name, or by its id in full.
    ///
    /// # Errors
    /// [`Failure::NoSuchPod`].
    pub fn find(&self, name_or_id: &str) -> Result<PodHandle, Failure> {
        let pods = self.pods();
        let id = pods.by_name.get(name_or_id).copied().or_else(|| name_or_id.parse().ok());
        id.and_then(|id| pods.by_id.get(&id)).cloned().ok_or_else(|| Failure::NoSuchPod(name_or_id.into()))
    }

    /// Every pod, in the order of creation.
    #[must_use]
    pub fn list(&self) -> Vec<PodHandle> {
        let mut all: Vec<_> = self.pods().by_id.values().cloned().collect();
        all.sort_by_key(|p| (p.created_usec, p.id));
        all
    }

    /// Begins a pod. When this returns, its record is on disk and its name is taken.
    ///
    /// # Errors
    /// A name that is taken, limits, and what the disk says. Nothing remains then.
    pub async fn create(self: &Arc<Self>, request: CreateRequest) -> Result<(Job, PodHandle), Failure> {
        let asked = std::time::Instant::now();
        let name = request.spec.name.clone();
        let id = PodId::new(self.world.journal.tag());
        request.contents.check(&request.spec)?;
        self.kernels_ready().await;
        let mut request = request;
        for container in &mut request.spec.containers {
            self.profile(&name, container)?;
        }
        {
            let mut pods = self.pods();
            if pods.by_name.contains_key(&name) {
                return Err(Failure::PodExists(name));
            }
            let settings = &self.world.settings;
            if pods.by_id.len() >= settings.max_pods {
                return Err(Failure::Limit(format!(
                    "this host has {} pods, as many as max_pods allows",
                    settings.max_pods
                )));
            }
            let own = pods.by_id.values().filter(|p| p.owner_uid == request.owner_uid).count();
            if request.owner_uid != 0 && own >= settings.max_pods_per_user {
                return Err(Failure::Limit(format!(
                    "user {} has {own} pods, as many as per_user allows",
                    request.owner_uid
                )));
            }
            pods.by_name.insert(name.clone(), id);
        }
        let result = self.begin(id, request, asked).await;
        if result.is_err() {
            self.pods().by_name.remove(&name);
            self.world.net.forget(id);
        }
        result
    }

    /// Compiles the host's own filter that a container asks for: it keeps that, whatever becomes of the file.
    fn profile(&self, pod: &str, container: &mut ContainerSpec) -> Result<(), Failure> {
        let caps = crate::security::capabilities(&container.security).unwrap_or(0);
        if let Seccomp::Localhost { profile, program } = &mut container.security.seccomp {
            let loaded = seccomp::profile::load(&self.world.settings.seccomp_dir, profile, caps);
            let loaded = loaded.map_err(|e| {
                let (pod, container) = (pod.to_owned(), container.name.clone());
                Failure::BadContainer { pod, container, why: e.to_string() }
            })?;
            *program = seccomp::to_hex(&loaded);
        }
        Ok(())
    }

    async fn begin(
        self: &Arc<Self>,
        id: PodId,
        request: CreateRequest,
        asked: std::time::Instant,
    ) -> Result<(Job, PodHandle), Failure> {
        let CreateRequest { manifest, mut spec, owner_uid, start, contents } = request;
        // From here to `adopt` nothing waits: the kernel cannot be removed before it is seen that this pod pins it.
        let kernel = kernels::wanted(&self.world, &spec, &manifest)?;
        let refuse = |source| Failure::Net { pod: spec.name.clone(), source };
        let mut lease = self.world.net.allocate(id, spec.ipv4).map_err(refuse)?;
        if let Some(mac) = spec.mac {
            let same = |p: &PodHandle| p.status().record.lease.is_some_and(|l| l.mac == mac);
            if let Some(holder) = self.list().into_iter().find(same) {
                return Err(refuse(world::NetError(format!("its MAC address is that of pod {}", holder.name))));
            }
            lease.mac = mac;
        }
        spec.known = Known {
            uid: id.to_string(),
            node_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            ips: self.world.net.settings(&lease).addresses.iter().map(|(ip, _)| *ip).collect(),
        };
        let containers = spec
            .containers
            .iter()
            .map(|c| {
                let mut record = ContainerRecord::new(&c.name);
                // What is here needs no fetching, and stands in the record before anything is taken.
                if c.pull_policy != PullPolicy::Always
                    && let Ok(Some(image)) = self.world.images.find(&c.image)
                {
                    record.image = Some(ImageUse { reference: c.image.clone(), digest: image.digest.clone() });
                }
                record
            })
            .collect();
        let record = Record {
            version: VERSION,
            id,
            owner_uid,
            created_usec: clock::now_usec(),
            manifest,
            spec,
            intent: Intent::Create,
            state: PodState::Creating,
            reason: String::new(),
            message: String::new(),
            started_usec: 0,
            stopped_usec: 0,
            lease: Some(lease),
            containers,
            kernel_digest: kernel.digest.clone(),
            kernel_name: kernel.name.clone(),
            domid: None,
            next_stream: 1,
            disks: Vec::new(),
            resize: None,
            last_event: 0,
            rest: BTreeMap::new(),
        };
        let job = self.jobs.begin(JobKind::Create, owner_uid, vec![id.path()])?;
        // The record goes to the disk while the domain is built: see `journal`.
        let prepared = self.world.journal.prepare(id).map_err(Failure::from).map(drop);
        if prepared.is_err() {
            job.end(&prepared);
        }
        prepared?;
        let (saved, recorded) = oneshot::channel();
        let handle = self.adopt(record.clone(), Some(asked));
        // Before the pod's task can tell of it. One that cannot be recorded is told to be gone.
        let _ = self.changes.send(Change::PodNew(handle.status()));
        handle.ask(Ask::Create { start, contents, recorded, job: job.clone() });
        let result = save(&self.world, record).await.map_err(Failure::from);
        if result.is_err() {
            job.end(&result);
        }
        // The pod's task goes on from here, or takes everything back.
        let _ = saved.send(result.is_ok());
        result?;
        Ok((job, handle))
    }

    /// Starts the task of a pod.
    fn adopt(self: &Arc<Self>, record: Record, asked: Option<std::time::Instant>) -> PodHandle {
        let (id, name) = (record.id, record.spec.name.clone());
        let handle = pod::spawn(self.world.clone(), record, self.changes.clone(), Arc::downgrade(self), asked);
        let mut pods = self.pods();
        pods.by_name.insert(name, id);
        pods.by_id.insert(id, handle.clone());
        handle
    }

    /// Called by a pod's task when all of it is gone.
    fn forget(self: &Arc<Self>, id: PodId, kernel: &str) {
        let mut pods = self.pods();
        pods.by_id.remove(&id);
        // While it is being renamed it has two.
        pods.by_name.retain(|_, of| *of != id);
        drop(pods);
        self.world.net.forget(id);
        let _ = self.changes.send(Change::PodGone(id));
        self.kernel_let_go(kernel);
    }

    /// Begins a job of a pod.
    ///
    /// # Errors
    /// [`Failure::Limit`].
    pub fn ask(
        &self,
        pod: &PodHandle,
        by_uid: u32,
        kind: JobKind,
        ask: impl FnOnce(Job) -> Ask,
    ) -> Result<Job, Failure> {
        let job = self.jobs.begin(kind, by_uid, vec![pod.id.path()])?;
        pod.ask(ask(job.clone()));
        Ok(job)
    }

    /// Begins to make a container in a running pod; its image is fetched if it has to be.
    ///
    /// # Errors
    /// The pod does not run, it has a container of that name, [`Failure::Limit`].
    pub fn create_container(
        self: &Arc<Self>,
        pod: &PodHandle,
        by_uid: u32,
        mut spec: ContainerSpec,
        start: bool,
    ) -> Result<Job, Failure> {
        let status = pod.status();
        transition::judge(&pod.name, transition::Verb::Container, status.state())?;
        if status.container(&spec.name).is_some() {
            return Err(Failure::ContainerExists { pod: pod.name.to_string(), container: spec.name });
        }
        self.profile(&pod.name, &mut spec)?;
        if spec.late_env.iter().any(|e| matches!(e, LateEnv::Key { .. } | LateEnv::All { .. })) {
            // The guest has what the pod's own containers need, and no more.
            let why = "variables from config maps and secrets are for containers of the pod's manifest".into();
            return Err(Failure::BadContainer { pod: pod.name.to_string(), container: spec.name, why });
        }
        let objects = vec![pod.id.path(), pod.id.container_path(&spec.name)];
        let job = self.jobs.begin(JobKind::CreateContainer, by_uid, objects)?;
        let (this, pod, work) = (self.clone(), pod.clone(), job.clone());
        tokio::spawn(async move {
            let what = format!("container {} of pod {}", spec.name, pod.name);
            let image = match images::here(&this.world, &pod.name, &spec, None) {
                Ok(None) => {
                    let whose = (&*pod.name, what);
                    images::fetch(&this.world, &this.changes, whose, &spec, work.canceller(), &work.progress()).await
                }
                Ok(Some(image)) => Ok(image),
                Err(failure) => Err(failure),
            };
            match image {
                Ok(image) => {
                    let (spec, job) = (Box::new(spec), work);
                    pod.ask(Ask::Container(ContainerAsk::Add { spec, image, start, job }));
                }
                Err(failure) => work.end(&Err(failure)),
            }
        });
        Ok(job)
    }

    /// Begins to fetch an image.
    ///
    /// # Errors
    /// [`Failure::Limit`].
    pub fn pull(self: &Arc<Self>, by_uid: u32, reference: String, insecure: bool) -> Result<Job, Failure> {
        let job = self.jobs.begin(JobKind::Pull, by_uid, Vec::new())?;
        let (this, work) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let pull = this.world.images.pull(&reference, insecure, work.progress());
            let result = this.image_job(&work, &reference, pull).await;
            work.end(&result);
        });
        Ok(job)
    }

    /// Begins to take an image from a file or folder.
    ///
    /// # Errors
    /// [`Failure::Limit`].
    pub fn import(
        self: &Arc<Self>,
        by_uid: u32,
        kind: ImportKind,
        source: std::os::fd::OwnedFd,
        name: String,
    ) -> Result<Job, Failure> {
        let job = self.jobs.begin(JobKind::Import, by_uid, Vec::new())?;
        let (this, work) = (self.clone(), job.clone());
        tokio::spawn(async move {
            let import = this.world.images.import(kind, source, &name, work.progress());
            let result = this.image_job(&work, &name, import).await;
            work.end(&result);
        });
        Ok(job)
    }

    async fn image_job(
        &self,
        job: &Job,
        name: &str,
        work: impl Future<Output = Result<Arc<ImageInfo>, ImageError>>,
    ) -> Result<(), Failure> {
        let Some(done) = job.canceller().or(work).await else {
            return Err(Failure::Cancelled(format!("image {name}")));
        };
        let image = done.map_err(|source| Failure::Image { pod: None, source })?;
        job.add_object(xenpod_api::ids::image_path(&image.digest));
        let _ = self.changes.send(Change::ImageNew(image.digest.clone()));
        tracing::info!(image = name, digest = image.digest, "image {name} is here");
        Ok(())
    }

    /// An image by a name or digest.
    ///
    /// # Errors
    /// [`Failure::NoSuchImage`].
    pub fn image(&self, reference: &str) -> Result<Arc<ImageInfo>, Failure> {
        let found = self.world.images.find(reference).map_err(|source| Failure::Image { pod: None, source })?;
        found.ok_or_else(|| Failure::NoSuchImage(reference.into()))
    }

    /// Names of the pods that use an image.
    #[must_use]
    pub fn users_of(&self, digest: &str) -> Vec<String> {
        let mut users: Vec<String> = self
            .list()
            .iter()
            .map(PodHandle::status)
            .filter(|s| s.record.containers.iter().any(|c| c.image.as_ref().is_some_and(|i| i.digest == digest)))
            .map(|s| s.record.spec.name.clone())
            .collect();
        users.sort();
        users
    }

    /// Removes an image that no pod uses.
    ///
    /// # Errors
    /// [`ImageError::InUse`], and what the store says.
    pub async fn remove_image(&self, digest: &str) -> Result<(), Failure> {
        let pods = self.users_of(digest);
        let result = if pods.is_empty() {
            self.world.images.remove(digest).await
        } else {
            Err(ImageError::InUse { image: digest.into(), pods })
        };
        result.map_err(|source| Failure::Image { pod: None, source })?;
        let _ = self.changes.send(Change::ImageGone(digest.into()));
        Ok(())
    }

    /// Takes one name from an image; with its last name the image goes, unless a pod uses it.
    ///
    /// # Errors
    /// [`Failure::NoSuchImage`] when it is not a name of that image, else as [`remove_image`](Self::remove_image).
    pub async fn remove_image_name(&self, digest: &str, name: &str) -> Result<(), Failure> {
        let image = self.image(name)?;
        if image.digest != digest {
            return Err(Failure::NoSuchImage(name.into()));
        }
        if image.names.len() <= 1 {
            return self.remove_image(digest).await;
        }
        self.world.images.remove(name).await.map_err(|source| Failure::Image { pod: None, source })?;
        let _ = self.changes.send(Change::Image(digest.into()));
        Ok(())
    }

    /// Removes images that have lost their names, as an older one does when a tag is pulled again, and that no pod uses. Returns how many.
    pub async fn prune_images(&self) -> usize {
        let mut gone = 0;
        for image in self.world.images.list() {
            if image.names.is_empty() && self.users_of(&image.digest).is_empty() {
                match self.remove_image(&image.digest).await {
                    Ok(()) => gone += 1,
                    Err(error) => {
                        tracing::warn!(digest = image.digest, %error, "an image without a name stays: {error}")
                    }
                }
            }
        }
        gone
    }

    /// How many pods have a domain.
    #[must_use]
    pub fn running(&self) -> usize {
        self.list().iter().filter(|p| p.status().domid.is_some()).count()
    }
}

/// Writes a record without holding up the other pods.
async fn save(world: &Arc<World>, record: Record) -> Result<(), crate::journal::JournalError> {
    let journal = world.journal.clone();
    crate::blocking::blocking(move || journal.save(&record)).await
}

/// The exit code and reason that a container's end is known by.
fn exit_meaning(exit: &xenpod_protocol::message::Exit) -> (i32, i32, ExitReason) {
    let signal = i32::try_from(exit.signal).unwrap_or(0);
    let code = if signal != 0 { 128 + signal } else { i32::try_from(exit.code).unwrap_or(255) };
    let reason = match (exit.oom_killed, signal, code) {
        (true, ..) => ExitReason::OomKilled,
        (_, 0, 0) => ExitReason::Completed,
        (_, 0, _) => ExitReason::Error,
        _ => ExitReason::Signal,
    };
    (code, signal, reason)
}

/// True for a container that has a process, or will have one again by itself.
fn is_active(state: ContainerState) -> bool {
    matches!(state, ContainerState::Running | ContainerState::Waiting)
}
