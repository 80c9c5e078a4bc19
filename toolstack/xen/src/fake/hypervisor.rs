//! A hypervisor in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{FaultPlan, Step};
use crate::hypervisor::{
    BuiltDomain, CpuSet, Destroyed, DomainConfig, DomainInfo, Errno, HostInfo, Hypervisor, HypervisorError, Phase,
    Result, ShutdownReason, VcpuInfo, XenVersion,
};
use crate::ids::{DomainRef, DomainUuid, Domid};
use crate::pvh;

/// The steps of a build, in order; each is announced to the plan as `build.<name>`.
const BUILD_STEPS: [&str; 8] =
    ["create", "limits", "cpu_policy", "populate", "load", "parameters", "grants", "cpu_state"];

/// Something that happened to a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainEvent {
    /// It was built, and is paused.
    Built(DomainRef),
    /// Its last pause was undone: it runs.
    Unpaused(DomainRef),
    /// It stopped itself.
    ShutDown(DomainRef, ShutdownReason),
    /// It is gone.
    Gone(DomainRef),
}

struct Domain {
    info: DomainInfo,
    config: Option<DomainConfig>,
    pauses: u32,
    /// A backend maps its pages.
    held: bool,
    share: (u16, u16),
    affinity: BTreeMap<u32, CpuSet>,
}

type Listener = Arc<dyn Fn(DomainEvent) + Send + Sync>;

struct State {
    host: HostInfo,
    unavailable: bool,
    domains: BTreeMap<Domid, Domain>,
    next_domid: u16,
    next_port: u32,
    listeners: Vec<Listener>,
}

/// A hypervisor in memory. All clones are the same one.
#[derive(Clone)]
pub struct FakeHypervisor {
    state: Arc<Mutex<State>>,
    plan: FaultPlan,
}

impl Default for FakeHypervisor {
    fn default() -> Self {
        Self::new(FaultPlan::new())
    }
}

impl FakeHypervisor {
    /// A host with 4 GiB, of which dom0 has 1 GiB, 4 CPUs, and no other domain.
    pub fn new(plan: FaultPlan) -> Self {
        const GIB: u64 = 1 << 20;
        let host = HostInfo {
            version: XenVersion { major: 4, minor: 17, extra: ".0-fake".to_owned() },
            capabilities: "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64".to_owned(),
            hvm: true,
            hap: true,
            pvh: true,
            cpus: 4,
            total_memory_kib: 4 * GIB,
            free_memory_kib: 4 * GIB,
            claimed_memory_kib: 0,
        };
        let state = State {
            host,
            unavailable: false,
            domains: BTreeMap::new(),
            next_domid: 0,
            next_port: 1,
            listeners: Vec::new(),
        };
        let fake = FakeHypervisor { state: Arc::new(Mutex::new(state)), plan };
        fake.add_domain(DomainUuid([0; 16]), GIB);
        fake
    }

    /// Its plan of faults.
    pub fn plan(&self) -> &FaultPlan {
        &self.plan
    }

    /// A domain of somebody else's (`xl create`): running, with this much memory.
    pub fn add_domain(&self, uuid: DomainUuid, memory_kib: u64) -> Domid {
        let mut state = self.state();
        let domid = state.free_domid();
        state.host.free_memory_kib -= memory_kib;
        let mut info = new_domain(domid, uuid, memory_kib, 1);
        (info.paused, info.running) = (false, true);
        let domain = Domain { info, config: None, pauses: 0, held: false, share: (256, 0), affinity: BTreeMap::new() };
        state.domains.insert(domid, domain);
        domid
    }

    /// The number that the next domain gets if it is free, to see how recycled numbers are dealt with.
    pub fn set_next_domid(&self, domid: Domid) {
        self.state().next_domid = domid.0;
    }

    /// There is no Xen (any more, or again).
    pub fn set_unavailable(&self, unavailable: bool) {
        self.state().unavailable = unavailable;
    }

    /// Changes what the host is.
    pub fn set_host(&self, change: impl FnOnce(&mut HostInfo)) {
        change(&mut self.state().host);
    }

    /// Calls back for each event, from the thread in which it happens and after the call's own effect.
    pub fn on_event(&self, listener: impl Fn(DomainEvent) + Send + Sync + 'static) {
        self.state().listeners.push(Arc::new(listener));
    }

    /// What a domain was built from; `None` when there is none, or it is not ours.
    pub fn config(&self, domid: Domid) -> Option<DomainConfig> {
        self.state().domains.get(&domid)?.config.clone()
    }

    /// Its weight and cap.
    pub fn cpu_share(&self, domid: Domid) -> Option<(u16, u16)> {
        Some(self.state().domains.get(&domid)?.share)
    }

    /// The CPUs a virtual CPU was bound to.
    pub fn affinity(&self, domid: Domid, vcpu: u32) -> Option<CpuSet> {
        self.state().domains.get(&domid)?.affinity.get(&vcpu).cloned()
    }

    /// The domains beside dom0.
    pub fn domains(&self) -> Vec<DomainInfo> {
        self.state().domains.values().filter(|domain| domain.info.domid.0 != 0).map(|d| d.info.clone()).collect()
    }

