//! libxl's notes on a domain, so that `xl list -l` and other users of libxl know a pod's domain.
//!
//! libxl keeps the configuration that a domain was made from in `/var/lib/xen/userdata-d.<domid>.<uuid>.libxl-json`
//! (libxl_dom.c, `libxl__userdata_path`), in the JSON of its `libxl_domain_config`. Fields that are left out have their
//! defaults. Nothing of ours depends on the file.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use xenpod_api::ids::PodId;

use crate::engine::world::{DiskPlan, DomainPlan, disk_name};

const USERDATA: &str = "/var/lib/xen";

fn path(dir: &Path, domid: u16, id: PodId) -> PathBuf {
    dir.join(format!("userdata-d.{domid}.{id}.libxl-json"))
}

fn config(
    plan: &DomainPlan,
    disks: &[DiskPlan],
    macs: &[[u8; 6]],
    (kernel, ramdisk, cmdline): (&Path, &Path, &str),
) -> serde_json::Value {
    let disks: Vec<_> = disks
        .iter()
        .enumerate()
        .map(|(index, disk)| {
            json!({
                "pdev_path": format!("/dev/loop{}", disk.block.minor),
                "vdev": disk_name(index),
                "backend": "phy",
                "format": "raw",
                "readwrite": i32::from(!disk.read_only),
                "is_cdrom": 0,
            })
        })
        .collect();
    let nics: Vec<_> = macs
        .iter()
        .enumerate()
        .map(|(devid, mac)| {
            let mac: Vec<_> = mac.iter().map(|b| format!("{b:02x}")).collect();
            json!({ "devid": devid, "mac": mac.join(":"), "nictype": "vif" })
        })
        .collect();
    json!({
        "c_info": {
            "type": "pvh",
            "hap": "True",
            "name": plan.name,
            "uuid": plan.id.to_string(),
            "run_hotplug_scripts": "False",
        },
        "b_info": {
            "max_vcpus": plan.vcpus,
            "avail_vcpus": (0..plan.vcpus).collect::<Vec<_>>(),
            "max_memkb": plan.memory_kib,
            "target_memkb": plan.memory_kib,
            "kernel": kernel,
            "ramdisk": ramdisk,
            "cmdline": cmdline,
            "type.pvh": {},
        },
        "disks": disks,
        "nics": nics,
        "on_poweroff": "destroy",
        "on_reboot": "destroy",
        "on_crash": "destroy",
    })
}

/// Writes the note. Where libxl has no folder, nobody will miss it.
pub(super) fn describe(
    plan: &DomainPlan,
    domid: u16,
    disks: &[DiskPlan],
    macs: &[[u8; 6]],
    boot: (&Path, &Path, &str),
) {
    let dir = Path::new(USERDATA);
    let (path, partial) = (path(dir, domid, plan.id), dir.join(format!(".xenpod-{}", plan.id)));
    let text = format!("{:#}\n", config(plan, disks, macs, boot));
    let written = fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path));
    if let Err(error) = written {
        let _ = fs::remove_file(&partial);
        tracing::debug!(pod_id = %plan.id, path = %path.display(), %error, "libxl's note could not be written");
    }
}

/// Removes libxl's notes on a domain that is gone, its locks among them.
pub(super) fn forget(domid: u16, id: PodId) {
    let Ok(entries) = fs::read_dir(USERDATA) else { return };
    let infix = format!(".{domid}.{id}.");
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().contains(&infix) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Block;

    #[test]
    fn the_note_says_what_the_domain_was_made_from() {
        let id: PodId = "0f0e0d0c-0b0a-4908-8706-050403020100".parse().unwrap();
        let plan = DomainPlan { id, name: "web".into(), memory_kib: 65536, vcpus: 2 };
        let disk = |minor, read_only| DiskPlan { block: Block { major: 7, minor }, read_only };
        let boot = (Path::new("/k"), Path::new("/i"), "quiet");
        let json = config(&plan, &[disk(3, true), disk(4, false)], &[[2, 0x16, 10, 213, 0, 9]], boot);
        assert_eq!(json["c_info"]["uuid"], id.to_string());
        assert_eq!(json["b_info"]["avail_vcpus"], json!([0, 1]));
        assert_eq!(json["disks"][1]["vdev"], "xvdb");
        assert_eq!(json["disks"][1]["readwrite"], 1);
        assert_eq!(json["nics"][0]["mac"], "02:16:0a:d5:00:09");
        assert_eq!(
            path(Path::new("/var/lib/xen"), 7, id),
            Path::new("/var/lib/xen/userdata-d.7.0f0e0d0c-0b0a-4908-8706-050403020100.libxl-json")
        );
    }
}
