//! Block devices of the domain: waited for by name, mounted once, shared by all that use them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};

use crate::container::mounts::make_private;
use crate::error::Error;

/// Why something cannot be done now.
#[derive(Debug)]
pub enum Halt {
    /// A device has not come yet; try again when one has.
    Wait {
        /// `disk` or `network interface`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It cannot be done.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

const FOLDER: &str = "/run/xenpod/disks";

#[derive(Debug)]
struct Mounted {
    fs_type: String,
    read_only: bool,
    uses: usize,
}

/// The mounted ones.
#[derive(Debug, Default)]
pub struct Disks(BTreeMap<String, Mounted>);

impl Disks {
    /// Mounts `disk` unless it is mounted already, and counts one more user.
    pub fn acquire(&mut self, disk: &str, fs_type: &str, read_only: bool) -> Result<PathBuf, Halt> {
        let path = Path::new(FOLDER).join(disk);
        if let Some(mounted) = self.0.get_mut(disk) {
            if (mounted.fs_type.as_str(), mounted.read_only) != (fs_type, read_only) {
                return Err(busy(disk).into());
            }
            mounted.uses += 1;
            return Ok(path);
        }
        let device = device(disk)?;
        make_private(&path, 0o700)?;
        let flags = MountFlags::NODEV | if read_only { MountFlags::RDONLY } else { MountFlags::NOATIME };
        match rustix::mount::mount(&device, &path, fs_type, flags, None) {
            // The kernel makes the node before it lets it be opened (device_add_disk), and tells of the disk after both.
            Err(Errno::NXIO) => return Err(Halt::Wait { what: "disk", name: disk.into() }),
            result => {
                result.map_err(Error::mount(format!("disk {disk} ({fs_type})"), path.display().to_string()))?;
            }
        }
        self.0.insert(disk.into(), Mounted { fs_type: fs_type.into(), read_only, uses: 1 });
        Ok(path)
    }

    /// One user fewer; the last one unmounts.
    pub fn release(&mut self, disk: &str) {
        let Some(mounted) = self.0.get_mut(disk) else { return };
        mounted.uses -= 1;
        if mounted.uses == 0 {
            self.0.remove(disk);
            // Lazily: what still holds it is dying.
            let _ = rustix::mount::unmount(Path::new(FOLDER).join(disk), UnmountFlags::DETACH);
        }
    }

    /// Writes everything back and makes all of them read-only: nothing is torn when the power goes.
    pub fn finish(&self) {
        rustix::fs::sync();
        for (disk, _) in self.0.iter().filter(|(_, mounted)| !mounted.read_only) {
            let path = Path::new(FOLDER).join(disk);
            let flags = MountFlags::RDONLY | MountFlags::NOATIME | MountFlags::NODEV;
            if rustix::mount::mount_remount(&path, flags, c"").is_err() {
                eprintln!("guest-init: disk {disk} is still in use; it was synced");
            }
        }
    }
}

fn busy(disk: &str) -> Error {
    Error::BadState { what: "disk", name: disk.into(), state: "mounted in another way" }
}

/// The device node of a disk, when it is there.
fn device(disk: &str) -> Result<PathBuf, Halt> {
    if disk.is_empty() || !disk.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err(Error::Invalid { what: "disk", value: disk.into(), why: "not a name like xvda" }.into());
    }
    let path = Path::new("/dev").join(disk);
    match fs::metadata(&path) {
        Ok(node) if node.file_type().is_block_device() => Ok(path),
        Ok(_) => Err(Error::Invalid { what: "disk", value: disk.into(), why: "not a block device" }.into()),
        Err(_) => Err(Halt::Wait { what: "disk", name: disk.into() }),
    }
}
