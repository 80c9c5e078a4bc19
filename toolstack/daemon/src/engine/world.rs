//! Everything the engine does to the world, as traits: the real ones are in `host`, the fake ones fail at any step a test names.
//!
//! Each act can be repeated: what is there already, or gone already, is success. Each has a name derived from the pod's
//! id, so after a crash it can be found and finished or undone.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use xenpod_api::ids::PodId;
use xenpod_xen::hypervisor::{HypervisorError, ShutdownReason};
use xenpod_xen::kernel::KernelImage;

use crate::devices::{Block, DeviceError};
use crate::guest::Transport;
use crate::journal::{Journal, LeaseRecord};
use crate::kernels::{self, Kernels};

use super::jobs::Progress;
use super::resize::DomainSize;

/// The world.
pub struct World {
    /// Domains: the hypervisor and xenstore.
    pub domains: Arc<dyn Domains>,
    /// Block devices.
    pub disks: Arc<dyn Disks>,
    /// The `default` network.
    pub net: Arc<dyn Net>,
    /// Images.
    pub images: Arc<dyn Images>,
    /// What pods use.
    pub meter: Arc<dyn super::stats::meter::Meter>,
    /// Guest kernels.
    pub kernels: Arc<Kernels>,
    /// The records.
    pub journal: Journal,
    /// The engine's own settings.
    pub settings: Settings,
}

/// What the engine needs of the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From unpause to Hello.
    pub boot_timeout: Duration,
    /// Any other answer of a guest.
    pub answer_timeout: Duration,
    /// Pods on this host.
    pub max_pods: usize,
    /// Pods of a user who is not root.
    pub max_pods_per_user: usize,
    /// Jobs at work at the same time.
    pub max_jobs: usize,
    /// Those of a user who is not root.
    pub max_jobs_per_user: usize,
    /// Bytes after which a container's log is rotated.
    pub log_max_bytes: u64,
    /// Containers' output goes to the journal too, unless the pod says otherwise.
    pub log_journald: bool,
    /// Where journald listens.
    pub journal_socket: PathBuf,
    /// The scratch disk of a pod that does not say: bytes; 0 for none.
    pub scratch_bytes: u64,
    /// The folder of the host's own seccomp profiles.
    pub seccomp_dir: PathBuf,
    /// Names of the parameters that pods may add to their kernel's command line.
    pub kernel_args_allowed: Vec<String>,
    /// How long something that could not be given back is left alone before it is tried again.
    pub release_retry: Duration,
    /// How often a domain is looked at that gets another size.
    pub resize_pause: Duration,
    /// After so long without a change, one that gets another size stays as it is.
    pub resize_stall: Duration,
    /// The first wait before a container is started again; it doubles up to thirty times that.
    pub restart_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            boot_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(30),
            max_pods: 1000,
            max_pods_per_user: 64,
            max_jobs: 256,
            max_jobs_per_user: 32,
            log_max_bytes: 64 << 20,
            log_journald: false,
            journal_socket: crate::logs::journald::SOCKET.into(),
            scratch_bytes: 10 << 30,
            seccomp_dir: "/etc/xenpod/seccomp".into(),
            kernel_args_allowed: kernels::DEFAULT_ALLOWED.map(String::from).to_vec(),
            release_retry: Duration::from_secs(5),
            resize_pause: Duration::from_millis(100),
            resize_stall: Duration::from_secs(10),
            // Kubernetes' own: 10 s, doubling to 300 s.
            restart_delay: Duration::from_secs(10),
        }
    }
}

/// A domain to be built.
#[derive(Clone, Debug)]
pub struct DomainPlan {
    /// The pod, and the domain's UUID.
    pub id: PodId,
    /// The domain's name.
    pub name: String,
    /// Memory in KiB.
    pub memory_kib: u64,
    /// vCPUs that it starts with.
    pub vcpus: u32,
    /// vCPUs that it may be given later.
    pub max_vcpus: u32,
    /// The kernel that the pod pins; `None` when it is not here any more.
    pub kernel: Option<KernelImage>,
    /// What the pod adds to the host's command line for kernels.
    pub kernel_args: Vec<String>,
}

