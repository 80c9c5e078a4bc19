//! Domains, through libxc and xenstore.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex as AsyncMutex, watch};
use xenpod_api::ids::PodId;
use xenpod_xen::evtchn::EvtchnDevice;
use xenpod_xen::grants::GntdevDevice;
use xenpod_xen::hypervisor::{Destroyed, DomainConfig, Hypervisor, HypervisorError};
use xenpod_xen::ids::{DomainRef, DomainUuid, Domid};
use xenpod_xen::kernel::BootImage;
use xenpod_xen::libxl;
use xenpod_xen::vchan::{Rendezvous, Vchan, VchanStream};
use xenpod_xen::xenstore::tree::{
    DeviceId, DeviceKind, DomainTree, MARKS, Mac, Mode, Ring, Vbd, Vif, VirtualDisk, availability, domain_path,
    mark_path, memory_target, names, remove_domain,
};
use xenpod_xen::xenstore::{Client, Error as StoreError, guest};

use super::marks::Marks;
use super::sizes::command_line;
use crate::engine::resize::DomainSize;
use crate::engine::world::{Built, DiskPlan, DomainError, DomainPlan, DomainView, Domains, HostView, StorePorts};
use crate::guest::Transport;

/// How long the backends have to let go of a domain's devices.
const CLOSE: Duration = Duration::from_secs(5);
/// How long a dying domain may take to be gone.
const DIE: Duration = Duration::from_secs(5);
/// How long after a domain is there the mapping that filled it is let go: by then its guest boots, or nobody waits.
const UNMAP_AFTER: Duration = Duration::from_millis(20);
/// Event channel ports of a guest (`max_evtchn_port` of the builder).
const PORTS: u32 = 1024;

/// Domains of this host.
pub struct HostDomains<H> {
    xen: Arc<H>,
    store: AsyncMutex<Option<Client>>,
    boot_path: PathBuf,
    kernel_args: String,
    boot_image: Mutex<Option<BootImage>>,
    changes: watch::Sender<u64>,
    marks: Marks,
}

fn store(what: &'static str) -> impl FnOnce(StoreError) -> DomainError {
    move |source| DomainError::Store { what, source }
}

fn no_such_disk(domid: u16, index: usize) -> DomainError {
    let why = format!("a domain has {} disks at most", VirtualDisk::COUNT);
    DomainError::Device { device: format!("disk {index} of domain {domid}"), why }
}

fn uuid(id: PodId) -> DomainUuid {
    DomainUuid(*id.as_bytes())
}

fn reference(id: PodId, domid: u16) -> DomainRef {
    DomainRef { domid: Domid(domid), uuid: uuid(id) }
}

/// Whether this kernel runs on Xen. If it does and Xen cannot be reached, domains may be there that are not seen.
fn on_xen() -> bool {
    std::fs::read_to_string("/sys/hypervisor/type").is_ok_and(|kind| kind.trim() == "xen")
}

impl<H: Hypervisor> HostDomains<H> {
    /// On this hypervisor, with this boot image, and these parameters for every kernel. Nothing is opened yet.
    pub fn new(xen: H, boot_image: &Path, kernel_args: &str) -> Self {
        Self {
            xen: Arc::new(xen),
            store: AsyncMutex::new(None),
            boot_path: boot_image.into(),
            kernel_args: kernel_args.into(),
            boot_image: Mutex::new(None),
            changes: watch::Sender::new(0),
            marks: Marks::default(),
        }
    }

    /// What pods on it use.
    pub fn meter(&self) -> super::HostMeter<H> {
        super::HostMeter::new(self.xen.clone())
    }

