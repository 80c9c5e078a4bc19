//! The new process, from clone to exec. It is a copy of PID 1 and tells its parent through a socket how far it came:
//! nothing when its program runs (the socket closes), or why not.
//!
//! ```text
//! mounts -> terminal -> descriptors -> limits -> [seccomp] -> groups, user -> capabilities -> [seccomp] -> exec
//! ```

use std::convert::Infallible;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use prost::Message as _;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use rustix::thread::{CapabilitySet, CapabilitySets, ThreadNameSpaceType};
use xenpod_protocol::message::{Capabilities, CreateContainer, Process, Tty};

use super::user::{self, Identity};
use super::{mounts, program};
use crate::error::Error;
use crate::sys;

/// First byte of a message to the parent: the terminal's master end comes with it.
pub const TERMINAL: u8 = b'T';
/// First byte of a message to the parent: why it failed, encoded, follows.
pub const FAILED: u8 = b'E';

/// The last capability of the kernels we build (`CAP_LAST_CAP`).
const LAST_CAPABILITY: u32 = 40;

/// Where the new process belongs.
pub enum Place<'a> {
    /// The first of a container: its mounts are made here.
    First {
        /// All about it.
        spec: &'a CreateContainer,
        /// Its root file system.
        root: &'a Path,
        /// Finds a volume's root.
        volume: &'a dyn Fn(&str) -> Option<PathBuf>,
    },
    /// A further one, beside the process of this descriptor.
    Beside(BorrowedFd<'a>),
}

/// Everything a new process needs.
pub struct Launch<'a> {
    /// The container's name, for messages.
    pub container: &'a str,
    /// Where it belongs.
    pub place: Place<'a>,
    /// What it shall be.
    pub process: &'a Process,
    /// Its ends of the pipes; `None` is /dev/null. Not used with a terminal.
    pub stdio: [Option<OwnedFd>; 3],
    /// The child's end of the status socket.
    pub status: OwnedFd,
}

impl Launch<'_> {
    /// In the new process.
    pub fn go(self) -> ! {
        // A panic here is this process's end, not the domain's.
        drop(std::panic::take_hook());
        let Err(error) = self.start();
        let mut message = vec![FAILED];
        message.extend(error.to_wire().encode_to_vec());
        let _ = rustix::net::send(&self.status, &message, SendFlags::NOSIGNAL);
        std::process::exit(127)
    }

    fn start(&self) -> Result<Infallible, Error> {
        let process = self.process;
        rustix::process::umask(Mode::empty());
        rustix::process::setsid().map_err(Error::system("begin", "a session"))?;
        match &self.place {
            Place::First { spec, root, volume } => {
                // Our cgroup becomes the root of what the container sees.
                sys::unshare_cgroup().map_err(Error::system("separate", "the cgroup namespace"))?;
                mounts::set_up(spec, root, *volume)?;
            }
            Place::Beside(process) => {
                let kinds = ThreadNameSpaceType::MOUNT
                    | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
                    | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
                    | ThreadNameSpaceType::CONTROL_GROUP;
                rustix::thread::move_into_thread_name_spaces(*process, kinds)
                    .map_err(Error::system("enter", format!("container {}", self.container)))?;
            }
        }
        let identity = user::resolve(self.container, &process.user, &process.additional_gids)?;
        match &process.tty {
            Some(tty) => self.terminal(tty, &identity)?,
            None => self.pipes(&identity)?,
        }
        rustix::process::umask(Mode::from(process.umask.unwrap_or(0o022)));
        limits(process)?;
        let env = environment(process, &identity);
        let entered = enter(&process.cwd);
        become_user(process, &identity)?;
        if let Err(errno) = entered {
            // Perhaps it is the user who may.
            if errno != Errno::ACCESS || enter(&process.cwd).is_err() {
                let (container, path) = (self.container.into(), process.cwd.clone());
                return Err(Error::Directory { container, path, errno });
            }
        }
        sys::reset_signals().map_err(Error::system("reset", "signals"))?;
        if process.no_new_privileges && !process.seccomp.is_empty() {
            sys::install_seccomp(&process.seccomp).map_err(Error::system("install", "the seccomp filter"))?;
        }
        Err(program::run(self.container, &process.argv, &env))
    }

    /// A terminal of the container's own as descriptors 0 to 2; its other end goes to the parent.
    fn terminal(&self, tty: &Tty, identity: &Identity) -> Result<(), Error> {
        let error = |errno| Error::system("open", "a terminal")(errno);
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty()).map_err(error)?;
        rustix::pty::unlockpt(&master).map_err(error)?;
        let slave =
            rustix::pty::ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)
                .map_err(error)?;
        rustix::termios::tcsetwinsize(&slave, window(tty)).map_err(error)?;
        rustix::fs::fchown(&slave, Some(Uid::from_raw(identity.uid)), None).map_err(error)?;
        rustix::process::ioctl_tiocsctty(&slave).map_err(error)?;
        if let Place::First { .. } = self.place {
            let name = rustix::pty::ptsname(&master, Vec::new()).map_err(error)?;
            mounts::console(&name.to_string_lossy())?;
        }
        let fds = [master.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        rustix::net::sendmsg(&self.status, &[std::io::IoSlice::new(&[TERMINAL])], &mut ancillary, SendFlags::NOSIGNAL)
            .map_err(error)?;
        for number in 0..3 {
            onto(&slave, number).map_err(error)?;
        }
        Ok(())
    }

    fn pipes(&self, identity: &Identity) -> Result<(), Error> {
        let error = |errno| Error::system("open", "standard input and output")(errno);
        for (number, end) in self.stdio.iter().enumerate() {
            match end {
                Some(pipe) => {
                    // So that a user other than root can open /dev/stdout again.
                    rustix::fs::fchown(pipe, Some(Uid::from_raw(identity.uid)), None).map_err(error)?;
                    onto(pipe, number).map_err(error)?;
                }
                None => {
                    let null =
                        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(error)?;
                    onto(&null, number).map_err(error)?;
                }
            }
        }
        Ok(())
    }
}