/// A disk of a domain: the n-th is `xvda`, `xvdb`…
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskPlan {
    /// dom0's block device behind it.
    pub block: Block,
    /// The guest cannot write it.
    pub read_only: bool,
}

/// The name of the n-th disk in the guest.
#[must_use]
pub fn disk_name(index: usize) -> String {
    // blkfront: xvda..xvdz, then xvdaa… (drivers/block/xen-blkfront.c, encode_disk_name).
    let mut name = String::new();
    let mut n = index;
    loop {
        name.insert(0, char::from(b'a' + (n % 26) as u8));
        if n < 26 {
            return format!("xvd{name}");
        }
        n = n / 26 - 1;
    }
}

/// A domain that was built, paused, and of which xenstore does not know yet.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its number.
    pub domid: u16,
    /// What `publish` needs besides.
    pub store: StorePorts,
}

/// Where xenstored and xenconsoled meet the domain.
#[derive(Clone, Copy, Debug, Default)]
pub struct StorePorts {
    /// Guest frame of the xenstore ring.
    pub store_gfn: u64,
    /// Its event channel.
    pub store_port: u32,
    /// Guest frame of the console ring.
    pub console_gfn: u64,
    /// Its event channel.
    pub console_port: u32,
}

/// One domain of the host, as Xen sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainView {
    /// The pod whose it is, if its UUID is one of ours.
    pub id: PodId,
    /// Its number.
    pub domid: u16,
    /// Paused by a toolstack.
    pub paused: bool,
    /// It has stopped itself, and why.
    pub shutdown: Option<ShutdownReason>,
    /// It is being destroyed.
    pub dying: bool,
}

/// What the host is and has, for `CheckHost` and the Manager's properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostView {
    /// `4.17.5`.
    pub xen_version: String,
    /// `oxenstored`, `xenstored` or empty.
    pub xenstored: String,
    /// PVH domains can be built.
    pub pvh: bool,
    /// Hardware-assisted paging.
    pub hap: bool,
    /// KiB.
    pub total_memory_kib: u64,
    /// KiB.
    pub free_memory_kib: u64,
    /// Physical CPUs.
    pub cpus: u32,
    /// The boot image can be read.
    pub boot_image: bool,
}

/// Why a domain could not be made, found or taken away.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DomainError {
    /// The hypervisor said so.
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
    /// Xenstore said so.
    #[error("{what}: {source}")]
    Store {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: xenpod_xen::xenstore::Error,
    },
    /// The kernel or boot image cannot be used.
    #[error("{0}")]
    Kernel(String),
    /// A backend did not let go of a device.
    #[error("device {device}: {why}; it is tried again")]
    Device {
        /// `vbd 51712 of domain 5`.
        device: String,
        /// What is the matter.
        why: String,
    },
    /// The domain is dying, and somebody still holds pages of it.
    #[error("domain {domid} is dying and {remaining_kib} KiB of it are still in use; it is tried again")]
    Dying {
        /// Its number.
        domid: u16,
        /// How much.
        remaining_kib: u64,
    },
    /// The guest did not offer its channel in time.
    #[error(
        "the guest did not report within {} s: its kernel or guest-init did not start; see `xl console {domid}` or \
         the kernel's own messages in `xl dmesg`", after.as_secs()
    )]
    NoHello {
        /// Its number.
        domid: u16,
        /// How long was waited.
        after: Duration,
    },
    /// The guest's channel is not one.
    #[error("the guest's channel: {0}")]
    Channel(String),
}