    /// The guest stops by itself, or crashes.
    pub fn shut_down(&self, domid: Domid, reason: ShutdownReason) {
        let event = {
            let mut state = self.state();
            let Some(domain) = state.domains.get_mut(&domid) else { return };
            domain.info.shutdown = Some(reason);
            (domain.info.running, domain.info.blocked) = (false, false);
            DomainEvent::ShutDown(domain.info.reference(), reason)
        };
        self.tell(event);
    }

    /// The guest has used this much CPU time.
    pub fn set_cpu_time(&self, domid: Domid, time: Duration) {
        if let Some(domain) = self.state().domains.get_mut(&domid) {
            domain.info.cpu_time = time;
        }
    }

    /// A backend maps pages of the domain, or no longer does: held, it cannot go entirely.
    pub fn hold_pages(&self, domid: Domid, held: bool) {
        let event = {
            let mut state = self.state();
            let Some(domain) = state.domains.get_mut(&domid) else { return };
            domain.held = held;
            if held || !domain.info.dying {
                return;
            }
            state.remove(domid)
        };
        self.tell(event);
    }

    /// Somebody else destroys the domain (`xl destroy`).
    pub fn vanish(&self, domid: Domid) {
        let event = {
            let mut state = self.state();
            if !state.domains.contains_key(&domid) {
                return;
            }
            state.remove(domid)
        };
        self.tell(event);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, event: DomainEvent) {
        let listeners = self.state().listeners.clone();
        listeners.iter().for_each(|listener| listener(event));
    }

    /// Announces a step; the error if it is not to be taken.
    fn step(&self, name: &str, call: &'static str, domid: Option<Domid>) -> Result<()> {
        let step = self.plan.reach(name);
        if self.state().unavailable {
            return Err(HypervisorError::Unavailable { reason: "there is no Xen here (fake)".to_owned() });
        }
        match step {
            Step::Go => Ok(()),
            Step::Fail => Err(HypervisorError::Call { call, domid, errno: Errno::from(rustix::io::Errno::IO) }),
            Step::Crash => Err(HypervisorError::Unavailable { reason: "the process has crashed (fake)".to_owned() }),
        }
    }

    fn change<T>(&self, domain: DomainRef, change: impl FnOnce(&mut Domain) -> T) -> Result<T> {
        match self.state().domains.get_mut(&domain.domid) {
            Some(found) if found.info.uuid == domain.uuid => Ok(change(found)),
            _ => Err(HypervisorError::NoSuchDomain(domain)),
        }
    }
}

impl State {
    fn free_domid(&mut self) -> Domid {
        while self.domains.contains_key(&Domid(self.next_domid)) {
            self.next_domid = (self.next_domid + 1) % Domid::FIRST_RESERVED;
        }
        let domid = Domid(self.next_domid);
        self.next_domid = (self.next_domid + 1) % Domid::FIRST_RESERVED;
        domid
    }

    fn remove(&mut self, domid: Domid) -> DomainEvent {
        let domain = self.domains.remove(&domid).expect("the caller has found it");
        self.host.free_memory_kib += domain.info.memory_kib;
        DomainEvent::Gone(domain.info.reference())
    }
}

fn new_domain(domid: Domid, uuid: DomainUuid, memory_kib: u64, vcpus: u32) -> DomainInfo {
    DomainInfo {
        domid,
        uuid,
        hvm: domid != Domid::DOM0,
        hap: domid != Domid::DOM0,
        paused: true,
        running: false,
        blocked: false,
        shutdown: None,
        dying: false,
        memory_kib,
        max_memory_kib: memory_kib + 1024,
        outstanding_kib: 0,
        cpu_time: Duration::ZERO,
        online_vcpus: vcpus,
        max_vcpus: vcpus,
    }
}

impl Hypervisor for FakeHypervisor {
    fn host(&self) -> Result<HostInfo> {
        self.step("host", "xc_physinfo", None)?;
        Ok(self.state().host.clone())
    }

