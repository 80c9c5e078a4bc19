//! Volumes of the pod: directories that several containers may mount.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Gid, Uid};
use rustix::mount::UnmountFlags;
use xenpod_protocol::message::{CreateVolume, File, create_volume::Source};

use crate::container::mounts::{make_private, tmpfs};
use crate::disks::{Disks, Halt};
use crate::error::Error;

const FOLDER: &str = "/run/xenpod/volumes";
/// Of a Files volume when nothing is said.
const FILES_SIZE: u64 = 4 << 20;

#[derive(Debug)]
enum Kind {
    Tmpfs,
    Files { directory_mode: u32 },
    Disk { disk: String },
    Scratch { disk: String },
}

#[derive(Debug)]
struct Volume {
    root: PathBuf,
    kind: Kind,
}

/// All of the pod's.
#[derive(Debug, Default)]
pub struct Volumes(BTreeMap<String, Volume>);

impl Volumes {
    /// Makes one. On an error nothing is left behind.
    pub fn create(&mut self, wanted: &CreateVolume, disks: &mut Disks) -> Result<(), Halt> {
        let name = &wanted.name;
        check_name("volume", name)?;
        if self.0.contains_key(name) {
            return Err(Error::Exists { what: "volume", name: name.clone() }.into());
        }
        let own = Path::new(FOLDER).join(name);
        let volume = match &wanted.source {
            Some(Source::Tmpfs(wanted)) => {
                make_private(&own, 0o700)?;
                tmpfs(&own, wanted.size, if wanted.mode == 0 { 0o777 } else { wanted.mode })?;
                Volume { root: own, kind: Kind::Tmpfs }
            }
            Some(Source::Files(wanted)) => {
                make_private(&own, 0o700)?;
                let directory_mode = if wanted.directory_mode == 0 { 0o755 } else { wanted.directory_mode };
                tmpfs(&own, if wanted.size == 0 { FILES_SIZE } else { wanted.size }, directory_mode)?;
                let kind = Kind::Files { directory_mode };
                let written = wanted.files.iter().try_for_each(|file| write_file(&own, directory_mode, file));
                let volume = Volume { root: own, kind };
                if let Err(error) = written {
                    volume.take_down(disks);
                    return Err(error.into());
                }
                volume
            }
            Some(Source::Scratch(wanted)) => {
                let top = disks.acquire(&wanted.disk, "ext4", false)?;
                match scratch_directory(&top, &wanted.directory).and_then(|root| world_writable(&root).map(|()| root)) {
                    Ok(root) => Volume { root, kind: Kind::Scratch { disk: wanted.disk.clone() } },
                    Err(error) => {
                        disks.release(&wanted.disk);
                        return Err(error.into());
                    }
                }
            }
            Some(Source::Disk(wanted)) => {
                if !matches!(wanted.fs_type.as_str(), "ext4" | "erofs") {
                    let value = wanted.fs_type.clone();
                    return Err(
                        Error::Invalid { what: "file system", value, why: "only ext4 and erofs are known" }.into()
                    );
                }
                let root = disks.acquire(&wanted.disk, &wanted.fs_type, wanted.read_only)?;
                Volume { root, kind: Kind::Disk { disk: wanted.disk.clone() } }
            }
            None => return Err(Error::Unsupported("the source of a volume").into()),
        };
        if let Err(error) = own_root(&volume.root, wanted) {
            volume.take_down(disks);
            return Err(error.into());
        }
        self.0.insert(name.clone(), volume);
        Ok(())
    }

    /// Writes files into a Files volume.
    pub fn write_files(&self, name: &str, files: &[File]) -> Result<(), Error> {
        let volume = self.0.get(name).ok_or_else(|| Error::NoSuch { what: "volume", name: name.into() })?;
        let Kind::Files { directory_mode } = volume.kind else {
            return Err(Error::BadState { what: "volume", name: name.into(), state: "not one for files" });
        };
        files.iter().try_for_each(|file| write_file(&volume.root, directory_mode, file))
    }

    /// Removes one that nobody uses any more.
    pub fn remove(&mut self, name: &str, disks: &mut Disks) -> Result<(), Error> {
        let volume = self.0.remove(name).ok_or_else(|| Error::NoSuch { what: "volume", name: name.into() })?;
        volume.take_down(disks);
        Ok(())
    }

    /// Where one's content is.
    pub fn root(&self, name: &str) -> Option<PathBuf> {
        self.0.get(name).map(|volume| volume.root.clone())
    }

