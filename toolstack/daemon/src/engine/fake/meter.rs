//! Figures of the fake world: the same at every look, so that tests can name them.

use async_trait::async_trait;

use super::Fake;
use crate::engine::stats::meter::{DomainUsage, Meter, Subject, Usage};
use crate::engine::stats::sample::{Cpu, Disk, Interface, Memory, Overhead, Storage, Vcpu};
use crate::engine::world::disk_name;

#[async_trait]
impl Meter for Fake {
    async fn measure(&self, pods: Vec<Subject>) -> Vec<Usage> {
        self.state().measured += 1;
        let domain = |pod: &Subject| {
            let domid = self.state().domains.get(&pod.id).map(|d| d.domid);
            let (Some(domid), true) = (domid, pod.domid == domid) else { return Err("it has no domain".into()) };
            let disks = pod.disks.iter().enumerate().map(|(index, holds)| Disk {
                name: disk_name(index),
                holds: holds.clone(),
                read_bytes: 4096,
                reads: 1,
                ..Disk::default()
            });
            let interface = Interface {
                name: "eth0".into(),
                host_name: format!("vif{domid}.0"),
                received_bytes: 700,
                sent_bytes: 300,
                ..Interface::default()
            };
            Ok(DomainUsage {
                cpu: Cpu {
                    usage_ns: 1_500_000_000,
                    online: 1,
                    vcpus: vec![Vcpu { vcpu: 0, online: true, usage_ns: 1_500_000_000 }],
                },
                memory: Memory { domain_bytes: 64 << 20, max_bytes: 65 << 20, outstanding_bytes: 0 },
                disks: disks.collect(),
                interfaces: vec![interface],
                overhead: Overhead {
                    xen_paging_bytes: Some(1 << 20),
                    dom0_cpu_ns: Some(2_000_000),
                    dom0_threads: Some(3),
                },
            })
        };
        let storage = Storage { disks_bytes: 8192, logs_bytes: 512 };
        pods.iter().map(|pod| Usage { domain: domain(pod), storage: storage.clone() }).collect()
    }
}

impl Fake {
    /// How often the host was looked at.
    pub fn measured(&self) -> usize {
        self.state().measured
    }

    /// From now on guests do not say what they use, or do again.
    pub fn mute(&self, mute: bool) {
        self.state().mute = mute;
    }
}
