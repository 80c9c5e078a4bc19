//! The first things PID 1 does: a root that can be left, and the kernel's file systems.

use std::fs;
use std::path::Path;

use rustix::mount::{MountFlags, mount, mount_bind, mount_move};

use crate::container::cgroup;
use crate::container::mounts::make_private;
use crate::error::Error;

/// Just enough for the channel: device nodes.
pub fn devices() -> Result<(), Error> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("devtmpfs", "/dev", "devtmpfs", flags, Some(c"mode=755")).map_err(Error::mount("devtmpfs", "/dev"))
}

/// The rest.
///
/// The root of a boot image cannot be left by pivot_root(2), as it is no mount on something. So a small tmpfs becomes
/// the root, and the boot image (with this program, which is running) stays below it.
pub fn root() -> Result<(), Error> {
    let new = "/sys";
    mount("tmpfs", new, "tmpfs", MountFlags::NODEV, Some(c"mode=755,size=1m")).map_err(Error::mount("tmpfs", new))?;
    for folder in ["dev", "proc", "sys", "run"] {
        make_private(&Path::new(new).join(folder), 0o755)?;
    }
    mount_move("/dev", "/sys/dev").map_err(Error::mount("/dev", "/sys/dev"))?;
    helpers(Path::new(new))?;
    rustix::process::chdir(new).map_err(Error::mount("the root", new))?;
    mount_move(".", "/").map_err(Error::mount("the root", "/"))?;
    rustix::process::chroot(".").map_err(Error::mount("the root", "/"))?;
    rustix::process::chdir("/").map_err(Error::mount("the root", "/"))?;

    let strict = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    for (kind, target) in [("proc", "/proc"), ("sysfs", "/sys"), ("cgroup2", cgroup::MOUNT)] {
        mount(kind, target, kind, strict, None).map_err(Error::mount(kind, target))?;
    }
    mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=755"))
        .map_err(Error::mount("tmpfs", "/run"))?;
    fs::write("/proc/sys/kernel/poweroff_cmd", "/init poweroff").map_err(Error::io("set", "kernel.poweroff_cmd"))?;
    // Ctrl-alt-del is a signal to us, not a reset.
    let _ = fs::write("/proc/sys/kernel/ctrl-alt-del", "0");
    limits()?;
    cgroup::prepare_pod()
}

/// What all processes of the pod have, unless they are given something else: open files as systemd's services have them, and
/// as many processes as there is memory for. The kernel's own numbers grow with the memory and are small in a small guest.
fn limits() -> Result<(), Error> {
    // include/uapi/asm-generic/resource.h
    const RLIMIT_NPROC: u32 = 6;
    const RLIMIT_NOFILE: u32 = 7;
    for (name, resource, soft, hard) in
        [("nproc", RLIMIT_NPROC, u64::MAX, u64::MAX), ("nofile", RLIMIT_NOFILE, 1024, 524_288)]
    {
        crate::sys::set_rlimit(resource, soft, hard).map_err(Error::system("set", format!("the limit {name}")))?;
    }
    Ok(())
}

/// The kernel runs these to shut down when Xen asks: `/sbin/reboot` (kernel/reboot.c) and what `poweroff_cmd` says. Its
/// threads share our root directory, so they find them in the new one; both are this program.
fn helpers(new: &Path) -> Result<(), Error> {
    let (init, sbin) = (new.join("init"), new.join("sbin"));
    fs::write(&init, "").map_err(Error::io("make", "/init"))?;
    mount_bind("/init", &init).map_err(Error::mount("/init", "/init"))?;
    make_private(&sbin, 0o755)?;
    std::os::unix::fs::symlink("/init", sbin.join("reboot")).map_err(Error::io("make", "/sbin/reboot"))
}