/// Domains.
#[async_trait]
pub trait Domains: Send + Sync + 'static {
    /// Builds a domain and leaves it paused. On an error nothing of it remains.
    async fn build(&self, plan: &DomainPlan) -> Result<Built, DomainError>;

    /// Writes the domain's part of xenstore, its devices and our mark, and introduces it.
    async fn publish(
        &self,
        plan: &DomainPlan,
        built: &Built,
        disks: &[DiskPlan],
        macs: &[[u8; 6]],
    ) -> Result<(), DomainError>;

    /// Lets it run.
    async fn unpause(&self, id: PodId, domid: u16) -> Result<(), DomainError>;

    /// Stops its vCPUs.
    async fn pause(&self, id: PodId, domid: u16) -> Result<(), DomainError>;

    /// Gives a running domain a disk, the `index`-th. One that is there already is success.
    async fn attach_disk(&self, id: PodId, domid: u16, index: usize, disk: DiskPlan) -> Result<(), DomainError>;

    /// Takes a disk away from a running domain, which does not use it any more.
    async fn detach_disk(&self, id: PodId, domid: u16, index: usize) -> Result<(), DomainError>;

    /// Waits for the guest to offer its channel, and connects to it.
    async fn connect(&self, id: PodId, domid: u16, within: Duration) -> Result<Box<dyn Transport>, DomainError>;

    /// Takes away the domain of that pod, its devices, its part of xenstore and our mark, wherever in its life it is.
    /// Nothing there is success.
    async fn destroy(&self, id: PodId) -> Result<(), DomainError>;

    /// Every domain of the host but dom0. One call, whatever their number.
    async fn list(&self) -> Result<Vec<DomainView>, DomainError>;

    /// The pods that our marks in xenstore name, with or without a domain.
    async fn marked(&self) -> Result<Vec<PodId>, DomainError>;

    /// At start-up: of all domains, only these are ours and go on. What this host's tools were told of others is taken back.
    fn keep(&self, domids: &[u16]);

    /// Changes whenever a domain may have stopped or gone.
    fn changes(&self) -> watch::Receiver<u64>;

    /// How large a domain is now.
    async fn size(&self, id: PodId, domid: u16) -> Result<DomainSize, DomainError>;

    /// Lets a domain own so much memory, in KiB, and no more. What it has it keeps.
    async fn set_max_memory(&self, id: PodId, domid: u16, kib: u64) -> Result<(), DomainError>;

    /// Asks a domain's guest to have so much memory, in KiB.
    async fn set_memory_target(&self, id: PodId, domid: u16, kib: u64) -> Result<(), DomainError>;

    /// Asks a domain's guest to use the first `online` of its `max` vCPUs.
    async fn set_vcpus(&self, id: PodId, domid: u16, online: u32, max: u32) -> Result<(), DomainError>;

    /// Gives a domain the name of its plan.
    async fn rename(&self, plan: &DomainPlan, domid: u16) -> Result<(), DomainError>;

    /// For tools that read libxl's own files: says what the domain is. Best effort, off the path of a start.
    async fn describe(&self, plan: &DomainPlan, domid: u16, disks: &[DiskPlan], macs: &[[u8; 6]]);

    /// The host.
    async fn host(&self) -> Result<HostView, DomainError>;
}

/// Block devices.
#[async_trait]
pub trait Disks: Send + Sync + 'static {
    /// A read-only device over an image's file, shared by all pods that run it.
    async fn attach_image(&self, id: PodId, file: &Path) -> Result<Block, DeviceError>;

    /// Makes a fresh scratch disk and a device over it.
    async fn attach_scratch(&self, id: PodId, file: &Path, bytes: u64) -> Result<Block, DeviceError>;

    /// Gives back the pod's share of an image's device.
    async fn release_image(&self, id: PodId, file: &Path) -> Result<(), DeviceError>;

    /// Gives back every device that the pod holds, and removes its scratch disk.
    async fn release(&self, id: PodId, scratch: &Path) -> Result<(), DeviceError>;

    /// At start-up: these pods have domains over these files; every other device over our files is detached.
    async fn reconcile(&self, held: &[(PodId, Vec<PathBuf>)]) -> Result<(), DeviceError>;
}

/// What a guest is told of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetSettings {
    /// MTU in bytes.
    pub mtu: u32,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The gateways of the default routes.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Resolver options.
    pub options: Vec<String>,
}

