//! Loop devices: attach, detach, and which ones are ours.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use loopdev::{LoopControl, LoopDevice};
use xenpod_api::ids::PodId;

use super::{DeviceError, at};

/// A block device as blkback wants it named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Block {
    /// 7 for loop devices.
    pub major: u32,
    /// Its number.
    pub minor: u32,
}

/// The loop driver, and the folder under which backing files are ours.
#[derive(Debug)]
pub struct Loops {
    control: Option<LoopControl>,
    ours: PathBuf,
    sysfs: PathBuf,
}

/// What the kernel says about one attached device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The device.
    pub block: Block,
    /// Its backing file, as the kernel names it.
    pub backing: PathBuf,
    /// The file was deleted since.
    pub deleted: bool,
}

const LOOP_MAJOR: u32 = 7;

impl Loops {
    /// For backing files under `state_dir`. The driver is opened at the first use, so that a host without it can still
    /// say so.
    ///
    /// # Errors
    /// The folder's real path cannot be found: sysfs shows real paths.
    pub fn new(state_dir: &Path) -> Result<Self, DeviceError> {
        let ours = fs::canonicalize(state_dir).map_err(at("resolve", state_dir))?;
        Ok(Self { control: None, ours, sysfs: "/sys/block".into() })
    }

    /// Attaches `file` to a free device.
    ///
    /// # Errors
    /// See [`DeviceError`].
    pub fn attach(&mut self, file: &Path, read_only: bool) -> Result<Block, DeviceError> {
        let backing: File = OpenOptions::new().read(true).write(!read_only).open(file).map_err(at("open", file))?;
        if self.control.is_none() {
            self.control = Some(LoopControl::open().map_err(DeviceError::NoLoop)?);
        }
        let Some(control) = &self.control else { return Err(DeviceError::Contended { path: file.into() }) };
        // Between asking for a free one and taking it, another process may take it.
        for _ in 0..64 {
            let device = control.next_free().map_err(DeviceError::NoLoop)?;
            // Without write access to the file, the kernel makes the device read-only (loop_set_fd).
            match device.attach_fd(backing.as_raw_fd()) {
                Ok(()) => {
                    let minor = device.minor().map_err(at("stat the loop device of", file))?;
                    return Ok(Block { major: LOOP_MAJOR, minor });
                }
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {}
                Err(e) => return Err(at("attach a loop device to", file)(e)),
            }
        }
        Err(DeviceError::Contended { path: file.into() })
    }

    /// Detaches a device if it is ours; one that a domain still has open goes when it is closed. Detaching what is not
    /// attached is no error.
    ///
    /// # Errors
    /// [`DeviceError::Io`].
    pub fn detach(&self, block: Block) -> Result<(), DeviceError> {
        if self.attached(block.minor)?.is_none() {
            return Ok(());
        }
        let path = PathBuf::from(format!("/dev/loop{}", block.minor));
        let device = LoopDevice::open(&path).map_err(at("open", &path))?;
        match device.detach() {
            Ok(()) => Ok(()),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => Ok(()),
            Err(e) => Err(at("detach", &path)(e)),
        }
    }

    /// Every device whose backing file is under our folder. Reads sysfs: for the reconciler, not for the path of a start.
    ///
    /// # Errors
    /// [`DeviceError::Io`].
    pub fn list(&self) -> Result<Vec<Attached>, DeviceError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.sysfs).map_err(at("list", &self.sysfs))? {
            let entry = entry.map_err(at("list", &self.sysfs))?;
            let minor = entry.file_name().to_str().and_then(|n| n.strip_prefix("loop")?.parse().ok());
            if let Some(minor) = minor {
                found.extend(self.attached(minor)?);
            }
        }
        found.sort_by_key(|a| a.block.minor);
        Ok(found)
    }

    fn attached(&self, minor: u32) -> Result<Option<Attached>, DeviceError> {
        let path = self.sysfs.join(format!("loop{minor}/loop/backing_file"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            // No such device, not attached, or detached while we looked.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound) => return Ok(None),
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => return Ok(None),
            Err(e) => return Err(at("read", &path)(e)),
        };
        let text = text.trim_end_matches('\n');
        let (name, deleted) = match text.strip_suffix(" (deleted)") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let block = Block { major: LOOP_MAJOR, minor };
        Ok(self.our_path(Path::new(name)).map(|backing| Attached { block, backing, deleted }))
    }

    /// The file under our folder that the kernel means by `name`.
    ///
    /// A device that an earlier daemon attached was opened in that daemon's mount namespace. When that is gone and our folder
    /// was a mount of its own in it, the kernel shows the path from that mount's root: `/pods/<uuid>/scratch.img`. Such a name
    /// is taken for ours when it is one that only we give.
    fn our_path(&self, name: &Path) -> Option<PathBuf> {
        if name.starts_with(&self.ours) {
            return Some(name.into());
        }
        let below = name.strip_prefix("/").ok()?;
        let parts: Vec<&str> = below.iter().map(|part| part.to_str()).collect::<Option<_>>()?;
        let ours = match parts[..] {
            ["pods", id, "scratch.img"] => id.parse::<PodId>().is_ok(),
            ["images", .., file] => {
                file.strip_suffix(".erofs").is_some_and(|stem| stem.starts_with("sha256-") && stem.len() == 7 + 64)
            }
            _ => false,
        };
        ours.then(|| self.ours.join(below))
    }
}

#[cfg(test)]
#[path = "loops_tests.rs"]
mod tests;
