//! The real hypervisor, through libxenctrl and libxenguest.
//!
//! - [`handle`](self): the pool of C handles, and how their errors become ours.
//! - `build`, `memory`, `cpu`: the PVH builder.
//! - here: everything else one asks of a domain that is there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use xenctrl_sys as xc;

use crate::hypervisor::{
    BuiltDomain, CpuSet, Destroyed, DomainConfig, DomainInfo, Errno, HostInfo, Hypervisor, HypervisorError, Result,
    ShutdownReason, VcpuInfo, XenVersion,
};
use crate::ids::{DomainRef, DomainUuid, Domid};

mod build;
mod cpu;
mod handle;
mod memory;

use build::{Builder, MAXMEM_SLACK_KIB, is_out_of_memory, paging_pool};
use handle::{Handle, Pool, check};
use memory::Foreign;

pub use build::MAX_VCPUS;
pub(crate) use handle::silent_logger;

const PAGE_KIB: u64 = 4;

/// Xen on this host. Costs nothing to make: handles are opened when first needed, so it can be made where there is no
/// Xen, and every call then says [`HypervisorError::Unavailable`].
#[derive(Default)]
pub struct Libxc {
    pool: Pool,
    /// Mappings of domains that were built, until somebody has time to unmap them.
    mapped: Mutex<Vec<Foreign>>,
}

impl Libxc {
    /// Makes one; the whole process needs one.
    pub fn new() -> Self {
        Self::default()
    }

    fn host_with(&self, handle: &Handle) -> Result<HostInfo> {
        let mut info = xc::xc_physinfo_t::default();
        // SAFETY: the call fills in the structure.
        check("xc_physinfo", None, unsafe { xc::xc_physinfo(handle.xc(), &mut info) })?;
        let version = |what: u32, buffer: *mut u8| {
            // SAFETY: `buffer` is null for the version number, else has the room that this text takes.
            let result = unsafe { xc::xc_version(handle.xc(), what as i32, buffer.cast()) };
            check("xc_version", None, result)
        };
        let number = version(xc::XENVER_version, std::ptr::null_mut())?;
        // xen_extraversion_t and xen_capabilities_info_t (xen/include/public/version.h)
        let (mut extra, mut capabilities) = ([0u8; 16], [0u8; 1024]);
        version(xc::XENVER_extraversion, extra.as_mut_ptr())?;
        version(xc::XENVER_capabilities, capabilities.as_mut_ptr())?;

        let has = |capability| info.capabilities & capability != 0;
        let (hvm, hap) = (has(xc::XEN_SYSCTL_PHYSCAP_hvm), has(xc::XEN_SYSCTL_PHYSCAP_hap));
        Ok(HostInfo {
            version: XenVersion { major: (number >> 16) as u16, minor: number as u16, extra: text(&extra) },
            capabilities: text(&capabilities).trim_end().to_owned(),
            hvm,
            hap,
            pvh: hvm && hap,
            cpus: info.nr_cpus,
            total_memory_kib: info.total_pages * PAGE_KIB,
            free_memory_kib: info.free_pages * PAGE_KIB,
            claimed_memory_kib: info.outstanding_pages * PAGE_KIB,
        })
    }

    fn info_with(&self, handle: &Handle, domid: Domid) -> Result<Option<DomainInfo>> {
        let found = list_from(handle, domid.0.into(), 1)?;
        Ok(found.into_iter().find(|info| info.domid == domid))
    }

    /// Makes sure that the number still belongs to the domain that is meant.
    fn checked(&self, handle: &Handle, domain: DomainRef) -> Result<DomainInfo> {
        match self.info_with(handle, domain.domid)? {
            Some(info) if info.uuid == domain.uuid => Ok(info),
            _ => Err(HypervisorError::NoSuchDomain(domain)),
        }
    }

    /// Puts figures to "out of memory".
    fn explain(&self, handle: &Handle, config: &DomainConfig, error: HypervisorError) -> HypervisorError {
        match self.host_with(handle) {
            Ok(host) if is_out_of_memory(&error) => HypervisorError::NotEnoughMemory {
                // The memory itself, Xen's tables about it, and some pages for the domain's own structures.
                needed_kib: config.memory_kib + 1024 * u64::from(config.max_vcpus) + config.max_memory_kib / 256 + 512,
                free_kib: host.free_memory_kib.saturating_sub(host.claimed_memory_kib),
            },
            _ => error,
        }
    }
}

impl Hypervisor for Libxc {
    fn host(&self) -> Result<HostInfo> {
        let handle = self.pool.take()?;
        self.host_with(&handle)
    }