    /// Runs what blocks off the runtime's thread.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Runs a blocking call of the hypervisor off the runtime's thread.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&H) -> Result<T, HypervisorError> + Send + 'static,
    ) -> Result<T, DomainError> {
        let xen = self.xen.clone();
        Ok(self.blocking(move || call(&xen)).await?)
    }

    /// The connection to xenstored, made at the first use.
    async fn store(&self) -> Result<Client, DomainError> {
        let mut slot = self.store.lock().await;
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let client = Client::connect().await.map_err(store("connect"))?;
        // Some domain has stopped, crashed or gone; which one is found by looking.
        let mut watch = client.watch("@releaseDomain").await.map_err(store("watch for domains that stop"))?;
        let changes = self.changes.clone();
        tokio::spawn(async move {
            while watch.next().await.is_some() {
                changes.send_modify(|n| *n += 1);
            }
        });
        *slot = Some(client.clone());
        Ok(client)
    }

    /// The boot image, opened at the first use: what was not there may be by then.
    async fn boot_image(&self) -> Result<BootImage, DomainError> {
        if let Some(image) = self.boot_image.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(image);
        }
        let path = self.boot_path.clone();
        let opened = self.blocking(move || BootImage::open(&path)).await;
        let image = opened.map_err(|e| DomainError::Kernel(e.to_string()))?;
        *self.boot_image.lock().unwrap_or_else(PoisonError::into_inner) = Some(image.clone());
        Ok(image)
    }

    fn tree(plan: &DomainPlan, domid: u16, ports: StorePorts, disks: &[DiskPlan], macs: &[[u8; 6]]) -> DomainTree {
        DomainTree {
            domid: Domid(domid),
            uuid: uuid(plan.id),
            name: plan.name.clone(),
            memory_max_kib: plan.memory_kib,
            memory_kib: plan.memory_kib,
            vcpus: plan.vcpus,
            max_vcpus: plan.max_vcpus,
            store: Ring { gfn: ports.store_gfn, port: ports.store_port },
            console: Ring { gfn: ports.console_gfn, port: ports.console_port },
            vifs: (0..).zip(macs).map(|(index, mac)| Vif { index, mac: Mac(*mac) }).collect(),
            vbds: (0..).zip(disks).filter_map(|(index, disk)| Self::vbd(index, disk)).collect(),
        }
    }

    /// `None` past the last disk that there can be.
    fn vbd(index: u32, disk: &DiskPlan) -> Option<Vbd> {
        Some(Vbd {
            disk: VirtualDisk::from_index(index)?,
            device: (disk.block.major, disk.block.minor),
            source: format!("/dev/loop{}", disk.block.minor),
            mode: if disk.read_only { Mode::ReadOnly } else { Mode::ReadWrite },
        })
    }

    /// The devices of a domain, by its backends: those are dom0's own, and what a guest says does not count.
    async fn devices(client: &Client, domid: Domid) -> Result<Vec<DeviceId>, DomainError> {
        let mut devices = Vec::new();
        for kind in DeviceKind::ALL {
            let numbers = match client.list(&kind.backends(domid)).await {
                Ok(numbers) => numbers,
                Err(error) if error.is_not_found() => continue,
                Err(error) => return Err(store("list devices")(error)),
            };
            devices.extend(numbers.iter().filter_map(|n| n.parse().ok()).map(|number| DeviceId {
                domid,
                kind,
                number,
            }));
        }
        Ok(devices)
    }

    /// Destroys until it is gone.
    async fn destroy_domain(&self, domain: DomainRef) -> Result<(), DomainError> {
        let deadline = tokio::time::Instant::now() + DIE;
        let mut pause = Duration::from_millis(1);
        loop {
            match self.call(move |xen| xen.destroy(domain)).await? {
                Destroyed::Gone => return Ok(()),
                Destroyed::Pending { remaining_kib } if tokio::time::Instant::now() >= deadline => {
                    return Err(DomainError::Dying { domid: domain.domid.0, remaining_kib });
                }
                Destroyed::Pending { .. } => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }
}

#[async_trait]
impl<H: Hypervisor> Domains for HostDomains<H> {
    async fn build(&self, plan: &DomainPlan) -> Result<Built, DomainError> {
        let boot_image = self.boot_image().await?;
        let gone = || DomainError::Kernel("its kernel is not here any more".into());
        let config = DomainConfig {
            uuid: uuid(plan.id),
            name: plan.name.clone(),
            memory_kib: plan.memory_kib,
            max_memory_kib: plan.memory_kib,
            vcpus: plan.vcpus,
            max_vcpus: plan.max_vcpus,
            kernel: plan.kernel.clone().ok_or_else(gone)?,
            boot_image: Some(boot_image),
            cmdline: command_line(&self.kernel_args, plan),
        };
        let built = self.call(move |xen| xen.build(&config)).await?;
        for phase in &built.phases {
            tracing::debug!(pod_id = %plan.id, "domain {}: {} took {} us", built.domid, phase.name, phase.took.as_micros());
        }
        let store = StorePorts {
            store_gfn: built.store_gfn,
            store_port: built.store_port,
            console_gfn: built.console_gfn,
            console_port: built.console_port,
        };
        Ok(Built { domid: built.domid.0, store })
    }

    async fn publish(
        &self,
        plan: &DomainPlan,
        built: &Built,
        disks: &[DiskPlan],
        macs: &[[u8; 6]],
    ) -> Result<(), DomainError> {
        let client = self.store().await?;
        let tree = Self::tree(plan, built.domid, built.store, disks, macs);
        self.marks.put(&tree.devices());
        client.commit(&tree.ops()).await.map_err(store("write the domain's nodes"))?;
        let introduced = client.introduce(tree.domid, tree.store.gfn, tree.store.port).await;
        let xen = self.xen.clone();
        tokio::spawn(async move {
            tokio::time::sleep(UNMAP_AFTER).await;
            tokio::task::spawn_blocking(move || xen.unmap());
        });
        introduced.map_err(store("introduce the domain"))
    }

    async fn unpause(&self, id: PodId, domid: u16) -> Result<(), DomainError> {
        self.call(move |xen| xen.unpause(reference(id, domid))).await
    }

    async fn pause(&self, id: PodId, domid: u16) -> Result<(), DomainError> {
        self.call(move |xen| xen.pause(reference(id, domid))).await
    }

    async fn attach_disk(&self, _id: PodId, domid: u16, index: usize, disk: DiskPlan) -> Result<(), DomainError> {
        let vbd = u32::try_from(index).ok().and_then(|index| Self::vbd(index, &disk));
        let vbd = vbd.ok_or_else(|| no_such_disk(domid, index))?;
        let client = self.store().await?;
        let there = format!("{}/physical-device", vbd.id(Domid(domid)).backend());
        if client.read(&there).await.map_err(store("look for the disk"))?.is_some() {
            return Ok(());
        }
        let mut ops = vbd.ops(Domid(domid));
        ops.extend(vbd.late_ops(Domid(domid)));
        client.commit(&ops).await.map_err(store("write the disk's nodes"))
    }

    async fn detach_disk(&self, _id: PodId, domid: u16, index: usize) -> Result<(), DomainError> {
        let disk = u32::try_from(index).ok().and_then(VirtualDisk::from_index);
        let disk = disk.ok_or_else(|| no_such_disk(domid, index))?;
        let device = DeviceId { domid: Domid(domid), kind: DeviceKind::Vbd, number: disk.number() };
        let closed = self.store().await?.close_devices(&[device], CLOSE).await;
        closed.map_err(|e| DomainError::Device { device: device.to_string(), why: e.to_string() })
    }

    async fn connect(&self, _id: PodId, domid: u16, within: Duration) -> Result<Box<dyn Transport>, DomainError> {
        let client = self.store().await?;
        let domid = Domid(domid);
        let data = format!("{}/data/xenpod", domain_path(domid));
        // guest-init writes the event channel last.
        let (port_path, ref_path) = (format!("{data}/event-channel"), format!("{data}/ring-ref"));
        let port = match client.wait_for(&port_path, "an event channel", within, |v| v.is_some()).await {
            Ok(value) => value.unwrap_or_default(),
            Err(StoreError::Timeout { .. }) => return Err(DomainError::NoHello { domid: domid.0, after: within }),
            Err(error) => return Err(store("wait for the guest")(error)),
        };
        let ring = client.read(&ref_path).await.map_err(store("read the guest's ring"))?.unwrap_or_default();
        let rendezvous = Rendezvous {
            ring_ref: guest::grant_ref(&ref_path, &ring).map_err(store("read the guest's ring"))?,
            event_channel: guest::port(&port_path, &port, PORTS).map_err(store("read the guest's event channel"))?,
        };
        let channel = Vchan::connect(&GntdevDevice, &EvtchnDevice, domid, rendezvous)
            .map_err(|e| DomainError::Channel(e.to_string()))?;
        let stream = VchanStream::new(channel).map_err(|e| DomainError::Channel(e.to_string()))?;
        Ok(Box::new(stream))
    }

    async fn destroy(&self, id: PodId) -> Result<(), DomainError> {
        let uuid = uuid(id);
        let found = match self.call(move |xen| xen.find(uuid)).await {
            // Without Xen there is no domain, and no store.
            Err(DomainError::Hypervisor(HypervisorError::Unavailable { .. })) if !on_xen() => return Ok(()),
            found => found?,
        };
        let client = self.store().await?;
        let mark = client.read_text(&mark_path(uuid)).await.map_err(store("read our mark"))?;
        let marked: Option<Domid> = mark.and_then(|text| text.parse().ok());
        let Some(domid) = found.as_ref().map(|d| d.domid).or(marked) else { return Ok(()) };
        if found.is_none() && self.call(move |xen| xen.info(domid)).await?.is_some() {
            // The number is another domain's now, and so is everything under it. Only what bears the UUID is ours, and the
            // marks that the number had.
            self.marks.take_all(domid);
            let ops = [xenpod_xen::xenstore::Op::rm(mark_path(uuid))];
            return client.commit(&ops).await.map_err(store("remove our mark"));
        }
        if let Some(domain) = &found
            && !domain.dying
        {
            // It must not use its devices while they are taken away. One that cannot be paused is destroyed all the same.
            let domain = domain.reference();
            let _ = self.call(move |xen| xen.pause(domain)).await;
        }
        let devices = Self::devices(&client, domid).await?;
        let closed = if devices.is_empty() { Ok(()) } else { client.close_devices(&devices, CLOSE).await };
        if let Some(domain) = found {
            self.destroy_domain(domain.reference()).await?;
        }
        closed.map_err(|e| DomainError::Device { device: format!("of domain {domid}"), why: e.to_string() })?;
        match &devices[..] {
            // As after `xl destroy`.
            [] => self.marks.take_all(domid),
            devices => self.marks.take(devices),
        }
        client.commit(&remove_domain(domid, uuid)).await.map_err(store("remove the domain's nodes"))?;
        let domain = DomainRef { domid, uuid };
        // Nothing depends on libxl's notes; a later domain of that number has another UUID.
        if let Err(error) = self.blocking(move || libxl::forget(domain)).await {
            tracing::debug!(pod_id = %id, %error, "libxl's notes could not be removed");
        }
        Ok(())
    }

    async fn list(&self) -> Result<Vec<DomainView>, DomainError> {
        let all = match self.call(|xen| xen.list()).await {
            Err(DomainError::Hypervisor(HypervisorError::Unavailable { .. })) if !on_xen() => return Ok(Vec::new()),
            all => all?,
        };
        Ok(all
            .into_iter()
            .filter(|d| d.domid != Domid::DOM0)
            .map(|d| DomainView {
                id: PodId(uuid::Uuid::from_bytes(d.uuid.0)),
                domid: d.domid.0,
                paused: d.paused,
                shutdown: d.shutdown,
                dying: d.dying,
            })
            .collect())
    }

    async fn marked(&self) -> Result<Vec<PodId>, DomainError> {
        let names = match self.store().await?.list(MARKS).await {
            Ok(names) => names,
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => return Err(store("list our marks")(error)),
        };
        Ok(names.iter().filter_map(|n| n.parse().ok()).collect())
    }

    fn keep(&self, domids: &[u16]) {
        let domids: Vec<Domid> = domids.iter().copied().map(Domid).collect();
        self.marks.keep(&domids);
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    async fn size(&self, id: PodId, domid: u16) -> Result<DomainSize, DomainError> {
        self.size_of(reference(id, domid)).await
    }

    async fn set_max_memory(&self, id: PodId, domid: u16, kib: u64) -> Result<(), DomainError> {
        self.call(move |xen| xen.set_max_memory(reference(id, domid), kib)).await
    }

    async fn set_memory_target(&self, _id: PodId, domid: u16, kib: u64) -> Result<(), DomainError> {
        let told = self.store().await?.commit(&[memory_target(Domid(domid), kib)]).await;
        told.map_err(store("set the domain's memory target"))
    }

    async fn set_vcpus(&self, _id: PodId, domid: u16, online: u32, max: u32) -> Result<(), DomainError> {
        let ops: Vec<_> = (0..max).map(|cpu| availability(Domid(domid), cpu, cpu < online)).collect();
        self.store().await?.commit(&ops).await.map_err(store("set the domain's vCPUs"))
    }

    async fn rename(&self, plan: &DomainPlan, domid: u16) -> Result<(), DomainError> {
        let ops = names(Domid(domid), uuid(plan.id), &plan.name);
        self.store().await?.commit(&ops).await.map_err(store("rename the domain"))
    }

    async fn describe(&self, plan: &DomainPlan, domid: u16, disks: &[DiskPlan], macs: &[[u8; 6]]) {
        let late = async {
            let client = self.store().await?;
            let ports = StorePorts::default();
            let tree = Self::tree(plan, domid, ports, disks, macs);
            // What a domain's rings are at is not known here, nor needed: those two nodes are for people.
            let ops: Vec<_> = tree.late_ops().into_iter().filter(|op| !op.path().contains("/store/")).collect();
            client.commit(&ops).await.map_err(store("describe the domain"))
        };
        if let Err(error) = late.await {
            tracing::warn!(pod_id = %plan.id, %error, "the domain is not fully described for other tools: {error}");
        }
        let tree = Self::tree(plan, domid, StorePorts::default(), disks, macs);
        let kernel = plan.kernel.as_ref().map(|k| k.image().path().to_path_buf()).unwrap_or_default();
        let (boot, args) = (self.boot_path.clone(), command_line(&self.kernel_args, plan));
        let told = self.blocking(move || {
            let domain = DomainRef { domid: tree.domid, uuid: tree.uuid };
            let description = libxl::Description {
                name: &tree.name,
                vcpus: tree.vcpus,
                max_vcpus: tree.max_vcpus,
                memory_kib: tree.memory_kib,
                max_memory_kib: tree.memory_max_kib,
                kernel: &kernel,
                boot_image: Some(&boot),
                cmdline: &args,
                vifs: &tree.vifs,
                vbds: &tree.vbds,
            };
            libxl::describe(domain, &description)
        });
        if let Err(error) = told.await {
            tracing::debug!(pod_id = %plan.id, %error, "libxl could not be told of the domain");
        }
    }

    async fn host(&self) -> Result<HostView, DomainError> {
        let host = self.call(|xen| xen.host()).await?;
        let xenstored = self.store().await.map(|_| xenstored_kind()).unwrap_or_default();
        let boot_image = self.boot_image().await.is_ok();
        Ok(HostView {
            xen_version: host.version.to_string(),
            xenstored,
            pvh: host.pvh,
            hap: host.hap,
            total_memory_kib: host.total_memory_kib,
            free_memory_kib: host.free_memory_kib,
            cpus: host.cpus,
            boot_image,
        })
    }
}

/// Which of Xen's two daemons it is: both write their number to the same file.
fn xenstored_kind() -> String {
    let command = std::fs::read_to_string("/run/xen/xenstored.pid")
        .ok()
        .and_then(|pid| std::fs::read_to_string(format!("/proc/{}/comm", pid.trim())).ok());
    match command.as_deref().map(str::trim) {
        Some("oxenstored") => "oxenstored".into(),
        _ => "xenstored".into(),
    }
}
