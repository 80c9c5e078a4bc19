//! The few system calls that no library wraps safely. All `unsafe` of this crate is below here; what is exported cannot
//! be misused.
// Raw system calls; each block says why it is sound.
#![allow(unsafe_code)]

mod entropy;
mod mount;
mod process;
mod signal;

pub use entropy::add_entropy;
pub use mount::{set_mount_no_devices, set_mount_read_only};
#[cfg(test)]
pub use process::unshare_network;
pub use process::{CloneFlags, Cloned, Program, clone, close_from, exec, install_seccomp, set_rlimit, unshare_cgroup};
pub use signal::{SignalFd, kill, reset_signals, wait_for_child};

/// The result of a raw system call as the kernel's error number.
fn check(result: libc::c_long) -> rustix::io::Result<libc::c_long> {
    if result < 0 { Err(last_error()) } else { Ok(result) }
}

fn last_error() -> rustix::io::Errno {
    let code = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    rustix::io::Errno::from_raw_os_error(code)
}