    fn build(&self, config: &DomainConfig) -> Result<BuiltDomain> {
        let handle = self.pool.take()?;
        let mut builder = Builder::new(&handle, config)?;
        let domid = builder.create().map_err(|error| self.explain(&handle, config, error))?;
        let filled = builder.fill(domid).map_err(|error| {
            // The figures first: the destruction would free what was missing.
            let error = self.explain(&handle, config, error);
            // Nobody has mapped or bound anything of it yet: it goes at once.
            // SAFETY: plain numbers.
            unsafe { xc::xc_domain_destroy(handle.xc(), domid.0.into()) };
            error
        });
        let (built, memory) = filled?;
        self.mapped.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        Ok(built)
    }

    fn unmap(&self) {
        let mapped = std::mem::take(&mut *self.mapped.lock().unwrap_or_else(PoisonError::into_inner));
        drop(mapped);
    }

    fn list(&self) -> Result<Vec<DomainInfo>> {
        const BATCH: u32 = 256;
        let handle = self.pool.take()?;
        let mut domains: Vec<DomainInfo> = Vec::new();
        loop {
            let first = domains.last().map_or(0, |last| u32::from(last.domid.0) + 1);
            let found = list_from(&handle, first, BATCH)?;
            let is_last = found.len() < BATCH as usize;
            domains.extend(found);
            if is_last {
                return Ok(domains);
            }
        }
    }

    fn info(&self, domid: Domid) -> Result<Option<DomainInfo>> {
        let handle = self.pool.take()?;
        self.info_with(&handle, domid)
    }

    fn vcpus(&self, domain: DomainRef) -> Result<Vec<VcpuInfo>> {
        let handle = self.pool.take()?;
        let info = self.checked(&handle, domain)?;
        (0..info.max_vcpus)
            .map(|vcpu| {
                let mut info = xc::xc_vcpuinfo_t::default();
                // SAFETY: the call fills in the structure.
                let result = unsafe { xc::xc_vcpu_getinfo(handle.xc(), domain.domid.0.into(), vcpu, &mut info) };
                check("xc_vcpu_getinfo", domain.domid, result)?;
                Ok(VcpuInfo {
                    online: info.online != 0,
                    blocked: info.blocked != 0,
                    running: info.running != 0,
                    cpu_time: Duration::from_nanos(info.cpu_time),
                    cpu: info.cpu,
                })
            })
            .collect()
    }

    fn paging_kib(&self, domain: DomainRef) -> Result<u64> {
        let handle = self.pool.take()?;
        self.checked(&handle, domain)?;
        memory::paging_kib(&handle, domain.domid)
    }

    fn pause(&self, domain: DomainRef) -> Result<()> {
        let handle = self.pool.take()?;
        self.checked(&handle, domain)?;
        // SAFETY: plain numbers.
        check("xc_domain_pause", domain.domid, unsafe { xc::xc_domain_pause(handle.xc(), domain.domid.0.into()) })?;
        Ok(())
    }

    fn unpause(&self, domain: DomainRef) -> Result<()> {
        let handle = self.pool.take()?;
        self.checked(&handle, domain)?;
        // SAFETY: plain numbers.
        check("xc_domain_unpause", domain.domid, unsafe { xc::xc_domain_unpause(handle.xc(), domain.domid.0.into()) })?;
        Ok(())
    }

    fn destroy(&self, domain: DomainRef) -> Result<Destroyed> {
        self.unmap();
        let handle = self.pool.take()?;
        let ours = |info: Option<DomainInfo>| info.filter(|info| info.uuid == domain.uuid);
        if ours(self.info_with(&handle, domain.domid)?).is_none() {
            return Ok(Destroyed::Gone);
        }
        // SAFETY: plain numbers.
        let result = unsafe { xc::xc_domain_destroy(handle.xc(), domain.domid.0.into()) };
        match check("xc_domain_destroy", domain.domid, result) {
            Err(HypervisorError::Call { errno, .. }) if errno == Errno::from(rustix::io::Errno::SRCH) => {}
            result => {
                result?;
            }
        }
        Ok(match ours(self.info_with(&handle, domain.domid)?) {
            None => Destroyed::Gone,
            Some(info) => Destroyed::Pending { remaining_kib: info.memory_kib },
        })
    }

