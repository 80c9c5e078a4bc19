//! The domains of the world in memory.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use xenpod_api::ids::PodId;
use xenpod_xen::hypervisor::HypervisorError;

use super::super::resize::DomainSize;
use super::super::world::*;
use super::*;

fn refused() -> DomainError {
    HypervisorError::NotEnoughMemory { needed_kib: 65536, free_kib: 1024 }.into()
}

#[async_trait]
impl Domains for Fake {
    async fn build(&self, plan: &DomainPlan) -> Result<Built, DomainError> {
        if self.step("domains.build").await {
            return Err(refused());
        }
        let domid = {
            let mut state = self.state();
            let domid = state.next_domid;
            state.next_domid += 1;
            let domain = Domain::new(domid, plan.memory_kib, plan.vcpus, &plan.name);
            assert!(state.domains.insert(plan.id, domain).is_none(), "built twice");
            domid
        };
        self.done().await;
        Ok(Built { domid, store: StorePorts::default() })
    }

    async fn publish(
        &self,
        plan: &DomainPlan,
        _built: &Built,
        disks: &[DiskPlan],
        _macs: &[[u8; 6]],
    ) -> Result<(), DomainError> {
        if self.step("domains.publish").await {
            return Err(DomainError::Store {
                what: "write the domain's nodes",
                source: xenpod_xen::xenstore::Error::Conflict { attempts: 3 },
            });
        }
        {
            let mut state = self.state();
            state.marks.insert(plan.id);
            let domain = state.domains.get_mut(&plan.id).unwrap();
            domain.published = true;
            domain.disks = (0..disks.len()).collect();
        }
        self.done().await;
        Ok(())
    }

    async fn unpause(&self, id: PodId, _domid: u16) -> Result<(), DomainError> {
        if self.step("domains.unpause").await {
            return Err(refused());
        }
        {
            let mut state = self.state();
            let domain = state.domains.get_mut(&id).unwrap();
            domain.paused = false;
            if domain.guest.is_none() {
                assert!(domain.published, "it runs before xenstore knows it");
                domain.guest = Some(guest::boot(self.clone(), id));
            }
        }
        self.done().await;
        Ok(())
    }

    async fn pause(&self, id: PodId, _domid: u16) -> Result<(), DomainError> {
        if self.step("domains.pause").await {
            return Err(refused());
        }
        self.state().domains.get_mut(&id).unwrap().paused = true;
        self.done().await;
        Ok(())
    }

    async fn attach_disk(&self, id: PodId, domid: u16, index: usize, _disk: DiskPlan) -> Result<(), DomainError> {
        if self.step("domains.attach_disk").await {
            return Err(DomainError::Device { device: format!("disk {index} of domain {domid}"), why: "no".into() });
        }
        self.state().domains.get_mut(&id).unwrap().disks.insert(index);
        self.done().await;
        Ok(())
    }

    async fn detach_disk(&self, id: PodId, domid: u16, index: usize) -> Result<(), DomainError> {
        if self.step("domains.detach_disk").await {
            return Err(DomainError::Device { device: format!("disk {index} of domain {domid}"), why: "busy".into() });
        }
        self.state().domains.get_mut(&id).unwrap().disks.remove(&index);
        self.done().await;
        Ok(())
    }

    async fn connect(&self, id: PodId, domid: u16, within: Duration) -> Result<Box<dyn Transport>, DomainError> {
        if self.step("domains.connect").await {
            return Err(DomainError::NoHello { domid, after: within });
        }
        let (ours, theirs) = tokio::io::duplex(4096);
        let guest = self.state().domains.get(&id).and_then(|d| d.guest.clone());
        match guest.map(|g| g.send(theirs)) {
            Some(Ok(())) => {}
            _ => return Err(DomainError::NoHello { domid, after: within }),
        }
        self.done().await;
        Ok(Box::new(ours))
    }

    async fn destroy(&self, id: PodId) -> Result<(), DomainError> {
        if self.step("domains.destroy").await {
            return Err(DomainError::Dying { domid: 1, remaining_kib: 12 });
        }
        {
            let mut state = self.state();
            state.domains.remove(&id);
            state.marks.remove(&id);
        }
        self.done().await;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<DomainView>, DomainError> {
        let state = self.state();
        if state.hidden {
            return Err(HypervisorError::Unavailable { reason: "cannot open /dev/xen/privcmd".into() }.into());
        }
        let view = |(id, d): (&PodId, &Domain)| DomainView {
            id: *id,
            domid: d.domid,
            paused: d.paused,
            shutdown: d.shutdown,
            dying: false,
        };
        Ok(state.domains.iter().map(view).collect())
    }

    async fn marked(&self) -> Result<Vec<PodId>, DomainError> {
        Ok(self.state().marks.iter().copied().collect())
    }

    fn keep(&self, _domids: &[u16]) {}

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn size(&self, id: PodId, _domid: u16) -> Result<DomainSize, DomainError> {
        let mut state = self.state();
        let (held, stuck) = (state.held_kib, state.stuck);
        let domain = state.domains.get_mut(&id).ok_or_else(refused)?;
        let [owns, target, most] = domain.memory;
        if !stuck {
            // It gives back no more than it can, and takes no more than it may: a part at each look.
            let next = owns.saturating_sub(8192).max(target).max(held).min(owns);
            domain.memory[0] = if target > owns { (owns + 8192).min(target).min(most) } else { next };
        }
        // As Xen counts: some pages were given back at boot.
        Ok(DomainSize { memory_kib: domain.memory[0] - 256, vcpus: domain.vcpus })
    }

    async fn set_max_memory(&self, id: PodId, _domid: u16, kib: u64) -> Result<(), DomainError> {
        if self.step("domains.set_max_memory").await {
            return Err(refused());
        }
        self.state().domains.get_mut(&id).unwrap().memory[2] = kib;
        self.done().await;
        Ok(())
    }

    async fn set_memory_target(&self, id: PodId, _domid: u16, kib: u64) -> Result<(), DomainError> {
        if self.step("domains.set_memory_target").await {
            return Err(refused());
        }
        {
            let mut state = self.state();
            let domain = state.domains.get_mut(&id).unwrap();
            assert!(kib <= domain.memory[2], "a guest is asked to take what it may not have");
            domain.memory[1] = kib;
        }
        self.done().await;
        Ok(())
    }

    async fn set_vcpus(&self, id: PodId, _domid: u16, online: u32, max: u32) -> Result<(), DomainError> {
        if self.step("domains.set_vcpus").await {
            return Err(refused());
        }
        assert!(online <= max);
        {
            let mut state = self.state();
            if !state.stuck {
                state.domains.get_mut(&id).unwrap().vcpus = online;
            }
        }
        self.done().await;
        Ok(())
    }

    async fn rename(&self, plan: &DomainPlan, _domid: u16) -> Result<(), DomainError> {
        if self.step("domains.rename").await {
            return Err(refused());
        }
        self.state().domains.get_mut(&plan.id).unwrap().name = plan.name.clone();
        self.done().await;
        Ok(())
    }

    async fn describe(&self, _plan: &DomainPlan, _domid: u16, _disks: &[DiskPlan], _macs: &[[u8; 6]]) {}

    async fn host(&self) -> Result<HostView, DomainError> {
        Ok(HostView { free_memory_kib: self.state().free_kib, ..HostView::default() })
    }
}
