use super::*;

const UUID: &str = "6a1e3c7e-0b3f-4d53-9f5e-2f8f1f6b7a01";

fn pod() -> DomainTree {
    DomainTree {
        domid: Domid(7),
        uuid: UUID.parse().unwrap(),
        name: "web-1".to_owned(),
        memory_max_kib: 65536,
        memory_kib: 32768,
        vcpus: 1,
        max_vcpus: 2,
        store: Ring { gfn: 0xfeffc, port: 1 },
        console: Ring { gfn: 0xfeffe, port: 2 },
        vifs: vec![Vif { index: 0, mac: Mac([0x00, 0x16, 0x3e, 0x0a, 0x0b, 0x0c]) }],
        vbds: vec![Vbd {
            disk: VirtualDisk::from_index(1).unwrap(),
            device: (7, 12),
            source: "/dev/loop12".to_owned(),
            mode: Mode::ReadOnly,
        }],
    }
}

fn shown(ops: &[Op]) -> Vec<String> {
    let show = |op: &Op| match op {
        Op::Write { path, value } => format!("{path} = {}", String::from_utf8_lossy(value)),
        Op::Mkdir { path } => format!("{path}/"),
        Op::SetPerms { path, perms } => format!("{path} ({perms})"),
        Op::Rm { path } => format!("rm {path}"),
    };
    ops.iter().map(show).collect()
}

#[test]
fn a_domain_with_a_vif_and_a_disk() {
    let own = "/local/domain/7";
    let vif = "/local/domain/0/backend/vif/7";
    let vbd = "/local/domain/0/backend/vbd/7";
    assert_eq!(
        shown(&pod().ops()),
        [
            format!("/xenpod/domains/{UUID} = 7"),
            format!("{own}/"),
            format!("{own} (n0,r7)"),
            format!("{own}/name = web-1"),
            format!("{own}/domid = 7"),
            format!("{own}/memory/static-max = 65536"),
            format!("{own}/memory/target = 32768"),
            format!("{own}/console/type = xenconsoled"),
            format!("{own}/console/limit = 1048576"),
            format!("{own}/console/port = 2"),
            format!("{own}/console/ring-ref = 1044478"),
            format!("{own}/cpu/0/availability = online"),
            format!("{own}/cpu/1/availability = offline"),
            format!("{own}/control/"),
            format!("{own}/control (n7)"),
            format!("{own}/data/"),
            format!("{own}/data (n7)"),
            format!("{own}/device/"),
            format!("{own}/device (n7)"),
            "/libxl/7/type = pvh".to_owned(),
            format!("{vif}/"),
            format!("{vif} (n0,r7)"),
            format!("{vbd}/"),
            format!("{vbd} (n0,r7)"),
            format!("/libxl/7/device/vif/0/backend = {vif}/0"),
            format!("{own}/device/vif/0/backend = {vif}/0"),
            format!("{own}/device/vif/0/backend-id = 0"),
            format!("{own}/device/vif/0/mac = 00:16:3e:0a:0b:0c"),
            format!("{own}/device/vif/0/state = 1"),
            format!("{vif}/0/frontend = {own}/device/vif/0"),
            format!("{vif}/0/frontend-id = 7"),
            format!("{vif}/0/online = 1"),
            format!("{vif}/0/handle = 0"),
            format!("{vif}/0/mac = 00:16:3e:0a:0b:0c"),
            format!("{vif}/0/script = "),
            format!("{vif}/0/hotplug-status = connected"),
            format!("{vif}/0/state = 1"),
            format!("/libxl/7/device/vbd/51728/backend = {vbd}/51728"),
            format!("{own}/device/vbd/51728/backend = {vbd}/51728"),
            format!("{own}/device/vbd/51728/backend-id = 0"),
            format!("{own}/device/vbd/51728/virtual-device = 51728"),
            format!("{own}/device/vbd/51728/device-type = disk"),
            format!("{own}/device/vbd/51728/state = 1"),
            format!("{vbd}/51728/frontend = {own}/device/vbd/51728"),
            format!("{vbd}/51728/frontend-id = 7"),
            format!("{vbd}/51728/online = 1"),
            format!("{vbd}/51728/dev = xvdb"),
            format!("{vbd}/51728/mode = r"),
            format!("{vbd}/51728/physical-device = 7:c"),
            format!("{vbd}/51728/state = 1"),
        ]
    );
}

