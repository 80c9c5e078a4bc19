//! A pod as the daemon understands it: the manifest with every default filled in and every value checked.
//!
//! These are internal types, kept in the journal; the wire type is the manifest. Sizes are bytes unless the name says otherwise.

mod health;

use std::collections::BTreeMap;

pub use health::{Action, HttpGet, Lifecycle, ProbeSpec, Probes};
use serde::{Deserialize, Serialize};

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodSpec {
    /// Unique on this host: a DNS-1123 subdomain of at most 63 characters.
    pub name: String,
    /// What the guest's hostname is to be.
    pub hostname: String,
    /// Labels, as given.
    pub labels: BTreeMap<String, String>,
    /// Annotations, as given; those under `xenpod.org/` have been understood.
    pub annotations: BTreeMap<String, String>,
    /// What happens when a container ends.
    pub restart_policy: RestartPolicy,
    /// Seconds between the stop signal and the kill.
    pub grace_seconds: u32,
    /// One process tree for the whole pod.
    pub share_process_namespace: bool,
    /// Further lines of `/etc/hosts`.
    pub host_aliases: Vec<HostAlias>,
    /// What `/etc/resolv.conf` says.
    pub dns: DnsSpec,
    /// Kernel parameters of the pod's own network and IPC.
    pub sysctls: BTreeMap<String, String>,
    /// The containers, in the order they are started: those of `initContainers` first.
    pub containers: Vec<ContainerSpec>,
    /// Directories that containers share.
    pub volumes: Vec<VolumeSpec>,
    /// The domain's memory in MiB, the kernel's own share included.
    pub memory_mib: u64,
    /// The domain's vCPUs.
    pub vcpus: u32,
    /// A requested IPv4 address.
    pub ipv4: Option<std::net::Ipv4Addr>,
    /// A requested MAC address.
    pub mac: Option<[u8; 6]>,
    /// Where the containers' writable layers are.
    pub scratch: Scratch,
    /// Output goes to dom0's journal too; the daemon's configuration says it when this does not.
    #[serde(default)]
    pub log_journald: Option<bool>,
}

impl PodSpec {
    /// What happens when the container at that place ends: what it says itself, else what the pod says. One that was made in the
    /// running pod is left to who made it.
    #[must_use]
    pub fn restart_policy_of(&self, container: usize) -> RestartPolicy {
        match self.containers.get(container) {
            Some(ContainerSpec { restart_policy: Some(policy), .. }) => *policy,
            Some(ContainerSpec { role: Role::Added, .. }) => RestartPolicy::Never,
            Some(ContainerSpec { role: Role::Sidecar, .. }) => RestartPolicy::Always,
            // One that has done its work is not run again.
            Some(ContainerSpec { role: Role::Init, .. }) if self.restart_policy == RestartPolicy::Always => {
                RestartPolicy::OnFailure
            }
            _ => self.restart_policy,
        }
    }
}

/// Where the containers' writable layers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scratch {
    /// On a sparse disk of the daemon's default size.
    Default,
    /// On a sparse disk of so many bytes.
    Disk(u64),
    /// In the domain's memory.
    Memory,
}

/// What happens when a container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// It is started again, always.
    Always,
    /// It is started again unless it ended with 0.
    OnFailure,
    /// It stays ended.
    Never,
}

impl RestartPolicy {
    /// The word in the manifest.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::OnFailure => "OnFailure",
            Self::Never => "Never",
        }
    }
}

impl std::str::FromStr for RestartPolicy {
    type Err = crate::state::UnknownWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = [Self::Always, Self::OnFailure, Self::Never].into_iter().find(|p| p.as_str() == word);
        known.ok_or_else(|| crate::state::UnknownWord(word.into(), "restart policy"))
    }
}

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAlias {
    /// The address.
    pub ip: std::net::IpAddr,
    /// Its names.
    pub hostnames: Vec<String>,
}