    fn build(&self, config: &DomainConfig) -> Result<BuiltDomain> {
        let boot_image_size = config.boot_image.as_ref().map(|image| image.size());
        pvh::Layout::new(config.memory_kib, &config.kernel, boot_image_size, &config.cmdline, config.max_vcpus > 1)
            .map_err(|source| HypervisorError::Kernel { name: config.name.clone(), source })?;
        let mut built: Option<Domid> = None;
        for name in BUILD_STEPS {
            if let Err(error) = self.step(&format!("build.{name}"), "xc_domain_create", built) {
                // A crash takes nothing back; a failure everything.
                if let (false, Some(domid)) = (self.plan.has_crashed(), built) {
                    self.state().remove(domid);
                }
                return Err(error);
            }
            let mut state = self.state();
            if name == "create" {
                if state.domains.values().any(|domain| domain.info.uuid == config.uuid) {
                    return Err(HypervisorError::Exists(config.uuid));
                }
                let domid = state.free_domid();
                let info = new_domain(domid, config.uuid, 0, config.max_vcpus);
                let domain = Domain {
                    info,
                    config: Some(config.clone()),
                    pauses: 1,
                    held: false,
                    share: (256, 0),
                    affinity: BTreeMap::new(),
                };
                state.domains.insert(domid, domain);
                built = Some(domid);
            }
            if let ("populate", Some(domid)) = (name, built) {
                let (needed_kib, free_kib) = (config.memory_kib, state.host.free_memory_kib);
                if needed_kib > free_kib {
                    state.remove(domid);
                    return Err(HypervisorError::NotEnoughMemory { needed_kib, free_kib });
                }
                state.host.free_memory_kib -= needed_kib;
                if let Some(domain) = state.domains.get_mut(&domid) {
                    domain.info.memory_kib = needed_kib;
                    domain.info.max_memory_kib = needed_kib + 1024;
                }
            }
        }
        let domid = built.expect("the first step makes it");
        let (store_port, console_port) = {
            let mut state = self.state();
            state.next_port += 2;
            (state.next_port - 2, state.next_port - 1)
        };
        self.tell(DomainEvent::Built(config.reference(domid)));
        Ok(BuiltDomain {
            domid,
            store_gfn: pvh::XENSTORE_GFN,
            store_port,
            console_gfn: pvh::CONSOLE_GFN,
            console_port,
            phases: BUILD_STEPS.map(|name| Phase { name: name.to_owned(), took: Duration::ZERO }).to_vec(),
        })
    }

    fn list(&self) -> Result<Vec<DomainInfo>> {
        self.step("list", "xc_domain_getinfolist", None)?;
        Ok(self.state().domains.values().map(|domain| domain.info.clone()).collect())
    }

    fn info(&self, domid: Domid) -> Result<Option<DomainInfo>> {
        self.step("info", "xc_domain_getinfolist", Some(domid))?;
        Ok(self.state().domains.get(&domid).map(|domain| domain.info.clone()))
    }

    fn vcpus(&self, domain: DomainRef) -> Result<Vec<VcpuInfo>> {
        self.step("vcpus", "xc_vcpu_getinfo", Some(domain.domid))?;
        self.change(domain, |domain| {
            let info = &domain.info;
            let vcpu = VcpuInfo {
                online: true,
                blocked: info.blocked,
                running: info.running,
                cpu_time: info.cpu_time / info.max_vcpus.max(1),
                cpu: 0,
            };
            vec![vcpu; info.max_vcpus as usize]
        })
    }

    fn paging_kib(&self, domain: DomainRef) -> Result<u64> {
        self.step("paging_kib", "xc_get_paging_mempool_size", Some(domain.domid))?;
        // The builder's formula.
        self.change(domain, |domain| 1024 * u64::from(domain.info.max_vcpus) + domain.info.memory_kib / 256)
    }

    fn pause(&self, domain: DomainRef) -> Result<()> {
        self.step("pause", "xc_domain_pause", Some(domain.domid))?;
        self.change(domain, |domain| {
            domain.pauses += 1;
            (domain.info.paused, domain.info.running) = (true, false);
        })
    }

    fn unpause(&self, domain: DomainRef) -> Result<()> {
        self.step("unpause", "xc_domain_unpause", Some(domain.domid))?;
        let runs = self.change(domain, |domain| {
            domain.pauses = domain.pauses.saturating_sub(1);
            domain.info.paused = domain.pauses > 0;
            domain.info.running = !domain.info.paused && domain.info.shutdown.is_none();
            domain.info.running
        })?;
        if runs {
            self.tell(DomainEvent::Unpaused(domain));
        }
        Ok(())
    }

    fn destroy(&self, domain: DomainRef) -> Result<Destroyed> {
        self.step("destroy", "xc_domain_destroy", Some(domain.domid))?;
        let event = {
            let mut state = self.state();
            match state.domains.get_mut(&domain.domid) {
                Some(found) if found.info.uuid == domain.uuid => {
                    found.info.dying = true;
                    found.info.running = false;
                    if found.held {
                        return Ok(Destroyed::Pending { remaining_kib: 4 });
                    }
                    state.remove(domain.domid)
                }
                _ => return Ok(Destroyed::Gone),
            }
        };
        self.tell(event);
        Ok(Destroyed::Gone)
    }

    fn set_max_memory(&self, domain: DomainRef, kib: u64) -> Result<()> {
        self.step("set_max_memory", "xc_domain_setmaxmem", Some(domain.domid))?;
        self.change(domain, |domain| domain.info.max_memory_kib = kib + 1024)
    }

    fn set_vcpu_affinity(&self, domain: DomainRef, vcpu: u32, cpus: &CpuSet) -> Result<()> {
        self.step("set_vcpu_affinity", "xc_vcpu_setaffinity", Some(domain.domid))?;
        self.change(domain, |domain| {
            domain.affinity.insert(vcpu, cpus.clone());
        })
    }

    fn set_cpu_share(&self, domain: DomainRef, weight: u16, cap: u16) -> Result<()> {
        self.step("set_cpu_share", "xc_sched_credit2_domain_set", Some(domain.domid))?;
        self.change(domain, |domain| domain.share = (weight, cap))
    }
}

#[cfg(test)]
#[path = "hypervisor_tests.rs"]
mod tests;