#[test]
fn what_comes_late() {
    let own = "/local/domain/7";
    assert_eq!(
        shown(&pod().late_ops()),
        [
            format!("/vm/{UUID}/"),
            format!("/vm/{UUID} (n0,r7)"),
            format!("/vm/{UUID}/uuid = {UUID}"),
            format!("/vm/{UUID}/name = web-1"),
            format!("{own}/vm = /vm/{UUID}"),
            format!("{own}/store/port = 1"),
            format!("{own}/store/ring-ref = 1044476"),
            format!("{own}/console/output = pty"),
            "/libxl/7/device/vif/0/frontend = /local/domain/7/device/vif/0".to_owned(),
            "/libxl/7/device/vif/0/handle = 0".to_owned(),
            "/libxl/7/device/vif/0/mac = 00:16:3e:0a:0b:0c".to_owned(),
            "/libxl/7/device/vbd/51728/frontend = /local/domain/7/device/vbd/51728".to_owned(),
            "/libxl/7/device/vbd/51728/dev = xvdb".to_owned(),
            "/libxl/7/device/vbd/51728/type = phy".to_owned(),
            "/libxl/7/device/vbd/51728/params = /dev/loop12".to_owned(),
            "/libxl/7/device/vbd/51728/mode = r".to_owned(),
            "/libxl/7/device/vbd/51728/removable = 0".to_owned(),
            "/libxl/7/device/vbd/51728/device-type = disk".to_owned(),
        ]
    );
}

#[test]
fn a_domain_without_devices_has_no_backend() {
    let bare = DomainTree { vifs: Vec::new(), vbds: Vec::new(), ..pod() };
    let ops = shown(&bare.ops());
    assert!(!ops.iter().any(|op| op.contains("backend")), "{ops:#?}");
}

#[test]
fn a_device_alone_is_the_same_device() {
    let pod = pod();
    let whole = pod.ops();
    for op in pod.vifs[0].ops(pod.domid).into_iter().chain(pod.vbds[0].ops(pod.domid)) {
        assert!(whole.contains(&op), "{op:?}");
    }
    assert_eq!(
        shown(&pod.vbds[0].ops(pod.domid))[..2],
        ["/local/domain/0/backend/vbd/7/", "/local/domain/0/backend/vbd/7 (n0,r7)"]
    );
}

#[test]
fn closing_takes_the_frontend_away_first() {
    let id = pod().vifs[0].id(Domid(7));
    let vif = "/local/domain/0/backend/vif/7/0";
    assert_eq!(
        shown(&close_devices(&[id])),
        ["rm /local/domain/7/device/vif/0".to_owned(), format!("{vif}/online = 0"), format!("{vif}/state = 5")]
    );
    assert_eq!(
        shown(&backend_removal(&id)),
        ["rm /local/domain/7/device/vif/0".to_owned(), format!("rm {vif}"), "rm /libxl/7/device/vif/0".to_owned()]
    );
}

#[test]
fn removing_a_domain_leaves_the_mark_to_the_last() {
    assert_eq!(
        shown(&remove_domain(Domid(7), UUID.parse().unwrap())),
        [
            "rm /local/domain/7".to_owned(),
            "rm /libxl/7".to_owned(),
            format!("rm /vm/{UUID}"),
            "rm /local/domain/0/backend/vif/7".to_owned(),
            "rm /local/domain/0/backend/vbd/7".to_owned(),
            format!("rm /xenpod/domains/{UUID}"),
        ]
    );
}

#[test]
fn disks_have_the_numbers_and_names_of_the_protocol() {
    let disk = |index| VirtualDisk::from_index(index).map(|disk| (disk.number(), disk.name()));
    assert_eq!(disk(0), Some((51712, "xvda".to_owned())));
    assert_eq!(disk(1), Some((51728, "xvdb".to_owned())));
    assert_eq!(disk(15), Some((51952, "xvdp".to_owned())));
    assert_eq!(disk(16), Some((268_439_552, "xvdq".to_owned())));
    assert_eq!(disk(25), Some((268_441_856, "xvdz".to_owned())));
    assert_eq!(disk(26), Some((268_442_112, "xvdaa".to_owned())));
    assert_eq!(disk(701), Some((268_614_912, "xvdzz".to_owned())));
    assert_eq!(disk(702), None);
}

#[test]
fn hardware_addresses() {
    let mac: Mac = "00:16:3E:0a:0b:0c".parse().unwrap();
    assert_eq!(mac.to_string(), "00:16:3e:0a:0b:0c");
    for bad in
        ["", "00:16:3e:0a:0b", "00:16:3e:0a:0b:0c:0d", "0:16:3e:0a:0b:0c", "00:16:3e:0a:0b:0g", "+0:16:3e:0a:0b:0c"]
    {
        assert!(bad.parse::<Mac>().is_err(), "{bad:?} was taken");
    }
}

#[test]
fn changing_a_running_domain() {
    assert_eq!(
        shown(&[availability(Domid(7), 1, true), memory_target(Domid(7), 24576)]),
        ["/local/domain/7/cpu/1/availability = online", "/local/domain/7/memory/target = 24576"]
    );
    assert_eq!(rendezvous_path(Domid(7)), "/local/domain/7/data/xenpod");
}