/// The `default` network.
#[async_trait]
pub trait Net: Send + Sync + 'static {
    /// Finds addresses for a pod and holds them. The caller records them before they are used.
    fn allocate(&self, id: PodId, want: Option<Ipv4Addr>) -> Result<LeaseRecord, NetError>;

    /// Holds addresses that a record names.
    fn reserve(&self, id: PodId, lease: &LeaseRecord) -> Result<(), NetError>;

    /// Lets a pod's addresses go.
    fn forget(&self, id: PodId);

    /// What the guest is to be told.
    fn settings(&self, lease: &LeaseRecord) -> NetSettings;

    /// Waits for the domain's interface, pins it to its addresses and joins it to the bridge.
    async fn attach(&self, id: PodId, domid: u16, lease: &LeaseRecord) -> Result<(), NetError>;

    /// Takes the interface and its pins away.
    async fn detach(&self, id: PodId, domid: Option<u16>, lease: &LeaseRecord) -> Result<(), NetError>;

    /// At start-up: makes bridge and rules, and keeps exactly these pods' pins.
    async fn reconcile(&self, live: &[(PodId, u16, LeaseRecord)]) -> Result<(), NetError>;
}

/// Why the network could not be set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NetError(pub String);

/// What a container's process needs to know of its image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageInfo {
    /// `sha256:<hex>` of the manifest.
    pub digest: String,
    /// Its names here.
    pub names: Vec<String>,
    /// The EROFS file.
    pub erofs: PathBuf,
    /// Bytes of it.
    pub size: u64,
    /// Microseconds since the epoch, or 0.
    pub created_usec: u64,
    /// The layers' digests.
    pub layers: Vec<String>,
    /// `amd64`.
    pub architecture: String,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// The entry point.
    pub entrypoint: Vec<String>,
    /// Its arguments.
    pub cmd: Vec<String>,
    /// The working directory, or empty.
    pub working_dir: String,
    /// `user[:group]`, or empty.
    pub user: String,
    /// The signal that asks it to stop, or empty.
    pub stop_signal: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Where an import comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportKind {
    /// A tar of an OCI layout.
    OciArchive,
    /// What `docker save` writes.
    DockerArchive,
    /// A folder.
    OciLayout,
}

/// Why an image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store's or the registry's word.
    #[error(transparent)]
    Store(#[from] xenpod_images::error::Error),
    /// Pods use it.
    #[error("image {image} is used by {}; remove them first, or remove the image by force", pods.join(", "))]
    InUse {
        /// The image.
        image: String,
        /// Names of the pods.
        pods: Vec<String>,
    },
    /// Not here, and the pod's policy does not let it be fetched.
    #[error("image {image} is not here and imagePullPolicy is Never: import or pull it first")]
    NotHere {
        /// The image.
        image: String,
    },
}

/// Images.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// An image that is here, by any of its names or digests.
    fn find(&self, reference: &str) -> Result<Option<Arc<ImageInfo>>, ImageError>;

    /// Every image that is here.
    fn list(&self) -> Vec<Arc<ImageInfo>>;

    /// Fetches an image. Dropping the future ends the work.
    async fn pull(&self, reference: &str, insecure: bool, progress: Progress) -> Result<Arc<ImageInfo>, ImageError>;

    /// Takes an image from a file or folder that the caller has opened.
    async fn import(
        &self,
        kind: ImportKind,
        source: std::os::fd::OwnedFd,
        name: &str,
        progress: Progress,
    ) -> Result<Arc<ImageInfo>, ImageError>;

    /// Removes an image, by its digest, or one of its names.
    async fn remove(&self, digest_or_name: &str) -> Result<(), ImageError>;
}

#[cfg(test)]
mod tests {
    use super::disk_name;

    #[test]
    fn disks_are_named_as_blkfront_names_them() {
        let names: Vec<_> = [0, 1, 25, 26, 27, 51, 52, 701, 702].map(disk_name).into();
        assert_eq!(names, ["xvda", "xvdb", "xvdz", "xvdaa", "xvdab", "xvdaz", "xvdba", "xvdzz", "xvdaaa"]);
    }
}
