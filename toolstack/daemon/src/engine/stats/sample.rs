//! What is told of a pod's use, and in which units: memory and transfers in bytes, CPU time in nanoseconds, the rest in counts. Counters begin
//! with what they count: the domain, the device, the container's run. What is not known is left out, never 0.

use std::collections::BTreeMap;

use serde::Serialize;

/// A pod at a moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `uid:N`.
    pub owner: String,
    /// Its state.
    pub state: &'static str,
    /// When dom0's part was taken: microseconds since the epoch.
    pub time_usec: u64,
    /// The same on dom0's CLOCK_MONOTONIC, for rates.
    pub monotonic_usec: u64,
    /// Xen's word on its domain's CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Cpu>,
    /// Xen's word on its domain's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The guest's word on its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<GuestMemory>,
    /// The guest's word on the containers that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub containers: Option<Vec<Container>>,
    /// dom0's backends' word on its disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disks: Option<Vec<Disk>>,
    /// dom0's word on its interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interfaces: Option<Vec<Interface>>,
    /// What it costs beyond its own memory and CPU time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overhead: Option<Overhead>,
    /// What it takes of dom0's disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Which parts are left out, and why: `domain` stands for all that needs one.
    pub missing: BTreeMap<&'static str, String>,
}

/// CPU time of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// All vCPUs' time.
    pub usage_ns: u64,
    /// vCPUs that are up.
    pub online: u64,
    /// Each, by number.
    pub vcpus: Vec<Vcpu>,
}

/// One vCPU.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Vcpu {
    /// Its number.
    pub vcpu: u64,
    /// It is up.
    pub online: bool,
    /// Time it has run.
    pub usage_ns: u64,
}

/// Memory of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// What it owns.
    pub domain_bytes: u64,
    /// What it may own.
    pub max_bytes: u64,
    /// What is claimed for it and not given yet.
    pub outstanding_bytes: u64,
}

/// Memory inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GuestMemory {
    /// What its kernel has to give (MemTotal).
    pub total_bytes: u64,
    /// What can be had without swapping (MemAvailable).
    pub available_bytes: u64,
    /// What all containers hold, without inactive file pages, as kubelet has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<u64>,
}

/// One container, by its cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// CPU time of all its processes.
    pub cpu_ns: u64,
    /// Of that, in user space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_user_ns: Option<u64>,
    /// Of that, in the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_system_ns: Option<u64>,
    /// Periods of its CPU limit that it ran in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_periods: Option<u64>,
    /// Those in which it was held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_throttled_periods: Option<u64>,
    /// For how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_throttled_ns: Option<u64>,
    /// Memory, file pages included (memory.current).
    pub memory_bytes: u64,
    /// Memory without inactive file pages, as kubelet has it.
    pub memory_working_set_bytes: u64,
    /// The most it ever held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
    /// What it may hold, if there is a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// How often something in it was killed for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// How many it may have, if there is a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_limit: Option<u64>,
    /// Read from all disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// Written to all disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
    /// Reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<u64>,
    /// Writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<u64>,
}

/// One disk, by its backend in dom0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Its name in the guest: `xvda`.
    pub name: String,
    /// `image sha256:…`, `scratch` or `volume NAME`; empty when that is not known.
    pub holds: String,
    /// Requests to read.
    pub reads: u64,
    /// Requests to write.
    pub writes: u64,
    /// Requests to flush.
    pub flushes: u64,
    /// Requests to discard.
    pub discards: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// How often the backend had no room for a request.
    pub out_of_requests: u64,
}

/// One interface, as the pod has it: received is what came to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// Its name in the guest: `eth0`.
    pub name: String,
    /// Its other end in dom0: `vif5.0`.
    pub host_name: String,
    /// Bytes to the pod.
    pub received_bytes: u64,
    /// Packets to the pod.
    pub received_packets: u64,
    /// Packets to the pod that were dropped in dom0.
    pub received_dropped: u64,
    /// Bytes from the pod.
    pub sent_bytes: u64,
    /// Packets from the pod.
    pub sent_packets: u64,
    /// Packets from the pod that were dropped in dom0.
    pub sent_dropped: u64,
}

/// What a pod costs beyond its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Overhead {
    /// Memory that Xen holds for the domain's page tables, beyond the domain's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xen_paging_bytes: Option<u64>,
    /// CPU time of the threads in dom0's kernel that work for its disks and interfaces alone, of those that there are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dom0_cpu_ns: Option<u64>,
    /// How many these are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dom0_threads: Option<u64>,
}

/// What a pod takes of dom0's file system. Images are shared, and not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Storage {
    /// Its scratch and volume disks: blocks that are written, not their size.
    pub disks_bytes: u64,
    /// Its containers' logs.
    pub logs_bytes: u64,
}
