use super::*;
use crate::ids::Domid;
use crate::xenstore::tree::{Mac, Mode, VirtualDisk};

fn domain() -> DomainRef {
    DomainRef { domid: Domid(5), uuid: "0c35a5d3-9d5c-4e0e-8a52-6d3a5f1f2b11".parse().unwrap() }
}

#[test]
fn a_domain_is_described_in_libxls_words() {
    let vifs = [Vif { index: 0, mac: Mac([0, 0x16, 0x3e, 1, 2, 3]) }];
    let vbds = [Vbd {
        disk: VirtualDisk::from_index(1).unwrap(),
        device: (7, 3),
        source: "/dev/loop3".to_owned(),
        mode: Mode::ReadWrite,
    }];
    let description = Description {
        name: "web-1",
        vcpus: 2,
        max_vcpus: 4,
        memory_kib: 32768,
        max_memory_kib: 65536,
        kernel: Path::new("/usr/lib/vmlinux"),
        boot_image: None,
        cmdline: "quiet",
        vifs: &vifs,
        vbds: &vbds,
    };
    let json = description.json(domain());
    assert_eq!(json["c_info"]["type"], "pvh");
    assert_eq!(json["c_info"]["uuid"], "0c35a5d3-9d5c-4e0e-8a52-6d3a5f1f2b11");
    assert_eq!(json["b_info"]["avail_vcpus"], json!([0, 1]));
    assert_eq!(json["b_info"]["target_memkb"], 32768);
    assert_eq!(json["disks"][0]["vdev"], "xvdb");
    assert_eq!(json["disks"][0]["readwrite"], 1);
    assert_eq!(json["nics"][0]["mac"], "00:16:3e:01:02:03");
}

#[test]
fn only_the_files_of_this_domain_are_forgotten() {
    let folder = std::env::temp_dir().join(format!("xenpod-libxl-{}", crate::ids::DomainUuid::random()));
    fs::create_dir(&folder).unwrap();
    let uuid = domain().uuid;
    let ours = [format!("userdata-d.5.{uuid}.libxl-json"), format!("userdata-l.5.{uuid}.domain-userdata-lock")];
    let others = [
        format!("userdata-d.15.{uuid}.libxl-json"),
        "userdata-d.5.11111111-9d5c-4e0e-8a52-6d3a5f1f2b11.libxl-json".to_owned(),
        "saved".to_owned(),
    ];
    ours.iter().chain(&others).for_each(|name| fs::write(folder.join(name), "x").unwrap());
    forget_in(&folder, domain()).unwrap();
    let mut left: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    left.sort();
    let mut expected = others.to_vec();
    expected.sort();
    assert_eq!(left, expected);
    forget_in(&folder, domain()).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    forget_in(&folder, domain()).unwrap();
}
