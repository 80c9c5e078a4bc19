//! Figures of pods on a real host: Xen's of the domain, the backends' in sysfs, the backends' threads' in /proc, the files' own.

mod threads;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use xenpod_xen::hypervisor::{Hypervisor, HypervisorError};
use xenpod_xen::ids::{DomainRef, DomainUuid, Domid};
use xenpod_xen::xenstore::tree::VirtualDisk;

use crate::engine::stats::meter::{DomainUsage, Meter, Subject, Usage};
use crate::engine::stats::sample::{Cpu, Disk, Interface, Memory, Overhead, Storage, Vcpu};
use crate::engine::world::disk_name;
use threads::Threads;

/// blkback counts in these, whatever the disk's own are.
const SECTOR: u64 = 512;

/// Figures of this host.
pub struct HostMeter<H>(Arc<Inner<H>>);

struct Inner<H> {
    xen: Arc<H>,
    sys: PathBuf,
    threads: Mutex<Threads>,
}

impl<H: Hypervisor> HostMeter<H> {
    /// With this hypervisor.
    pub fn new(xen: Arc<H>) -> Self {
        Self::over(xen, Path::new("/sys"), Path::new("/proc"))
    }

    fn over(xen: Arc<H>, sys: &Path, proc: &Path) -> Self {
        Self(Arc::new(Inner { xen, sys: sys.into(), threads: Mutex::new(Threads::new(proc)) }))
    }
}

#[async_trait]
impl<H: Hypervisor> Meter for HostMeter<H> {
    async fn measure(&self, pods: Vec<Subject>) -> Vec<Usage> {
        let inner = self.0.clone();
        crate::blocking::blocking(move || inner.measure(&pods)).await
    }
}

impl<H: Hypervisor> Inner<H> {
    fn measure(&self, pods: &[Subject]) -> Vec<Usage> {
        let domids: Vec<u16> = pods.iter().filter_map(|p| p.domid).collect();
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.look(&domids);
        let usage = |pod: &Subject| Usage { domain: self.domain(pod, &threads), storage: storage(pod) };
        pods.iter().map(usage).collect()
    }

    fn domain(&self, pod: &Subject, threads: &Threads) -> Result<DomainUsage, String> {
        let Some(domid) = pod.domid else { return Err("it has no domain".into()) };
        let domain = DomainRef { domid: Domid(domid), uuid: DomainUuid(*pod.id.as_bytes()) };
        let asked = || -> Result<(Cpu, Memory), HypervisorError> {
            let info = self.xen.info(domain.domid)?.filter(|info| info.uuid == domain.uuid);
            let info = info.ok_or(HypervisorError::NoSuchDomain(domain))?;
            let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            let vcpus = self.xen.vcpus(domain)?.into_iter().zip(0..);
            let vcpus = vcpus.map(|(v, vcpu)| Vcpu { vcpu, online: v.online, usage_ns: nanoseconds(v.cpu_time) });
            let vcpus: Vec<Vcpu> = vcpus.collect();
            // Xen gives the sum as well, but of another moment.
            let usage_ns = vcpus.iter().map(|v| v.usage_ns).sum();
            let cpu = Cpu { usage_ns, online: info.online_vcpus.into(), vcpus };
            let memory = Memory {
                domain_bytes: info.memory_kib * 1024,
                max_bytes: info.max_memory_kib.saturating_mul(1024),
                outstanding_bytes: info.outstanding_kib * 1024,
            };
            Ok((cpu, memory))
        };
        let (cpu, memory) = asked().map_err(|e| e.to_string())?;
        let (dom0_cpu_ns, dom0_threads) = threads.of(domid).unzip();
        let overhead = Overhead {
            xen_paging_bytes: self.xen.paging_kib(domain).ok().map(|kib| kib * 1024),
            dom0_cpu_ns,
            dom0_threads,
        };
        let disks = (0..).zip(&pod.disks).filter_map(|(index, holds)| self.disk(domid, index, holds)).collect();
        let interfaces = (0..).map_while(|index| self.interface(domid, index)).collect();
        Ok(DomainUsage { cpu, memory, disks, interfaces, overhead })
    }

    /// `None` when there is no such disk.
    fn disk(&self, domid: u16, index: u32, holds: &str) -> Option<Disk> {
        let number = VirtualDisk::from_index(index)?.number();
        let folder = self.sys.join(format!("bus/xen-backend/devices/vbd-{domid}-{number}/statistics"));
        let read = |name: &str| number_in(&folder.join(name));
        Some(Disk {
            name: disk_name(index as usize),
            holds: holds.to_owned(),
            reads: read("rd_req")?,
            writes: read("wr_req")?,
            flushes: read("f_req")?,
            discards: read("ds_req")?,
            read_bytes: read("rd_sect")? * SECTOR,
            written_bytes: read("wr_sect")? * SECTOR,
            out_of_requests: read("oo_req")?,
        })
    }

    /// `None` when there is no such interface. What dom0 receives there, the pod has sent.
    fn interface(&self, domid: u16, index: u32) -> Option<Interface> {
        let host_name = format!("vif{domid}.{index}");
        let folder = self.sys.join("class/net").join(&host_name).join("statistics");
        let read = |name: &str| number_in(&folder.join(name));
        Some(Interface {
            name: format!("eth{index}"),
            received_bytes: read("tx_bytes")?,
            received_packets: read("tx_packets")?,
            received_dropped: read("tx_dropped")?,
            sent_bytes: read("rx_bytes")?,
            sent_packets: read("rx_packets")?,
            sent_dropped: read("rx_dropped")?,
            host_name,
        })
    }
}

fn number_in(file: &Path) -> Option<u64> {
    // blkback's counters are signed.
    let number: i64 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    u64::try_from(number).ok()
}

fn storage(pod: &Subject) -> Storage {
    // A block of stat(2) is 512 bytes.
    let taken = |metadata: std::fs::Metadata| metadata.blocks() * 512;
    let of_file = |file: &PathBuf| std::fs::metadata(file).map_or(0, taken);
    let logs = std::fs::read_dir(&pod.logs).into_iter().flatten().flatten();
    Storage {
        disks_bytes: pod.files.iter().map(of_file).sum(),
        logs_bytes: logs.filter_map(|entry| entry.metadata().ok()).map(taken).sum(),
    }
}

#[cfg(test)]
mod tests;
