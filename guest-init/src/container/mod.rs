//! Containers of the pod.
//!
//! ```text
//! Create -> Created --Start--> Running --its first process ends--> Exited
//!              \__________________|________________________________/
//!                               Remove
//! ```

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use xenpod_protocol::message::{ContainerState, CreateContainer, Exit, RunState};

pub mod cgroup;
pub mod child;
pub mod devices;
pub mod mounts;
pub mod program;
pub mod rootfs;
pub mod termination;
pub mod user;
pub mod variables;

use cgroup::Cgroup;
use rootfs::RootFs;

/// Where a container is in its life.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing runs yet.
    Created,
    /// The task of this slot is its first process.
    Running {
        /// Key of the task.
        slot: u32,
        /// Its process id.
        pid: u32,
    },
    /// Nothing runs any more.
    Exited(Exit),
}

/// One container.
#[derive(Debug)]
pub struct Container {
    /// What was asked for.
    pub spec: CreateContainer,
    /// Its mounts.
    pub rootfs: RootFs,
    /// Its limits.
    pub cgroup: Cgroup,
    /// Where it is.
    pub state: State,
    /// Out-of-memory kills reported so far.
    pub oom_kills: u64,
    /// For epoll.
    pub number: u32,
}

impl Container {
    /// For Inspect.
    pub fn describe(&self) -> ContainerState {
        let (state, pid, exit) = match &self.state {
            State::Created => (RunState::Created, 0, None),
            State::Running { pid, .. } => (RunState::Running, *pid, None),
            State::Exited(exit) => (RunState::Exited, 0, Some(exit.clone())),
        };
        ContainerState { name: self.spec.name.clone(), state: state.into(), pid, exit, stdio: self.spec.stdio }
    }

    /// In words, for errors.
    pub fn state_text(&self) -> &'static str {
        match self.state {
            State::Created => "not started yet",
            State::Running { .. } => "running",
            State::Exited(_) => "not running any more",
        }
    }

    /// Whether it mounts the volume.
    pub fn uses_volume(&self, name: &str) -> bool {
        use xenpod_protocol::message::mount::Source;
        self.spec.mounts.iter().any(|m| matches!(&m.source, Some(Source::Volume(volume)) if volume == name))
    }
}

/// Longest password or group file that is looked at.
const TEXT_MAX: u64 = 1 << 20;

/// A small file of an image, or nothing. Whatever the image has put there, this does not block.
fn text_file(path: &str) -> String {
    let Ok(file) = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path) else {
        return String::new();
    };
    if !file.metadata().is_ok_and(|m| m.is_file()) {
        return String::new();
    }
    let mut bytes = Vec::new();
    let _ = file.take(TEXT_MAX).read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
