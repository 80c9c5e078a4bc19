use std::time::Duration;

use super::*;
use crate::ids::Domid;
use crate::xenstore::Op;
use crate::xenstore::fake::{Dialect, Fault, Store};
use crate::xenstore::tree::{DomainTree, Mac, Mode, Ring, Vbd, Vif, VirtualDisk};

const PATIENCE: Duration = Duration::from_secs(10);

fn pod() -> DomainTree {
    DomainTree {
        domid: Domid(7),
        uuid: "6a1e3c7e-0b3f-4d53-9f5e-2f8f1f6b7a01".parse().unwrap(),
        name: "web-1".to_owned(),
        memory_max_kib: 32768,
        memory_kib: 32768,
        vcpus: 1,
        max_vcpus: 1,
        store: Ring { gfn: 1, port: 1 },
        console: Ring { gfn: 2, port: 2 },
        vifs: vec![Vif { index: 0, mac: Mac([0, 22, 62, 0, 0, 1]) }],
        vbds: (0..2)
            .map(|index| Vbd {
                disk: VirtualDisk::from_index(index).unwrap(),
                device: (7, index),
                source: format!("/dev/loop{index}"),
                mode: Mode::ReadOnly,
            })
            .collect(),
    }
}

fn devices(pod: &DomainTree) -> Vec<DeviceId> {
    let vifs = pod.vifs.iter().map(|vif| vif.id(pod.domid));
    vifs.chain(pod.vbds.iter().map(|vbd| vbd.id(pod.domid))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_whole_life_leaves_nothing() {
    for dialect in [Dialect::Oxenstored, Dialect::C] {
        let store = Store::new(dialect);
        let client = store.client().await.unwrap();
        let boot = store.dump();
        store.play_backends();
        let pod = pod();
        client.commit(&pod.ops()).await.unwrap();
        client.apply(&pod.late_ops()).await.unwrap();
        client.introduce(pod.domid, pod.store.gfn, pod.store.port).await.unwrap();
        let state = |device: &DeviceId| store.text(&device.backend_state());
        assert_eq!(devices(&pod).iter().map(state).collect::<Vec<_>>(), vec![Some("2".to_owned()); 3]);
        // The guest's drivers connect.
        for device in devices(&pod) {
            let op = Op::write(format!("{}/state", device.frontend()), 4);
            store.apply_as(pod.domid, &op).unwrap();
            assert_eq!(state(&device), Some("4".to_owned()));
        }
        client.close_devices(&devices(&pod), PATIENCE).await.unwrap();
        assert_eq!(client.list("/local/domain/0/backend/vbd/7").await.unwrap(), [""; 0]);
        store.domain_gone(pod.domid);
        client.apply(&tree::remove_domain(pod.domid, pod.uuid)).await.unwrap();
        let left: Vec<_> = store.dump().into_iter().filter(|line| !boot.contains(line)).collect();
        // Directories that every domain shares stay, as they do under xl.
        let shared = [
            "/libxl",
            "/local/domain/0/backend",
            "/local/domain/0/backend/vbd",
            "/local/domain/0/backend/vif",
            "/vm",
            "/xenpod",
            "/xenpod/domains",
        ];
        let names: Vec<_> = left.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(names, shared);
        assert_eq!(store.watches(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_close_is_named_and_can_be_tried_again() {
    let store = Store::new(Dialect::C);
    let client = store.client().await.unwrap();
    store.play_backends();
    let pod = pod();
    client.commit(&pod.ops()).await.unwrap();
    let devices = devices(&pod);
    store.hold_backend(&devices[1].backend());
    let error = client.close_devices(&devices, PATIENCE).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "xenstore: /local/domain/0/backend/vbd/7/51712/state was 5 after 10000 ms, waited for 6"
    );
    assert_eq!(store.value(&devices[0].backend_state()), None, "the others are gone");
    assert_eq!(store.value(&devices[2].backend_state()), None);
    store.release_backend(&devices[1].backend());
    client.close_devices(&devices, PATIENCE).await.unwrap();
    assert_eq!(store.value(&devices[1].backend_state()), None);
    assert_eq!(store.value(&devices[0].backend()), None, "a device that was gone was not made again");
}

#[tokio::test(start_paused = true)]
async fn closing_survives_others_being_faster() {
    let store = Store::new(Dialect::C);
    let client = store.client().await.unwrap();
    store.play_backends();
    let pod = pod();
    client.commit(&pod.ops()).await.unwrap();
    store.plan(Fault::again(4));
    // As a daemon calls it: in a task of its own.
    let closer = client.clone();
    tokio::spawn(async move { closer.close_devices(&devices(&pod), PATIENCE).await }).await.unwrap().unwrap();
    assert_eq!(client.list("/libxl/7/device/vif").await.unwrap(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_never_there_is_closed() {
    let store = Store::new(Dialect::C);
    let client = store.client().await.unwrap();
    let before = store.dump();
    client.close_devices(&devices(&pod()), PATIENCE).await.unwrap();
    assert_eq!(store.dump(), before);
}

#[test]
fn a_device_that_the_kernel_does_not_show_is_let_go() {
    let bus = tempfile::tempdir().unwrap();
    let devices = devices(&pod());
    std::fs::write(bus.path().join("vif-7-0"), "").unwrap();
    std::fs::write(bus.path().join("vbd-7-51728"), "").unwrap();
    let gone: Vec<_> = devices.iter().map(|device| is_let_go(bus.path(), device)).collect();
    assert_eq!(gone, [false, true, false], "{devices:?}");
    // Where there is no such bus, nothing is known.
    assert!(!is_let_go(&bus.path().join("none"), &devices[1]));
}
