//! A container's root: the image below, what is written above, joined by overlayfs.

use std::fs;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

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
                // Whatever goes wrong, the disk is let go; the directory is not ours before it is known to be new.
                self.scratch = Some((disk.clone(), PathBuf::new()));
                let above = scratch_directory(&top, directory)?;
                if above.exists() {
                    return Err(Error::Exists { what: "scratch directory", name: directory.clone() }.into());
                }
                self.scratch = Some((disk.clone(), above.clone()));
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

    /// Takes all back, also when only part of it was made. Returns what is to be deleted, which may take long: it is out of the
    /// way already, so a container may be made in its place.
    pub fn take_down(&mut self, disks: &mut Disks) -> Option<Doomed> {
        let _ = rustix::mount::unmount(self.root(), UnmountFlags::DETACH);
        if self.in_memory {
            let _ = rustix::mount::unmount(self.folder.join("above"), UnmountFlags::DETACH);
        }
        for path in [self.root(), self.folder.join("above"), self.folder.clone()] {
            let _ = fs::remove_dir(path);
        }
        disks.release(&self.image);
        let (disk, folder) = self.scratch.take()?;
        let doomed = Doomed::of(&folder);
        // The last to use the disk unmounts it.
        disks.release(&disk);
        doomed
    }
}

/// A directory that was put out of the way, to be deleted. Its parent is held open: by then the disk may be unmounted.
#[derive(Debug)]
pub struct Doomed {
    parent: OwnedFd,
    name: String,
}

impl Doomed {
    fn of(folder: &Path) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let parent = folder.parent()?;
        let name = format!("gone-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        fs::rename(folder, parent.join(&name)).ok()?;
        let parent = fs::File::open(parent).ok()?.into();
        Some(Self { parent, name })
    }

    /// Makes its parent the working directory, for a process that is about to delete it and close all else.
    pub fn enter(&self) {
        let _ = rustix::process::fchdir(&self.parent);
    }

    /// Deletes it, after [`enter`](Self::enter).
    pub fn delete(self) {
        let _ = fs::remove_dir_all(&self.name);
        // The descriptor may have been closed with all others.
        let _ = self.parent.into_raw_fd();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_doomed_is_out_of_the_way_at_once() {
        let disk = std::env::temp_dir().join(format!("doomed-{}", std::process::id()));
        let folder = disk.join("c-web");
        fs::create_dir_all(folder.join("upper")).unwrap();
        let doomed = Doomed::of(&folder).unwrap();
        assert!(!folder.exists() && disk.join(&doomed.name).join("upper").exists());
        // Where nothing was made, nothing is to be deleted.
        assert!(Doomed::of(&folder).is_none() && Doomed::of(Path::new("")).is_none());
        fs::remove_dir_all(disk).unwrap();
    }
}
