//! Marks for udev: one empty file for each device of ours in dom0, while it is there.
//!
//! To udev a pod's interface looks like any other, so it would apply network settings to it, ask for a driver that is loaded, and
//! tell the service manager: more work than all the rest of a start. Our rules (`59-` and `99-xenpod.rules`) leave alone what has
//! its name here, and nothing else. A mark that cannot be made costs time, not function.

use std::fs::{self, File};
use std::path::PathBuf;

use xenpod_xen::ids::Domid;
use xenpod_xen::xenstore::tree::{DeviceId, DeviceKind};

/// Where the rules look.
const DIR: &str = "/run/xenpod/devices";

/// The folder of marks.
#[derive(Clone, Debug)]
pub struct Marks {
    dir: PathBuf,
}

impl Default for Marks {
    fn default() -> Self {
        Self { dir: DIR.into() }
    }
}

impl Marks {
    /// Marks devices that are about to be made.
    pub fn put(&self, devices: &[DeviceId]) {
        if let Err(error) = fs::create_dir_all(&self.dir) {
            tracing::debug!(%error, "{} cannot be made", self.dir.display());
            return;
        }
        for name in devices.iter().flat_map(names) {
            if let Err(error) = File::create(self.dir.join(&name)) {
                tracing::debug!(%error, "device {name} cannot be marked for udev");
            }
        }
    }

    /// Takes the marks of devices away.
    pub fn take(&self, devices: &[DeviceId]) {
        for name in devices.iter().flat_map(names) {
            // Not there is as it should be.
            let _ = fs::remove_file(self.dir.join(name));
        }
    }

    /// Takes all marks of a domain away, by looking at every mark: for one whose devices somebody else removed.
    pub fn take_all(&self, domid: Domid) {
        self.remove_if(|of| of == Some(domid));
    }

    /// At start-up: only the devices of these domains keep theirs. A number that another toolstack's domain has now says
    /// nothing about that domain's devices.
    pub fn keep(&self, domains: &[Domid]) {
        // The folder is there from the start, so that the first pod leaves nothing that was not.
        if let Err(error) = fs::create_dir_all(&self.dir) {
            tracing::debug!(%error, "{} cannot be made", self.dir.display());
        }
        self.remove_if(|of| !of.is_some_and(|domid| domains.contains(&domid)));
    }

    fn remove_if(&self, goes: impl Fn(Option<Domid>) -> bool) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            if goes(entry.file_name().to_str().and_then(domid_of)) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// What the kernel calls the device: on the xen-backend bus, and a vif as an interface (drivers/net/xen-netback/interface.c).
fn names(device: &DeviceId) -> Vec<String> {
    let DeviceId { domid, kind, number } = device;
    let mut names = vec![format!("{}-{domid}-{number}", kind.name())];
    if *kind == DeviceKind::Vif {
        names.push(format!("vif{domid}.{number}"));
    }
    names
}

/// The domain that a name is of.
fn domid_of(name: &str) -> Option<Domid> {
    let number = match name.split_once('-') {
        Some((_, rest)) => rest.split_once('-')?.0,
        None => name.strip_prefix("vif")?.split_once('.')?.0,
    };
    number.parse().ok().map(Domid)
}

#[cfg(test)]
#[path = "marks_tests.rs"]
mod tests;
