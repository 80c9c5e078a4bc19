//! What a container's first process mounts before its program starts. Runs in the container's own mount namespace.
//!
//! Sources in the pod (volumes, /etc files) are opened first, as detached mounts; then the container's root becomes *the*
//! root and the pod's is gone; then everything is mounted by plain paths. A symbolic link in an image can thus lead
//! nowhere but into the container itself.

use std::fs::{self, DirBuilder, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::process::pivot_root;
use xenpod_protocol::message::{CreateContainer, mount::Source};

use super::{devices, termination};
use crate::error::{Error, errno_of};
use crate::sys;

/// Where the pod's /etc files are, in the guest's own root.
pub const POD_ETC: &str = "/run/xenpod/etc";
/// The pod's files that are mounted over a container's.
pub const ETC_FILES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// How many links are followed, as in the kernel (MAXSYMLINKS).
const LINKS_MAX: usize = 40;

/// Enters `root` and mounts all of `spec` in it. `volume` gives the root directory of a volume.
pub fn set_up(spec: &CreateContainer, root: &Path, volume: &dyn Fn(&str) -> Option<PathBuf>) -> Result<(), Error> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(Error::mount("the root privately", "/"))?;
    let sources = open_sources(spec, volume)?;
    let nodes = if spec.privileged { devices::all() } else { devices::chosen(&spec.devices)? };
    enter(root)?;
    standard(spec, &nodes)?;
    for (target, read_only, source) in sources {
        attach(&target, read_only, source)?;
    }
    let process = spec.process.clone().unwrap_or_default();
    if !process.cwd.is_empty() {
        // Left for the process itself to complain about when it cannot be made.
        let _ = fs::create_dir_all(&process.cwd);
    }
    for (name, value) in &spec.sysctls {
        let path = crate::configure::sysctl_path(name)?;
        fs::write(&path, value).map_err(Error::io("set", format!("sysctl {name} to {value:?}")))?;
    }
    if !spec.privileged {
        spec.readonly_paths.iter().try_for_each(|path| read_only_path(path))?;
        let mut empty = None;
        spec.masked_paths.iter().try_for_each(|path| mask(path, &mut empty))?;
    }
    if spec.rootfs.as_ref().is_some_and(|r| r.read_only) {
        let root = open_path("/")?;
        sys::set_mount_read_only(root.as_fd(), false).map_err(Error::mount("the root read-only", "/"))?;
    }
    Ok(())
}

/// What will be mounted at a target.
enum Attach {
    Tree(OwnedFd),
    /// A file, to be mounted over a file.
    File(OwnedFd),
    Tmpfs(String),
}

fn open_sources(
    spec: &CreateContainer,
    volume: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<Vec<(String, bool, Attach)>, Error> {
    let mut sources = Vec::new();
    if spec.pod_etc_files {
        for name in ETC_FILES {
            let target = format!("/etc/{name}");
            if !spec.mounts.iter().any(|m| m.target == target) {
                let path = Path::new(POD_ETC).join(name);
                sources.push((target, false, Attach::File(detached(CWD, &path)?)));
            }
        }
    }
    if !spec.termination_path.is_empty() && !spec.mounts.iter().any(|m| m.target == spec.termination_path) {
        let file = detached(CWD, &termination::file(&spec.name))?;
        sources.push((spec.termination_path.clone(), false, Attach::File(file)));
    }
    for mount in &spec.mounts {
        let what = match &mount.source {
            Some(Source::Volume(name)) => {
                let root = volume(name).ok_or_else(|| Error::NoSuch { what: "volume", name: name.clone() })?;
                let (tree, is_directory) = open_in_volume(&root, &mount.sub_path)?;
                if is_directory { Attach::Tree(tree) } else { Attach::File(tree) }
            }
            Some(Source::Tmpfs(tmpfs)) => {
                let mode = if tmpfs.mode == 0 { 0o1777 } else { tmpfs.mode };
                Attach::Tmpfs(tmpfs_options(tmpfs.size, mode))
            }
            None => return Err(Error::Unsupported("the source of a mount")),
        };
        sources.push((mount.target.clone(), mount.read_only, what));
    }
    Ok(sources)
}

/// Options of a tmpfs; size 0 is the kernel's default.
pub fn tmpfs_options(size: u64, mode: u32) -> String {
    if size == 0 { format!("mode={mode:o}") } else { format!("mode={mode:o},size={size}") }
}

/// A detached mount of what `path` is.
pub(super) fn detached(at: impl AsFd, path: &Path) -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    rustix::mount::open_tree(at, path, flags).map_err(Error::mount("a copy of", path.display().to_string()))
}

