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
    /// The group that volumes belong to, and every container too.
    #[serde(default)]
    pub fs_group: Option<u32>,
    /// Limits of every container's processes.
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    /// Devices of the guest that every container sees: paths below /dev.
    #[serde(default)]
    pub devices: Vec<String>,
    /// What only the daemon knows; empty in what comes from a manifest.
    #[serde(default)]
    pub known: Known,
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
    /// All of the environment, in order, when some of it is known only in the guest: then `env` is empty, and `$(NAME)` in
    /// it, in `command` and in `args` is expanded there.
    #[serde(default)]
    pub late_env: Vec<LateEnv>,
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

/// A part of an environment that is put together in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LateEnv {
    /// A variable.
    Value {
        /// Its name.
        name: String,
        /// Its value, `$(NAME)` not expanded yet.
        value: String,
    },
    /// A fact about the pod.
    Field {
        /// The variable's name.
        name: String,
        /// The fact.
        field: Field,
    },
    /// One key.
    Key {
        /// The variable's name.
        name: String,
        /// Of what.
        source: SourceRef,
        /// The key.
        key: String,
        /// It need not be there.
        optional: bool,
    },
    /// Every key, in the order of their names.
    All {
        /// What the variables' names begin with.
        prefix: String,
        /// Of what.
        source: SourceRef,
        /// It need not be there.
        optional: bool,
    },
}

/// Files that are given beside the manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceRef {
    /// Which kind.
    pub kind: SourceKind,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for SourceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind.as_str(), self.name)
    }
}

/// The kind of a [`SourceRef`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SourceKind {
    /// What may be seen by all.
    ConfigMap,
    /// What may not.
    Secret,
}

impl SourceKind {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "config map",
            Self::Secret => "secret",
        }
    }
}

/// A limit of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// `RLIMIT_*` of `<asm-generic/resource.h>`.
    pub resource: u32,
    /// The soft limit; all ones is none.
    pub soft: u64,
    /// The hard limit; likewise.
    pub hard: u64,
}

/// A fact about the pod, for its containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field {
    /// Its name.
    Name,
    /// `default`.
    Namespace,
    /// Its id.
    Uid,
    /// All labels, a line each.
    Labels,
    /// All annotations, a line each.
    Annotations,
    /// One label; nothing when there is none.
    Label(String),
    /// One annotation; nothing when there is none.
    Annotation(String),
    /// Its first address.
    PodIp,
    /// Its addresses, with commas.
    PodIps,
    /// The name of the host.
    NodeName,
}

impl Field {
    /// What it is for this pod.
    #[must_use]
    pub fn value(&self, pod: &PodSpec) -> String {
        // As the kubelet writes a map into a file: sorted, values quoted.
        let lines = |map: &BTreeMap<String, String>| -> String {
            map.iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join("\n")
        };
        match self {
            Self::Name => pod.name.clone(),
            Self::Namespace => "default".into(),
            Self::Uid => pod.known.uid.clone(),
            Self::Labels => lines(&pod.labels),
            Self::Annotations => lines(&pod.annotations),
            Self::Label(key) => pod.labels.get(key).cloned().unwrap_or_default(),
            Self::Annotation(key) => pod.annotations.get(key).cloned().unwrap_or_default(),
            Self::PodIp => pod.known.ips.first().map(ToString::to_string).unwrap_or_default(),
            Self::PodIps => pod.known.ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Self::NodeName => pod.known.node_name.clone(),
        }
    }
}

/// What the daemon adds to a manifest when it makes the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The pod's id.
    pub uid: String,
    /// The host's name.
    pub node_name: String,
    /// Its addresses.
    pub ips: Vec<std::net::IpAddr>,
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
    /// Everything the pod's domain can do: all capabilities, all devices, /sys and /proc writable, no filter.
    #[serde(default)]
    pub privileged: bool,
    /// Nothing of /proc and /sys is hidden or write-protected.
    #[serde(default)]
    pub unmasked_proc: bool,
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
            privileged: false,
            unmasked_proc: false,
        }
    }
}

/// The system call filter of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The filter that container engines install.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// One of the host's own profiles.
    Localhost {
        /// Its path in the folder of profiles.
        profile: String,
        /// What it was compiled to when the pod was made, in hexadecimal; empty in what comes from a manifest.
        program: String,
    },
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
    /// What of the volume is seen: a path in it; empty for all.
    #[serde(default)]
    pub sub_path: String,
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
    /// The user and the group that it belongs to, when not root and [`PodSpec::fs_group`].
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
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
    /// Empty at the start, gone with the pod, on a disk of its own.
    EmptyDirDisk {
        /// The disk's size in bytes.
        size_limit: u64,
    },
    /// Files in the guest's memory, from what was given beside the manifest.
    Files {
        /// The mode of files whose item does not say.
        default_mode: u32,
        /// Where they come from; of two with one path the later one counts.
        sources: Vec<FileSource>,
    },
}

/// Where files of a volume come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileSource {
    /// Keys of a config map or secret, each a file.
    Keys {
        /// Of what.
        source: SourceRef,
        /// Neither it nor its keys need be there.
        optional: bool,
        /// Which keys; all when empty.
        items: Vec<KeyItem>,
    },
    /// A file that says something about the pod.
    Field {
        /// Its path in the volume.
        path: String,
        /// What it says.
        field: Field,
        /// Its mode.
        mode: Option<u32>,
    },
}

/// One key as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyItem {
    /// The key.
    pub key: String,
    /// The file's path in the volume.
    pub path: String,
    /// Its mode.
    pub mode: Option<u32>,
}