/// The size of a window, in the kernel's form.
pub fn window(tty: &Tty) -> Winsize {
    let cells = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
    Winsize { ws_row: cells(tty.rows), ws_col: cells(tty.columns), ws_xpixel: 0, ws_ypixel: 0 }
}

/// dup2 to a standard descriptor, which stays open over exec.
fn onto(fd: &OwnedFd, number: usize) -> rustix::io::Result<()> {
    match number {
        0 => rustix::stdio::dup2_stdin(fd),
        1 => rustix::stdio::dup2_stdout(fd),
        _ => rustix::stdio::dup2_stderr(fd),
    }
}

fn enter(cwd: &str) -> rustix::io::Result<()> {
    rustix::process::chdir(if cwd.is_empty() { "/" } else { cwd })
}

fn limits(process: &Process) -> Result<(), Error> {
    for limit in &process.rlimits {
        sys::set_rlimit(limit.resource, limit.soft, limit.hard)
            .map_err(Error::system("set", format!("resource limit {}", limit.resource)))?;
    }
    std::fs::write("/proc/self/oom_score_adj", process.oom_score_adj.to_string())
        .map_err(Error::io("write", "/proc/self/oom_score_adj"))
}

/// The environment, with what every process is used to have.
fn environment(process: &Process, identity: &Identity) -> Vec<String> {
    let mut env = process.env.clone();
    let mut default = |name: &str, value: &str| {
        let prefix = format!("{name}=");
        if !env.iter().any(|e| e.starts_with(&prefix)) {
            env.push(prefix + value);
        }
    };
    default("PATH", program::DEFAULT_PATH);
    default("HOME", &identity.home);
    if process.tty.is_some() {
        default("TERM", "xterm");
    }
    env
}

/// From all-powerful root to what the process shall be.
fn become_user(process: &Process, identity: &Identity) -> Result<(), Error> {
    let caps = process.capabilities.unwrap_or_default();
    let error = |errno| Error::system("set", "capabilities")(errno);
    for number in 0..=LAST_CAPABILITY {
        if caps.bounding & (1 << number) == 0 {
            rustix::thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number))
                .map_err(error)?;
        }
    }
    if !process.no_new_privileges && !process.seccomp.is_empty() {
        // Without no_new_privs this takes CAP_SYS_ADMIN, which is about to go.
        sys::install_seccomp(&process.seccomp).map_err(Error::system("install", "the seccomp filter"))?;
    }
    rustix::thread::set_keep_capabilities(true).map_err(error)?;
    let groups: Vec<Gid> = identity.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    rustix::thread::set_thread_groups(&groups).map_err(Error::system("set", "groups"))?;
    let gid = Gid::from_raw(identity.gid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)
        .map_err(Error::system("set", format!("group {}", identity.gid)))?;
    let uid = Uid::from_raw(identity.uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)
        .map_err(Error::system("set", format!("user {}", identity.uid)))?;
    set_capabilities(&caps).map_err(error)?;
    rustix::thread::set_keep_capabilities(false).map_err(error)?;
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).map_err(Error::system("set", "no_new_privs"))?;
    }
    Ok(())
}

fn set_capabilities(caps: &Capabilities) -> rustix::io::Result<()> {
    let known = (1u64 << (LAST_CAPABILITY + 1)) - 1;
    let set = |bits: u64| CapabilitySet::from_bits_retain(bits & known);
    let sets = CapabilitySets {
        effective: set(caps.effective),
        permitted: set(caps.permitted),
        inheritable: set(caps.inheritable),
    };
    rustix::thread::set_capabilities(None, sets)?;
    rustix::thread::clear_ambient_capability_set()?;
    for number in (0..=LAST_CAPABILITY).filter(|n| caps.ambient & (1 << n) != 0) {
        rustix::thread::configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(1 << number), true)?;
    }
    Ok(())
}