/// A detached mount of `sub_path` in a volume; links in the volume cannot lead out of it.
fn open_in_volume(root: &Path, sub_path: &str) -> Result<(OwnedFd, bool), Error> {
    let error = |errno| Error::mount(format!("{sub_path:?} of volume"), root.display().to_string())(errno);
    let top =
        rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(error)?;
    let inside = match beneath(&top, Path::new(sub_path)) {
        Err(Errno::NOENT) => {
            make_beneath(&top, Path::new(sub_path)).map_err(error)?;
            beneath(&top, Path::new(sub_path)).map_err(error)?
        }
        other => other.map_err(error)?,
    };
    let is_directory =
        FileType::from_raw_mode(rustix::fs::fstat(&inside).map_err(error)?.st_mode) == FileType::Directory;
    Ok((detached(&inside, Path::new(""))?, is_directory))
}

fn beneath(top: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::ResolveFlags;
    if path.as_os_str().is_empty() {
        return rustix::io::dup(top);
    }
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(top, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Makes the directories of `path`, one by one, each looked up beneath `top`. Who may write to the volume may write to
/// them: they have the mode of what they are in.
fn make_beneath(top: &OwnedFd, path: &Path) -> rustix::io::Result<()> {
    let mut so_far = PathBuf::new();
    for part in path.components() {
        let parent = beneath(top, &so_far)?;
        so_far.push(part);
        match part {
            std::path::Component::Normal(name) => {
                let mode = Mode::from_raw_mode(rustix::fs::fstat(&parent)?.st_mode);
                match rustix::fs::mkdirat(&parent, name, mode) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
            }
            std::path::Component::CurDir => {}
            _ => return Err(Errno::XDEV),
        }
    }
    Ok(())
}

/// Makes `root` the root directory and lets go of the old one.
fn enter(root: &Path) -> Result<(), Error> {
    let error = |what: &'static str| Error::mount(what, root.display().to_string());
    rustix::process::chdir(root).map_err(error("the root"))?;
    // Both on one place: the old root is then on top and is what "." unmounts (pivot_root(2), NOTES).
    pivot_root(".", ".").map_err(error("the root"))?;
    rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(error("nothing over the root"))?;
    rustix::process::chdir("/").map_err(error("the root"))
}

fn attach(target: &str, read_only: bool, source: Attach) -> Result<(), Error> {
    let tree = match source {
        Attach::Tmpfs(options) => {
            make_directory(target)?;
            let options = format!("{options}\0");
            let data = std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).ok();
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            rustix::mount::mount("tmpfs", target, "tmpfs", flags, data).map_err(Error::mount("tmpfs", target))?;
            open_path(target)?
        }
        Attach::Tree(tree) => {
            make_directory(target)?;
            move_to(&tree, target)?;
            tree
        }
        Attach::File(tree) => {
            make_file(target)?;
            move_to(&tree, target)?;
            tree
        }
    };
    if read_only {
        sys::set_mount_read_only(tree.as_fd(), true).map_err(Error::mount("read-only", target))?;
    }
    Ok(())
}

pub(super) fn move_to(tree: &OwnedFd, target: &str) -> Result<(), Error> {
    // A link as the last component is followed, as everywhere in the container.
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    rustix::mount::move_mount(tree, "", CWD, target, flags).map_err(Error::mount("a volume", target))
}

pub(super) fn make_directory(path: &str) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|e| Error::mount("a directory", path)(errno_of(&e)))
}