/// What `/etc/resolv.conf` is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsSpec {
    /// `dnsPolicy: None`: only what stands here; else the network's servers come first.
    pub only_these: bool,
    /// Name servers.
    pub servers: Vec<std::net::IpAddr>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options such as `ndots:2`.
    pub options: Vec<String>,
}

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Before each create.
    Always,
    /// When it is not here.
    IfNotPresent,
    /// Never: it must be here.
    Never,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique in the pod: a DNS-1123 label.
    pub name: String,
    /// The image's reference, as given.
    pub image: String,
    /// When it is fetched.
    pub pull_policy: PullPolicy,
    /// Replaces the image's entry point.
    pub command: Option<Vec<String>>,
    /// Replaces the image's arguments.
    pub args: Option<Vec<String>>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// Added to the image's environment, in order, `$(NAME)` expanded.
    pub env: Vec<(String, String)>,
    /// Give it a terminal.
    pub tty: bool,
    /// Give it a standard input that can be attached to.
    pub stdin: bool,
    /// That ends with the first who was attached to it.
    #[serde(default)]
    pub stdin_once: bool,
    /// Who it runs as and what it may do.
    pub security: SecuritySpec,
    /// Its limits.
    pub resources: Resources,
    /// Volumes it sees.
    pub mounts: Vec<MountSpec>,
    /// Ports it says it listens on: shown, not acted on.
    pub ports: Vec<PortSpec>,
    /// Its part in the pod's life.
    #[serde(default)]
    pub role: Role,
    /// What happens when it ends, where that is not what the pod says.
    #[serde(default)]
    pub restart_policy: Option<RestartPolicy>,
    /// How its health is looked at.
    #[serde(default)]
    pub probes: Probes,
    /// What is done at its start and before its end.
    #[serde(default)]
    pub lifecycle: Lifecycle,
}

/// A container's part in the life of its pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// One of `containers`: started with the others, and the pod lasts until all of them have ended.
    #[default]
    App,
    /// One of `initContainers`: runs to its end before the next is started.
    Init,
    /// One of `initContainers` that is restarted always: it stays beside the others and ends after them.
    Sidecar,
    /// Made in the running pod: started by request only.
    Added,
}

impl Role {
    /// The word on the bus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Init => "init",
            Self::Sidecar => "sidecar",
            Self::Added => "added",
        }
    }
}

/// Who a container runs as and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecuritySpec {
    /// Overrides the image's user.
    pub run_as_user: Option<u32>,
    /// Overrides the image's group.
    pub run_as_group: Option<u32>,
    /// Refuse to run as uid 0.
    pub run_as_non_root: bool,
    /// Further groups.
    pub supplemental_groups: Vec<u32>,
    /// Capabilities to add to the default set, without `CAP_`; `ALL` for all.
    pub add_capabilities: Vec<String>,
    /// Capabilities to take away, likewise.
    pub drop_capabilities: Vec<String>,
    /// The root file system cannot be written.
    pub read_only_root: bool,
    /// `false`: `no_new_privs` is set.
    pub allow_privilege_escalation: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
}

impl Default for SecuritySpec {
    fn default() -> Self {
        Self {
            run_as_user: None,
            run_as_group: None,
            run_as_non_root: false,
            supplemental_groups: Vec::new(),
            add_capabilities: Vec::new(),
            drop_capabilities: Vec::new(),
            read_only_root: false,
            allow_privilege_escalation: true,
            seccomp: Seccomp::RuntimeDefault,
        }
    }
}

/// The system call filter of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The filter that container engines install.
    RuntimeDefault,
    /// None.
    Unconfined,
}

/// A container's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// `memory.max`, in bytes.
    pub memory_limit: Option<u64>,
    /// What it is promised, in bytes.
    pub memory_request: Option<u64>,
    /// `cpu.max`, in thousandths of a CPU.
    pub cpu_limit_milli: Option<u64>,
    /// `cpu.weight` derives from it, in thousandths of a CPU.
    pub cpu_request_milli: Option<u64>,
}

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// The volume's name.
    pub volume: String,
    /// Where it is seen: an absolute path.
    pub path: String,
    /// It cannot be written.
    pub read_only: bool,
}

/// A port, for information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The port.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}

/// A directory that containers share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Unique in the pod.
    pub name: String,
    /// Its kind.
    pub kind: VolumeKind,
}

/// The kind of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeKind {
    /// Empty at the start, gone with the pod, in the domain's memory.
    EmptyDirMemory {
        /// Its size limit in bytes.
        size_limit: Option<u64>,
    },
    /// Empty at the start, gone with the pod, beside the writable layers.
    EmptyDirScratch,
}
