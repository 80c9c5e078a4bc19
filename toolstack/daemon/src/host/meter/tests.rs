use std::fs;

use xenpod_api::ids::{HostTag, PodId};
use xenpod_xen::fake::FakeHypervisor;

use super::*;

struct Host {
    dir: tempfile::TempDir,
    xen: FakeHypervisor,
    meter: HostMeter<FakeHypervisor>,
}

fn host() -> Host {
    let (dir, xen) = (tempfile::tempdir().unwrap(), FakeHypervisor::default());
    let meter = HostMeter::over(Arc::new(xen.clone()), &dir.path().join("sys"), &dir.path().join("proc"));
    Host { dir, xen, meter }
}

impl Host {
    fn write(&self, file: &str, text: &str) {
        let file = self.dir.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn thread(&self, pid: u32, name: &str, parent: u32, ns: u64) {
        self.write(&format!("proc/{pid}/stat"), &format!("{pid} ({name}) S {parent} 0 0 0 -1 2129984\n"));
        self.write(&format!("proc/{pid}/schedstat"), &format!("{ns} 12 3\n"));
    }

    fn disk(&self, domid: u16, number: u32, counters: [i64; 7]) {
        let names = ["rd_req", "wr_req", "f_req", "ds_req", "rd_sect", "wr_sect", "oo_req"];
        for (name, value) in names.iter().zip(counters) {
            self.write(
                &format!("sys/bus/xen-backend/devices/vbd-{domid}-{number}/statistics/{name}"),
                &format!("{value}\n"),
            );
        }
    }

    fn pod(&self) -> Subject {
        let id = PodId::new(HostTag::random());
        let domid = self.xen.add_domain(DomainUuid(*id.as_bytes()), 65536);
        let disks = ["image sha256:aa", "scratch", ""].map(String::from).to_vec();
        let files = vec![self.dir.path().join("scratch.img"), self.dir.path().join("none.img")];
        Subject { id, domid: Some(domid.0), disks, files, logs: self.dir.path().join("logs") }
    }

    async fn look(&self, pod: &Subject) -> Usage {
        self.meter.measure(vec![pod.clone()]).await.remove(0)
    }
}

#[tokio::test]
async fn what_the_host_says_of_a_pod() {
    let host = host();
    let pod = host.pod();
    let domid = pod.domid.unwrap();
    host.xen.set_cpu_time(Domid(domid), std::time::Duration::from_millis(1500));
    host.disk(domid, 51712, [10, 0, 0, 0, 80, 0, 1]);
    host.disk(domid, 51728, [1, 5, 2, 3, 8, 2048, 0]);
    for (name, value) in [
        ("tx_bytes", 100),
        ("tx_packets", 2),
        ("tx_dropped", 1),
        ("rx_bytes", 5000),
        ("rx_packets", 7),
        ("rx_dropped", 0),
    ] {
        host.write(&format!("sys/class/net/vif{domid}.0/statistics/{name}"), &format!("{value}\n"));
    }
    host.thread(70, &format!("{domid}.xvda-0"), 2, 1000);
    host.thread(71, &format!("vif{domid}.0-q0-guest-rx"), 2, 30);
    host.thread(72, &format!("{}.xvda-0", domid + 1), 2, 500);
    // A program of somebody's that calls itself so.
    host.thread(73, &format!("{domid}.xvdb-0"), 1, 9_000_000);
    host.write("scratch.img", "four");
    host.write("logs/main.log", "a line\n");

    let usage = host.look(&pod).await;
    let domain = usage.domain.unwrap();
    assert_eq!(domain.cpu.usage_ns, 1_500_000_000);
    assert_eq!(domain.cpu.vcpus, [Vcpu { vcpu: 0, online: true, usage_ns: 1_500_000_000 }]);
    assert_eq!((domain.memory.domain_bytes, domain.memory.max_bytes), (64 << 20, 65 << 20));
    let [image, scratch] = &domain.disks[..] else { panic!("{:?}", domain.disks) };
    assert_eq!((image.name.as_str(), image.holds.as_str()), ("xvda", "image sha256:aa"));
    assert_eq!((image.reads, image.read_bytes, image.written_bytes, image.out_of_requests), (10, 40960, 0, 1));
    assert_eq!((scratch.name.as_str(), scratch.holds.as_str()), ("xvdb", "scratch"));
    assert_eq!((scratch.writes, scratch.flushes, scratch.discards, scratch.written_bytes), (5, 2, 3, 1 << 20));
    let [eth0] = &domain.interfaces[..] else { panic!("{:?}", domain.interfaces) };
    assert_eq!((eth0.host_name.clone(), eth0.name.as_str()), (format!("vif{domid}.0"), "eth0"));
    // What dom0 received is what the pod has sent.
    assert_eq!((eth0.sent_bytes, eth0.sent_packets, eth0.sent_dropped), (5000, 7, 0));
    assert_eq!((eth0.received_bytes, eth0.received_packets, eth0.received_dropped), (100, 2, 1));
    assert_eq!((domain.overhead.dom0_cpu_ns, domain.overhead.dom0_threads), (Some(1030), Some(2)));
    assert_eq!(domain.overhead.xen_paging_bytes, Some((1024 + 256) * 1024));
    assert!(usage.storage.disks_bytes > 0 && usage.storage.logs_bytes > 0, "{:?}", usage.storage);
}

#[tokio::test]
async fn threads_that_end_and_come_are_followed() {
    let host = host();
    let (pod, other) = (host.pod(), host.pod());
    let (domid, other_domid) = (pod.domid.unwrap(), other.domid.unwrap());
    host.thread(70, &format!("{domid}.xvda-0"), 2, 1000);
    let threads = async |pod: &Subject| host.look(pod).await.domain.unwrap().overhead.dom0_threads;
    assert_eq!(threads(&pod).await, Some(1));
    // The number is another thread's now.
    host.thread(70, "kworker/0:1", 2, 7);
    assert_eq!(threads(&pod).await, Some(0));
    // A domain that was not asked for before is looked for at once.
    host.thread(80, &format!("{other_domid}.xvda-0"), 2, 5);
    assert_eq!(threads(&other).await, Some(1));
    // Time that the kernel does not tell is not 0.
    fs::remove_file(host.dir.path().join("proc/80/schedstat")).unwrap();
    assert_eq!(host.look(&other).await.domain.unwrap().overhead.dom0_cpu_ns, None);
}

#[tokio::test]
async fn a_domain_that_is_not_there_is_said_to_be_so() {
    let host = host();
    let none = Subject { domid: None, ..host.pod() };
    assert_eq!(host.look(&none).await.domain, Err("it has no domain".into()));
    // Its number is another domain's.
    let pod = host.pod();
    let stolen = Subject { id: PodId::new(HostTag::random()), ..pod.clone() };
    let error = host.look(&stolen).await.domain.unwrap_err();
    assert!(error.contains("does not exist"), "{error}");
    // Without its devices the rest is told.
    let domain = host.look(&pod).await.domain.unwrap();
    assert_eq!((domain.disks.len(), domain.interfaces.len()), (0, 0));
}
