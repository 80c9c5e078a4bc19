//! What goes into and comes out of a [`Hypervisor`](super::Hypervisor).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{DomainRef, DomainUuid, Domid};
use crate::kernel::{BootImage, KernelImage};

/// A version of Xen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XenVersion {
    /// 4 in 4.17.
    pub major: u16,
    /// 17 in 4.17.
    pub minor: u16,
    /// What the builder of the package appended: ".7" or ".5-pre (Debian 4.17.7+13)".
    pub extra: String,
}

impl fmt::Display for XenVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{}", self.major, self.minor, self.extra)
    }
}

/// What a host is and has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostInfo {
    /// The running hypervisor.
    pub version: XenVersion,
    /// `XENVER_capabilities`: the guest types it can run, separated by blanks.
    pub capabilities: String,
    /// Hardware virtualisation (VMX or SVM) is there and enabled.
    pub hvm: bool,
    /// Hardware-assisted paging (EPT or NPT) is there; without it there is no PVH.
    pub hap: bool,
    /// PVH domains can be built: `hvm` and `hap`.
    pub pvh: bool,
    /// Physical CPUs that Xen schedules on.
    pub cpus: u32,
    /// All memory, in KiB.
    pub total_memory_kib: u64,
    /// Memory that belongs to nobody, in KiB.
    pub free_memory_kib: u64,
    /// Memory that is claimed for domains that are being built, in KiB; part of `free_memory_kib`.
    pub claimed_memory_kib: u64,
}

/// A domain to be built.
#[derive(Clone, Debug)]
pub struct DomainConfig {
    /// Its UUID; must not be in use.
    pub uuid: DomainUuid,
    /// Its name, for messages. Xen knows no names: xenstore does.
    pub name: String,
    /// Memory it starts with, in KiB; a multiple of 4.
    pub memory_kib: u64,
    /// Memory it may be given later (by hot-add), in KiB; at least `memory_kib`. Sizes Xen's own bookkeeping.
    pub max_memory_kib: u64,
    /// CPUs it starts with; 1..=`max_vcpus`.
    pub vcpus: u32,
    /// CPUs it may be given later; up to 128 (`HVM_MAX_VCPUS`).
    pub max_vcpus: u32,
    /// The kernel, shared by all domains that run it.
    pub kernel: KernelImage,
    /// The initial RAM disk.
    pub boot_image: Option<BootImage>,
    /// The kernel's command line.
    pub cmdline: String,
}

impl DomainConfig {
    /// Number and UUID as one, for a domain that was built from this.
    pub fn reference(&self, domid: Domid) -> DomainRef {
        DomainRef { domid, uuid: self.uuid }
    }
}

/// How long one part of a build took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name, constant between versions: "create", "populate", "load", "boot".
    pub name: String,
    /// Its time on the monotonic clock.
    pub took: Duration,
}

/// A domain that was built: paused, not yet introduced to xenstored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltDomain {
    /// The number Xen gave it.
    pub domid: Domid,
    /// Guest frame of the xenstore ring.
    pub store_gfn: u64,
    /// Event channel of the xenstore ring, the guest's end; bound by dom0's xenstored.
    pub store_port: u32,
    /// Guest frame of the console ring.
    pub console_gfn: u64,
    /// Event channel of the console ring, the guest's end; bound by dom0's xenconsoled.
    pub console_port: u32,
    /// What the build spent its time on.
    pub phases: Vec<Phase>,
}

/// Why a domain stopped itself (`SHUTDOWN_*`, xen/include/public/sched.h), or was stopped by Xen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShutdownReason {
    /// It powered off.
    Poweroff,
    /// It wants to start anew.
    Reboot,
    /// It is ready to be saved.
    Suspend,
    /// It crashed, or Xen crashed it.
    Crash,
    /// Its watchdog was not fed.
    Watchdog,
    /// It wants its devices reset (kexec).
    SoftReset,
    /// A code this version does not know.
    Unknown(u32),
}

impl ShutdownReason {
    /// From Xen's number.
    pub fn from_code(code: u32) -> Self {
        match code {
            0 => Self::Poweroff,
            1 => Self::Reboot,
            2 => Self::Suspend,
            3 => Self::Crash,
            4 => Self::Watchdog,
            5 => Self::SoftReset,
            other => Self::Unknown(other),
        }
    }
}

impl fmt::Display for ShutdownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Poweroff => f.write_str("poweroff"),
            Self::Reboot => f.write_str("reboot"),
            Self::Suspend => f.write_str("suspend"),
            Self::Crash => f.write_str("crash"),
            Self::Watchdog => f.write_str("watchdog"),
            Self::SoftReset => f.write_str("soft reset"),
            Self::Unknown(code) => write!(f, "unknown reason {code}"),
        }
    }
}

/// One domain, as Xen sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its number.
    pub domid: Domid,
    /// Its UUID. dom0's is all zeroes.
    pub uuid: DomainUuid,
    /// It is an HVM or PVH domain, not PV.
    pub hvm: bool,
    /// It uses hardware-assisted paging.
    pub hap: bool,
    /// Paused by the toolstack.
    pub paused: bool,
    /// A CPU of it runs now.
    pub running: bool,
    /// All its CPUs wait for events.
    pub blocked: bool,
    /// It has stopped, and why.
    pub shutdown: Option<ShutdownReason>,
    /// It is being destroyed.
    pub dying: bool,
    /// Memory it owns, in KiB; the tables Xen keeps about it are not counted.
    pub memory_kib: u64,
    /// Memory it may own, in KiB.
    pub max_memory_kib: u64,
    /// Memory claimed for it and not yet given, in KiB.
    pub outstanding_kib: u64,
    /// CPU time of all its CPUs.
    pub cpu_time: Duration,
    /// CPUs that are up.
    pub online_vcpus: u32,
    /// CPUs it was built with room for.
    pub max_vcpus: u32,
}

impl DomainInfo {
    /// Number and UUID as one.
    pub fn reference(&self) -> DomainRef {
        DomainRef { domid: self.domid, uuid: self.uuid }
    }
}

/// One virtual CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VcpuInfo {
    /// It is up.
    pub online: bool,
    /// It waits for an event.
    pub blocked: bool,
    /// It runs now.
    pub running: bool,
    /// Time it has run.
    pub cpu_time: Duration,
    /// The physical CPU it last ran on.
    pub cpu: u32,
}

/// A set of physical CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuSet(Vec<u8>);

impl CpuSet {
    /// The set of these CPUs.
    pub fn of(cpus: impl IntoIterator<Item = u32>) -> Self {
        let mut bytes = Vec::new();
        for cpu in cpus {
            let byte = cpu as usize / 8;
            if bytes.len() <= byte {
                bytes.resize(byte + 1, 0);
            }
            bytes[byte] |= 1 << (cpu % 8);
        }
        CpuSet(bytes)
    }

    /// Whether this CPU is in it.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.get(cpu as usize / 8).is_some_and(|byte| byte & (1 << (cpu % 8)) != 0)
    }

    /// Xen's form: a bit for each CPU, least significant bit of the first byte first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// How far a domain's destruction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroyed {
    /// Xen knows it no more.
    Gone,
    /// It is dying; these pages are still mapped elsewhere.
    Pending {
        /// Memory it still owns, in KiB.
        remaining_kib: u64,
    },
}