    fn set_max_memory(&self, domain: DomainRef, kib: u64) -> Result<()> {
        let handle = self.pool.take()?;
        let info = self.checked(&handle, domain)?;
        // Room for Xen's own tables about it first. Never less than there is: they may be in use.
        let pool = paging_pool(info.max_vcpus, kib);
        if pool > memory::paging_kib(&handle, domain.domid)? * 1024 {
            // SAFETY: plain numbers.
            let result = unsafe { xc::xc_set_paging_mempool_size(handle.xc(), domain.domid.0.into(), pool) };
            check("xc_set_paging_mempool_size", domain.domid, result)?;
        }
        let kib = kib.saturating_add(MAXMEM_SLACK_KIB);
        // SAFETY: plain numbers.
        let result = unsafe { xc::xc_domain_setmaxmem(handle.xc(), domain.domid.0.into(), kib) };
        check("xc_domain_setmaxmem", domain.domid, result)?;
        Ok(())
    }

    fn set_vcpu_affinity(&self, domain: DomainRef, vcpu: u32, cpus: &CpuSet) -> Result<()> {
        // XEN_VCPUAFFINITY_HARD (xen/include/public/domctl.h)
        const HARD: u32 = 1;
        let handle = self.pool.take()?;
        self.checked(&handle, domain)?;
        let call = "xc_vcpu_setaffinity";
        // SAFETY: asks for the size of this host's CPU maps.
        let size = check("xc_get_cpumap_size", None, unsafe { xc::xc_get_cpumap_size(handle.xc()) })? as usize;
        // libxc reads, and writes back, a map of exactly this size.
        let mut map = vec![0u8; size];
        if cpus.as_bytes().iter().skip(size).any(|byte| *byte != 0) {
            let errno = Errno::from(rustix::io::Errno::INVAL);
            return Err(HypervisorError::Call { call, domid: Some(domain.domid), errno });
        }
        map.iter_mut().zip(cpus.as_bytes()).for_each(|(to, from)| *to = *from);
        let null = std::ptr::null_mut();
        // SAFETY: the map has the size libxc expects; without the flag for it, the second is not used.
        let result = unsafe {
            xc::xc_vcpu_setaffinity(handle.xc(), domain.domid.0.into(), vcpu as i32, map.as_mut_ptr(), null, HARD)
        };
        check(call, domain.domid, result)?;
        Ok(())
    }

    fn set_cpu_share(&self, domain: DomainRef, weight: u16, cap: u16) -> Result<()> {
        let handle = self.pool.take()?;
        self.checked(&handle, domain)?;
        let mut share = xc::xen_domctl_sched_credit2 { weight, cap };
        // SAFETY: the structure is read only during the call.
        let result = unsafe { xc::xc_sched_credit2_domain_set(handle.xc(), domain.domid.0.into(), &mut share) };
        check("xc_sched_credit2_domain_set", domain.domid, result)?;
        Ok(())
    }
}

/// At most `max` domains, from the number `first` on.
fn list_from(handle: &Handle, first: u32, max: u32) -> Result<Vec<DomainInfo>> {
    let mut found = vec![xc::xc_domaininfo_t::default(); max as usize];
    // SAFETY: there is room for `max` elements.
    let count = unsafe { xc::xc_domain_getinfolist(handle.xc(), first, max, found.as_mut_ptr()) };
    found.truncate(check("xc_domain_getinfolist", None, count)? as usize);
    Ok(found.iter().map(domain_info).collect())
}

fn domain_info(info: &xc::xc_domaininfo_t) -> DomainInfo {
    let has = |flag| info.flags & flag != 0;
    let reason = (info.flags >> xc::XEN_DOMINF_shutdownshift) & xc::XEN_DOMINF_shutdownmask;
    DomainInfo {
        domid: Domid(info.domain),
        uuid: DomainUuid(info.handle),
        hvm: has(xc::XEN_DOMINF_hvm_guest),
        hap: has(xc::XEN_DOMINF_hap),
        paused: has(xc::XEN_DOMINF_paused),
        running: has(xc::XEN_DOMINF_running),
        blocked: has(xc::XEN_DOMINF_blocked),
        shutdown: has(xc::XEN_DOMINF_shutdown).then(|| ShutdownReason::from_code(reason)),
        dying: has(xc::XEN_DOMINF_dying),
        memory_kib: info.tot_pages * PAGE_KIB,
        max_memory_kib: info.max_pages.saturating_mul(PAGE_KIB),
        outstanding_kib: info.outstanding_pages * PAGE_KIB,
        cpu_time: Duration::from_nanos(info.cpu_time),
        online_vcpus: info.nr_online_vcpus,
        max_vcpus: info.max_vcpu_id.wrapping_add(1),
    }
}

/// A C string in a buffer.
fn text(buffer: &[u8]) -> String {
    let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

#[cfg(test)]
mod tests;
