//! A pod as the daemon understands it: the manifest with every default filled in and every value checked.
//!
//! These are internal types, kept in the journal; the wire type is the manifest. Sizes are bytes unless the name says otherwise.

mod container;
mod facts;
mod health;
mod volume;

use std::collections::BTreeMap;

pub use container::{
    ContainerSpec, LateEnv, MountSpec, PortSpec, PullPolicy, Resources, Role, Seccomp, SecuritySpec, Termination,
};
pub use facts::Field;
pub use health::{Action, HttpGet, Lifecycle, ProbeSpec, Probes};
use serde::{Deserialize, Serialize};
pub use volume::{FileSource, KeyItem, SourceKind, SourceRef, VolumeKind, VolumeSpec};

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodSpec {
    /// Unique on this host: a DNS-1123 subdomain of at most 63 characters.
    pub name: String,
    /// What containers are told of it; names are unique whatever it is.
    #[serde(default = "default_namespace")]
    pub namespace: String,
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
    /// vCPUs that the domain is built with room for; 0: as many as it starts with.
    #[serde(default)]
    pub max_vcpus: u32,
    /// A requested IPv4 address.
    pub ipv4: Option<std::net::Ipv4Addr>,
    /// A requested MAC address.
    pub mac: Option<[u8; 6]>,
    /// Where the containers' writable layers are.
    pub scratch: Scratch,
    /// Output goes to dom0's journal too; the daemon's configuration says it when this does not.
    #[serde(default)]
    pub log_journald: Option<bool>,
    /// The guest kernel it asks for, by name or digest; the default when it does not say.
    #[serde(default)]
    pub kernel: Option<String>,
    /// Parameters for the kernel, besides the host's.
    #[serde(default)]
    pub kernel_args: Vec<String>,
}

/// The namespace of a pod whose manifest has none.
pub(crate) fn default_namespace() -> String {
    "default".into()
}

impl PodSpec {
    /// vCPUs that the domain is built with room for.
    #[must_use]
    pub fn max_vcpus(&self) -> u32 {
        self.max_vcpus.max(self.vcpus)
    }

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
