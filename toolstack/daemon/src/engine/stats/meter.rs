//! What the host is asked of pods: a trait, so that the rest runs without Xen.

use std::path::PathBuf;

use async_trait::async_trait;
use xenpod_api::ids::PodId;

use super::sample::{Cpu, Disk, Interface, Memory, Overhead, Storage};

/// A pod to be looked at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Whose domain it is to be.
    pub id: PodId,
    /// Its domain, if it has one.
    pub domid: Option<u16>,
    /// What each of its disks holds, in the guest's order; empty where there is none.
    pub disks: Vec<String>,
    /// The files of the disks that are its own.
    pub files: Vec<PathBuf>,
    /// The folder of its logs.
    pub logs: PathBuf,
}

/// What the host says of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainUsage {
    /// CPU time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Its interfaces.
    pub interfaces: Vec<Interface>,
    /// What it costs beyond.
    pub overhead: Overhead,
}

/// What the host says of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Of its domain, or why not.
    pub domain: Result<DomainUsage, String>,
    /// Of its files.
    pub storage: Storage,
}

/// Figures of the host.
#[async_trait]
pub trait Meter: Send + Sync + 'static {
    /// Looks at these pods, in their order. A domain that has gone is no failure of the others.
    async fn measure(&self, pods: Vec<Subject>) -> Vec<Usage>;
}
