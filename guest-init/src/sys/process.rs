//! Making processes, and turning them into other programs.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::process::Pid;

use super::{check, last_error};

/// Which namespaces a new process gets of its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneFlags {
    /// Mounts, host name and System V IPC.
    pub container: bool,
    /// Process ids.
    pub pids: bool,
}

/// Both sides of [`clone`].
pub enum Cloned {
    /// In the new process.
    Child,
    /// In the old one.
    Parent(Pid, OwnedFd),
}

/// Makes a copy of this process, in the cgroup `cgroup` when given.
///
/// The copy has its own memory, as after fork(2). This program has one thread, so everything (the allocator too) is in a
/// sound state in the copy.
pub fn clone(flags: CloneFlags, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned> {
    let mut bits = libc::CLONE_PIDFD as u64;
    if flags.container {
        bits |= (libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC) as u64;
    }
    if flags.pids {
        bits |= libc::CLONE_NEWPID as u64;
    }
    if cgroup.is_some() {
        // CLONE_INTO_CGROUP of <linux/sched.h>.
        bits |= 0x2_0000_0000;
    }
    let mut pidfd: libc::c_int = -1;
    let mut args = libc::clone_args {
        flags: bits,
        pidfd: (&raw mut pidfd) as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    // SAFETY: without CLONE_VM and with no stack given this is fork(2): the child continues here on a copy of this
    // stack. Nothing is shared but descriptors. `args` and `pidfd` outlive the call.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) })?;
    match Pid::from_raw(pid as i32) {
        None => Ok(Cloned::Child),
        // SAFETY: with CLONE_PIDFD the kernel has stored a new descriptor, which nobody else owns.
        Some(pid) => Ok(Cloned::Parent(pid, unsafe { OwnedFd::from_raw_fd(pidfd) })),
    }
}

/// Arguments or environment as execve(2) wants them, made before they are needed.
#[derive(Debug)]
pub struct Program {
    strings: Vec<CString>,
}

impl Program {
    /// From strings; `None` when one holds a NUL byte.
    pub fn new<'a>(strings: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let strings = strings.into_iter().map(|s| CString::new(s).ok()).collect::<Option<Vec<_>>>()?;
        Some(Self { strings })
    }

    fn pointers(&self) -> Vec<*const libc::c_char> {
        self.strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
    }
}

/// Becomes the program at `path`; returns only when that failed.
pub fn exec(path: &CStr, argv: &Program, env: &Program) -> Errno {
    let (argv_pointers, env_pointers) = (argv.pointers(), env.pointers());
    // SAFETY: both arrays end in a null pointer and point to C strings that live as long as `argv` and `env`.
    unsafe { libc::execve(path.as_ptr(), argv_pointers.as_ptr(), env_pointers.as_ptr()) };
    last_error()
}

/// Installs a filter of system calls for this process and what it becomes.
///
/// `program` is an array of struct sock_filter as bytes; the kernel checks it.
pub fn install_seccomp(program: &[u8]) -> Result<()> {
    if !program.len().is_multiple_of(8) || program.len() / 8 > usize::from(u16::MAX) {
        return Err(Errno::INVAL);
    }
    let instructions: Vec<libc::sock_filter> = program
        .chunks_exact(8)
        .map(|raw| libc::sock_filter {
            code: u16::from_le_bytes([raw[0], raw[1]]),
            jt: raw[2],
            jf: raw[3],
            k: u32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]),
        })
        .collect();
    let filter = libc::sock_fprog { len: instructions.len() as u16, filter: instructions.as_ptr().cast_mut() };
    // SAFETY: the kernel reads `len` instructions, which `instructions` holds, and writes none.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) })?;
    Ok(())
}

/// Sets a resource limit by its number; all ones is no limit.
pub fn set_rlimit(resource: u32, soft: u64, hard: u64) -> Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: the kernel reads one struct rlimit64; no old value is asked for.
    check(unsafe {
        libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, std::ptr::null_mut::<libc::rlimit64>())
    })?;
    Ok(())
}

/// Closes every descriptor from `first` on. For a copy of this process that shall hold nothing of the original's.
pub fn close_from(first: u32) -> Result<()> {
    // SAFETY: takes integers only. What owned the descriptors is never used again: the caller does not return to it.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) })?;
    Ok(())
}

/// Makes the cgroup this process is in the root of what it sees.
pub fn unshare_cgroup() -> Result<()> {
    // SAFETY: takes integers only, and a cgroup namespace holds nothing that this process relies on.
    check(libc::c_long::from(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }))?;
    Ok(())
}

/// Gives this thread a network of its own.
#[cfg(test)]
pub fn unshare_network() -> Result<()> {
    // SAFETY: takes integers only, and a network namespace holds nothing that this process relies on.
    check(libc::c_long::from(unsafe { libc::unshare(libc::CLONE_NEWNET) }))?;
    Ok(())
}
