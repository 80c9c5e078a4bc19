//! A container's /dev: a few nodes that every program expects, and those that were asked for.
//!
//! Only these open. The file systems of a container are mounted `nodev`, /dev itself too, and each node is bound over
//! itself without that: with CAP_MKNOD a container can make further nodes, as in other runtimes, and not open them. The
//! disks of the pod and its channel stay out of reach. A privileged container has no such bound.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dev, FileType, Mode};

use super::mounts::{detached, make_directory, move_to, open_path};
use crate::error::{Error, errno_of};
use crate::sys;

/// What every container has (OCI runtime specification, "Default Devices").
const DEFAULT: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// What a container has of its own, and the kernel's list of devices too.
const OWN: [&str; 4] = ["ptmx", "pts", "shm", "mqueue"];
/// How deep the guest's /dev is looked through: /dev/xen/evtchn, /dev/input/by-id/...
const DEPTH: usize = 4;

/// A device node to make.
#[derive(Debug)]
pub struct Node {
    path: PathBuf,
    kind: FileType,
    mode: u32,
    device: Dev,
}

/// Those of the guest's devices that were asked for, by paths below /dev.
pub fn chosen(paths: &[String]) -> Result<Vec<Node>, Error> {
    let each = paths.iter().map(|path| {
        let inside = Path::new(path).components().all(|c| !matches!(c, std::path::Component::ParentDir));
        let node = if inside && path.starts_with("/dev/") { node(Path::new(path)) } else { None };
        node.ok_or_else(|| Error::NoSuch { what: "device in the guest's kernel:", name: path.clone() })
    });
    each.collect()
}

/// All of the guest's devices.
pub fn all() -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut folders = vec![(PathBuf::from("/dev"), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if depth == 0 && (OWN.iter().any(|o| name == **o) || DEFAULT.iter().any(|d| name == *d.0)) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && depth < DEPTH => folders.push((path, depth + 1)),
                _ => nodes.extend(node(&path)),
            }
        }
    }
    nodes
}

fn node(path: &Path) -> Option<Node> {
    let of = fs::symlink_metadata(path).ok()?;
    let kind = of.file_type();
    let kind = if kind.is_block_device() {
        FileType::BlockDevice
    } else if kind.is_char_device() {
        FileType::CharacterDevice
    } else {
        return None;
    };
    Some(Node { path: path.into(), kind, mode: of.mode() & 0o777, device: of.rdev() })
}

/// Fills the tmpfs at /dev.
pub fn make(more: &[Node], privileged: bool) -> Result<(), Error> {
    let mut made = Vec::new();
    for (name, major, minor) in DEFAULT {
        let device = rustix::fs::makedev(major, minor);
        made.push(Node { path: format!("/dev/{name}").into(), kind: FileType::CharacterDevice, mode: 0o666, device });
    }
    for node in made.iter().chain(more) {
        let named = || node.path.display().to_string();
        if let Some(folder) = node.path.parent().filter(|f| *f != Path::new("/dev")) {
            make_directory(&folder.to_string_lossy())?;
        }
        rustix::fs::mknodat(CWD, &node.path, node.kind, Mode::from(node.mode), node.device)
            .map_err(Error::mount("a device node", named()))?;
    }
    for (name, to) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        let path = format!("/dev/{name}");
        std::os::unix::fs::symlink(to, &path).map_err(|e| Error::mount("a link", path)(errno_of(&e)))?;
    }
    if privileged {
        return Ok(());
    }
    // A bind mount keeps what its source may: so they are taken before the folder may no more.
    let mut bound = Vec::new();
    for node in made.iter().chain(more) {
        bound.push((node.path.to_string_lossy().into_owned(), detached(CWD, &node.path)?));
    }
    let folder = open_path("/dev")?;
    sys::set_mount_no_devices(folder.as_fd()).map_err(Error::mount("without devices", "/dev"))?;
    bound.iter().try_for_each(|(path, node)| move_to(node, path))
}