    /// A place in a Files volume, for the guest's own eyes.
    pub fn place(&self, name: &str, path: &str) -> Result<PathBuf, Error> {
        let volume = self.0.get(name).ok_or_else(|| Error::NoSuch { what: "volume", name: name.into() })?;
        match volume.kind {
            Kind::Files { .. } => inside(&volume.root, path),
            _ => Err(Error::BadState { what: "volume", name: name.into(), state: "not one for files" }),
        }
    }

    /// One volume for files, over a folder of a test.
    #[cfg(test)]
    pub fn for_test(name: &str, root: &Path) -> Self {
        let volume = Volume { root: root.into(), kind: Kind::Files { directory_mode: 0o755 } };
        Self(BTreeMap::from([(name.into(), volume)]))
    }

    /// All names.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

impl Volume {
    fn take_down(&self, disks: &mut Disks) {
        match &self.kind {
            Kind::Tmpfs | Kind::Files { .. } => {
                let _ = rustix::mount::unmount(&self.root, UnmountFlags::DETACH);
                let _ = fs::remove_dir(&self.root);
            }
            Kind::Disk { disk } | Kind::Scratch { disk } => disks.release(disk),
        }
    }
}

/// Gives a volume's root directory the owner and mode that were asked for.
fn own_root(root: &Path, wanted: &CreateVolume) -> Result<(), Error> {
    let named = || format!("volume {}", wanted.name);
    if wanted.uid != 0 || wanted.gid != 0 {
        rustix::fs::chown(root, Some(Uid::from_raw(wanted.uid)), Some(Gid::from_raw(wanted.gid)))
            .map_err(Error::system("set the owner of", named()))?;
    }
    if wanted.mode != 0 {
        let mode = fs::Permissions::from_mode(wanted.mode & 0o7777);
        fs::set_permissions(root, mode).map_err(Error::io("set the mode of", named()))?;
    }
    Ok(())
}

/// Names become parts of paths.
pub fn check_name(what: &'static str, name: &str) -> Result<(), Error> {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(ok) {
        let why = "a name has letters, digits, '-', '_' and '.', and does not begin with '.'";
        return Err(Error::Invalid { what, value: name.into(), why });
    }
    Ok(())
}

/// The place of a directory on a mounted scratch disk.
pub fn scratch_directory(top: &Path, directory: &str) -> Result<PathBuf, Error> {
    check_name("scratch directory", directory)?;
    Ok(top.join(directory))
}

fn world_writable(path: &Path) -> Result<(), Error> {
    make_private(path, 0o777)?;
    let mode = fs::Permissions::from_mode(0o777);
    fs::set_permissions(path, mode).map_err(Error::io("set the mode of", path.display().to_string()))
}

/// `path` below `root`; one with `..`, or an absolute one, is refused.
fn inside(root: &Path, path: &str) -> Result<PathBuf, Error> {
    let parts = || Path::new(path).components();
    if path.is_empty() || !parts().all(|part| matches!(part, Component::Normal(_))) {
        return Err(Error::Invalid { what: "file", value: path.into(), why: "not a path within the volume" });
    }
    Ok(root.join(path))
}

fn write_file(root: &Path, directory_mode: u32, file: &File) -> Result<(), Error> {
    let path = inside(root, &file.path)?;
    let named = || format!("file {} of a volume", file.path);
    if let Some(parent) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(directory_mode).create(parent);
        made.map_err(Error::io("make the directory of", named()))?;
    }
    if file.append {
        let mut old = OpenOptions::new().append(true).open(&path).map_err(Error::io("append to", named()))?;
        return old.write_all(&file.data).map_err(Error::io("append to", named()));
    }
    // Containers only see whole files: written beside, then renamed.
    let beside = root.join(".xenpod-new");
    let done = write_new(&beside, file).and_then(|()| fs::rename(&beside, &path));
    if done.is_err() {
        let _ = fs::remove_file(&beside);
    }
    done.map_err(Error::io("write", named()))
}

fn write_new(path: &Path, file: &File) -> std::io::Result<()> {
    let mut new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    new.write_all(&file.data)?;
    rustix::fs::fchown(&new, Some(Uid::from_raw(file.uid)), Some(Gid::from_raw(file.gid)))?;
    new.set_permissions(fs::Permissions::from_mode(file.mode & 0o7777))
}

#[cfg(test)]
mod tests;
