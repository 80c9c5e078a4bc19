//! Signals: taken as reads of a descriptor, sent by number.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Result;
use rustix::process::Pid;

use super::check;

/// Signals that are blocked and read instead.
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the whole set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

impl SignalFd {
    /// Blocks `signals` for this process and opens a descriptor that is readable when one has come.
    pub fn new(signals: &[libc::c_int]) -> Result<Self> {
        let mut set = empty_set();
        for signal in signals {
            // SAFETY: `set` is initialised; an invalid number is refused with an error we would see as a lost signal.
            check(libc::c_long::from(unsafe { libc::sigaddset(&raw mut set, *signal) }))?;
        }
        // SAFETY: reads `set`; the old mask is not asked for.
        check(libc::c_long::from(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) }))?;
        // SAFETY: reads `set`.
        let fd = check(libc::c_long::from(unsafe {
            libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
        }))?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }))
    }

    /// The next signal that has come.
    pub fn take(&self) -> Option<libc::c_int> {
        let mut info = [0; size_of::<libc::signalfd_siginfo>()];
        match rustix::io::read(&self.0, &mut info) {
            // ssi_signo is the first field.
            Ok(length) if length == info.len() => Some(i32::from_ne_bytes([info[0], info[1], info[2], info[3]])),
            _ => None,
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Puts every signal back to what a program expects when it starts: default action, not blocked.
pub fn reset_signals() -> Result<()> {
    // SIGPIPE is what Rust's runtime has changed.
    // SAFETY: SIG_DFL is a valid disposition.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let set = empty_set();
    // SAFETY: reads `set`; the old mask is not asked for.
    check(libc::c_long::from(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) }))?;
    Ok(())
}

/// Sends a signal by its number, real-time ones too.
pub fn kill(pid: Pid, signal: u32) -> Result<()> {
    // SAFETY: takes integers only.
    check(libc::c_long::from(unsafe { libc::kill(pid.as_raw_nonzero().get(), signal as i32) }))?;
    Ok(())
}

/// Sleeps until a child has ended. `SIGCHLD` must be blocked, as [`SignalFd::new`] does.
pub fn wait_for_child() {
    let mut set = empty_set();
    // SAFETY: `set` is initialised, and the second call reads it; no information is asked for.
    unsafe {
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigwaitinfo(&raw const set, std::ptr::null_mut());
    }
}
