//! mount_setattr(2), which neither libc nor rustix wraps.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Result;

use super::check;

/// `MOUNT_ATTR_RDONLY` of <linux/mount.h>.
const MOUNT_ATTR_RDONLY: u64 = 1;
/// `MOUNT_ATTR_NODEV`, likewise.
const MOUNT_ATTR_NODEV: u64 = 4;
/// `AT_RECURSIVE` of <linux/fcntl.h>.
const AT_RECURSIVE: libc::c_int = 0x8000;

/// struct mount_attr, version 0.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Makes the mount that `root` is the root of read-only, and those below it when `recursive`.
pub fn set_mount_read_only(root: BorrowedFd<'_>, recursive: bool) -> Result<()> {
    set_attributes(root, MOUNT_ATTR_RDONLY, recursive)
}

/// On the mount that `root` is the root of no device opens any more.
pub fn set_mount_no_devices(root: BorrowedFd<'_>) -> Result<()> {
    set_attributes(root, MOUNT_ATTR_NODEV, false)
}

fn set_attributes(root: BorrowedFd<'_>, attr_set: u64, recursive: bool) -> Result<()> {
    let attr = MountAttr { attr_set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, and the kernel reads exactly size_of::<MountAttr>() bytes of `attr`.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            root.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    })?;
    Ok(())
}
