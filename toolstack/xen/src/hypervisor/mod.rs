//! What xenpod asks of the hypervisor, as a trait: `libxc::Libxc` does it on a real host,
//! `fake::FakeHypervisor` in memory.
//!
//! ```text
//!   build ──> paused ──unpause──> running ──(guest)──> shut down (a ShutdownReason)
//!                │  <──pause────     │                      │
//!                └───────────── destroy ────────────────────┘──> dying (Pending) ──> gone
//! ```
//!
//! All calls block, for some tens of microseconds up to the time it takes to populate a domain's memory: call them from
//! a blocking thread. None waits for another.

use crate::ids::{DomainRef, DomainUuid, Domid};

mod error;
mod types;

pub use error::{Errno, HypervisorError};
pub use types::{
    BuiltDomain, CpuSet, Destroyed, DomainConfig, DomainInfo, HostInfo, Phase, ShutdownReason, VcpuInfo, XenVersion,
};

/// Shorthand for this module's results.
pub type Result<T> = std::result::Result<T, HypervisorError>;

/// The hypervisor's side of a domain's life. See the module for the states.
///
/// A method that changes a domain takes a [`DomainRef`] and answers [`HypervisorError::NoSuchDomain`] when the number
/// is now another domain's: numbers are reused.
pub trait Hypervisor: Send + Sync + 'static {
    /// This host: version, memory, what it can run.
    fn host(&self) -> Result<HostInfo>;

    /// Builds a domain and leaves it paused: memory populated, kernel and boot image loaded, virtual CPU 0 at the
    /// kernel's PVH entry. Its xenstore nodes are the caller's to write. On an error nothing of it remains. What it was
    /// filled through stays mapped until [`unmap`](Self::unmap).
    fn build(&self, config: &DomainConfig) -> Result<BuiltDomain>;

    /// Lets go of what domains were filled through. That takes about as long as the filling, and nothing waits for it but
    /// the end of such a domain, so it is for a moment when nobody waits; [`destroy`](Self::destroy) does it first.
    fn unmap(&self) {}

    /// All domains, dom0 included, by number.
    fn list(&self) -> Result<Vec<DomainInfo>>;

    /// One domain, by number.
    fn info(&self, domid: Domid) -> Result<Option<DomainInfo>>;

    /// One domain, by UUID. Costs a scan of all domains: for the reconciler, not for the path of a start.
    fn find(&self, uuid: DomainUuid) -> Result<Option<DomainInfo>> {
        Ok(self.list()?.into_iter().find(|domain| domain.uuid == uuid))
    }

    /// What each virtual CPU of a domain has done, by number.
    fn vcpus(&self, domain: DomainRef) -> Result<Vec<VcpuInfo>>;

    /// Memory that Xen has set aside for its own tables about a domain (the pool of its nested page tables), in KiB. It is
    /// beyond the domain's memory.
    fn paging_kib(&self, domain: DomainRef) -> Result<u64>;

    /// Stops a domain's CPUs. Pauses nest in Xen: one unpause for each.
    fn pause(&self, domain: DomainRef) -> Result<()>;

    /// Undoes one pause.
    fn unpause(&self, domain: DomainRef) -> Result<()>;

    /// Takes a domain away, whatever it is doing. A domain that is not there (any more) is [`Destroyed::Gone`].
    /// [`Destroyed::Pending`] when somebody (a backend) still maps its pages: it is dying, call again.
    fn destroy(&self, domain: DomainRef) -> Result<Destroyed>;

    /// Sets how much memory the domain may own, in KiB (the balloon's upper bound). The guest is told its target
    /// through xenstore; this is what keeps it to it. Xen's own tables about the domain are given the room that goes with it.
    fn set_max_memory(&self, domain: DomainRef, kib: u64) -> Result<()>;

    /// Binds virtual CPU `vcpu` to these physical CPUs.
    fn set_vcpu_affinity(&self, domain: DomainRef, vcpu: u32, cpus: &CpuSet) -> Result<()>;

    /// Sets the domain's share of CPU time under the default (credit2) scheduler: `weight` relative to 256, `cap` in
    /// per cent of one CPU, 0 for none.
    fn set_cpu_share(&self, domain: DomainRef, weight: u16, cap: u16) -> Result<()>;
}