/// Makes an empty file to mount on. Images have links there that lead to what does not exist (/etc/resolv.conf into
/// /run): then what they lead to is made.
fn make_file(path: &str) -> Result<(), Error> {
    let mut path = PathBuf::from(path);
    for _ in 0..LINKS_MAX {
        if let Some(parent) = path.parent() {
            make_directory(&parent.to_string_lossy())?;
        }
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
            Err(_) => break,
        }
    }
    if path.exists() {
        return Ok(());
    }
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(&path);
    made.map(drop).map_err(|e| Error::mount("a file", path.display().to_string())(errno_of(&e)))
}

pub(super) fn open_path(path: &str) -> Result<OwnedFd, Error> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(Error::mount("at", path))
}

fn mount_type(kind: &str, target: &str, flags: MountFlags, data: &str) -> Result<(), Error> {
    make_directory(target)?;
    let data = std::ffi::CString::new(data).unwrap_or_default();
    rustix::mount::mount(kind, target, kind, flags, Some(data.as_c_str())).map_err(Error::mount(kind, target))
}

/// /proc, /dev and /sys as container runtimes have them.
fn standard(spec: &CreateContainer, nodes: &[devices::Node]) -> Result<(), Error> {
    let strict = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let system = if spec.privileged { strict } else { strict | MountFlags::RDONLY };
    mount_type("proc", "/proc", strict, "")?;
    mount_type("tmpfs", "/dev", MountFlags::NOSUID, "mode=755,size=65536k")?;
    devices::make(nodes, spec.privileged)?;
    mount_type(
        "devpts",
        "/dev/pts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        "newinstance,ptmxmode=0666,mode=0620,gid=5",
    )?;
    mount_type("mqueue", "/dev/mqueue", strict, "")?;
    let shm_size = if spec.shm_size == 0 { 64 << 20 } else { spec.shm_size };
    mount_type("tmpfs", "/dev/shm", strict, &tmpfs_options(shm_size, 0o1777))?;
    mount_type("sysfs", "/sys", system, "")?;
    mount_type("cgroup2", "/sys/fs/cgroup", system, "")
}

/// Puts a terminal at /dev/console.
pub fn console(slave: &str) -> Result<(), Error> {
    make_file("/dev/console")?;
    rustix::mount::mount_bind(slave, "/dev/console").map_err(Error::mount(slave, "/dev/console"))
}

fn read_only_path(path: &str) -> Result<(), Error> {
    match rustix::mount::mount_bind_recursive(path, path) {
        Err(Errno::NOENT) => return Ok(()),
        other => other.map_err(Error::mount(path, path))?,
    }
    let root = open_path(path)?;
    sys::set_mount_read_only(root.as_fd(), true).map_err(Error::mount("read-only", path))
}

/// Hides a file behind /dev/null, a directory behind an empty one: the same one for all.
fn mask(path: &str, empty: &mut Option<String>) -> Result<(), Error> {
    match rustix::mount::mount_bind("/dev/null", path) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTDIR) => {}
        Err(errno) => return Err(Error::mount("nothing", path)(errno)),
    }
    match empty {
        Some(first) => rustix::mount::mount_bind(first.as_str(), path).map_err(Error::mount("nothing", path)),
        None => {
            let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount("tmpfs", path, "tmpfs", flags, Some(c"mode=755,size=4k"))
                .map_err(Error::mount("nothing", path))?;
            *empty = Some(path.into());
            Ok(())
        }
    }
}

/// Makes a directory with all above it, for the guest's own use.
pub fn make_private(path: &Path, mode: u32) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    made.map_err(Error::io("make", path.display().to_string()))
}

/// Mounts a tmpfs of the guest's own.
pub fn tmpfs(path: &Path, size: u64, mode: u32) -> Result<(), Error> {
    let data = std::ffi::CString::new(tmpfs_options(size, mode)).unwrap_or_default();
    rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::NODEV, Some(data.as_c_str()))
        .map_err(Error::mount("tmpfs", path.display().to_string()))
}
