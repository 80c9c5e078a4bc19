//! A container's root: the image below, what is written above, joined by overlayfs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid};
use rustix::mount::{MountFlags, UnmountFlags};
use xenpod_protocol::message::{RootFs as Wanted, ScratchDirectory, root_fs::Upper};

use super::mounts::{make_private, tmpfs};
use crate::disks::{Disks, Halt};
use crate::error::Error;
use crate::volumes::scratch_directory;

const FOLDER: &str = "/run/xenpod/containers";

/// What was mounted, so that it can be taken back.
#[derive(Debug)]
pub struct RootFs {
    folder: PathBuf,
    image: String,
    /// The directory on the scratch disk.
    scratch: Option<(String, PathBuf)>,
    in_memory: bool,
}

impl RootFs {
    /// Mounts all of it. On an error nothing is left behind.
    pub fn new(container: &str, wanted: &Wanted, privileged: bool, disks: &mut Disks) -> Result<Self, Halt> {
        let lower = disks.acquire(&wanted.image_disk, "erofs", true)?;
        let mut rootfs = Self {
            folder: Path::new(FOLDER).join(container),
            image: wanted.image_disk.clone(),
            scratch: None,
            in_memory: false,
        };
        let flags = if privileged { MountFlags::empty() } else { MountFlags::NODEV };
        match rootfs.build(&lower, wanted.upper.as_ref(), flags, disks) {
            Ok(()) => Ok(rootfs),
            Err(halt) => {
                rootfs.take_down(disks);
                Err(halt)
            }
        }
    }

    /// Where it is mounted.
    pub fn root(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn build(&mut self, lower: &Path, upper: Option<&Upper>, flags: MountFlags, disks: &mut Disks) -> Result<(), Halt> {
        make_private(&self.folder, 0o700)?;
        let above = match upper {
            Some(Upper::Scratch(ScratchDirectory { disk, directory })) => {
                let top = disks.acquire(disk, "ext4", false)?;
                let above = scratch_directory(&top, directory);
                self.scratch = Some((disk.clone(), above.clone().unwrap_or_default()));
                let above = above?;
                if above.exists() {
                    return Err(Error::Exists { what: "scratch directory", name: directory.clone() }.into());
                }
                above
            }
            other => {
                let size = if let Some(Upper::Tmpfs(tmpfs)) = other { tmpfs.size } else { 0 };
                let above = self.folder.join("above");
                make_private(&above, 0o700)?;
                tmpfs(&above, size, 0o700)?;
                self.in_memory = true;
                above
            }
        };
        let (upper, work, root) = (above.join("upper"), above.join("work"), self.root());
        for path in [&upper, &work, &root] {
            make_private(path, 0o700)?;
        }
        like(lower, &upper)?;
        let options = format!("lowerdir={},upperdir={},workdir={}\0", lower.display(), upper.display(), work.display());
        let data = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).ok();
        rustix::mount::mount("overlay", &root, "overlay", flags, data)
            .map_err(Error::mount("the container's root", root.display().to_string()))?;
        Ok(())
    }

    /// Takes all back, also when only part of it was made. Returns what is to be deleted, which may take long.
    pub fn take_down(&mut self, disks: &mut Disks) -> Option<PathBuf> {
        let _ = rustix::mount::unmount(self.root(), UnmountFlags::DETACH);
        if self.in_memory {
            let _ = rustix::mount::unmount(self.folder.join("above"), UnmountFlags::DETACH);
        }
        for path in [self.root(), self.folder.join("above"), self.folder.clone()] {
            let _ = fs::remove_dir(path);
        }
        disks.release(&self.image);
        let (disk, folder) = self.scratch.take()?;
        disks.release(&disk);
        (!folder.as_os_str().is_empty()).then_some(folder)
    }
}

/// The root directory of an overlay is the upper one: give it the image's mode and owner.
fn like(lower: &Path, upper: &Path) -> Result<(), Error> {
    let object = || upper.display().to_string();
    let of = fs::metadata(lower).map_err(Error::io("look at", lower.display().to_string()))?;
    fs::set_permissions(upper, fs::Permissions::from_mode(of.mode() & 0o7777))
        .map_err(Error::io("set the mode of", object()))?;
    rustix::fs::chown(upper, Some(Uid::from_raw(of.uid())), Some(Gid::from_raw(of.gid())))
        .map_err(Error::system("set the owner of", object()))
}
