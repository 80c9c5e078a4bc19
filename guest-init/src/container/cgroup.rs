//! A container's cgroup (v2): limits, statistics, and killing all that is in it.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use xenpod_protocol::message::{ContainerStats, Resources};

use crate::error::{Error, errno_of};

/// Where the kernel's cgroup tree is mounted.
pub const MOUNT: &str = "/sys/fs/cgroup";
/// All containers are below it. PID 1 and its helpers stay in the root.
const POD: &str = "/sys/fs/cgroup/pod";
const CONTROLLERS: &str = "+cpu +memory +pids +io +cpuset";

/// Makes the pod's cgroup, with every controller on for its children.
pub fn prepare_pod() -> Result<(), Error> {
    let control = format!("{MOUNT}/cgroup.subtree_control");
    fs::write(&control, CONTROLLERS).map_err(Error::io("write", control))?;
    fs::create_dir(POD).map_err(Error::io("make", POD))?;
    let control = format!("{POD}/cgroup.subtree_control");
    fs::write(&control, CONTROLLERS).map_err(Error::io("write", control))
}

/// What all containers hold, without the file pages that nobody has touched lately.
pub fn pod_working_set() -> Option<u64> {
    stats::working_set(Path::new(POD))
}

/// One container's.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
    folder: OwnedFd,
    /// `memory.events`, to be waited for.
    events: File,
}

impl Cgroup {
    /// Makes it and sets the limits.
    pub fn new(container: &str, resources: &Resources) -> Result<Self, Error> {
        let path = Path::new(POD).join(container);
        match fs::create_dir(&path) {
            // Of a container of that name whose last process was still dying.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other.map_err(Error::io("make", path.display().to_string()))?,
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            rustix::fs::open(&path, flags, Mode::empty()).map_err(Error::system("open", path.display().to_string()))?;
        let events = path.join("memory.events");
        let events = File::open(&events).map_err(Error::io("open", events.display().to_string()))?;
        let cgroup = Self { path, folder, events };
        // All of a container dies with the one that took too much: half a container is no container.
        cgroup.write("memory.oom.group", "1")?;
        cgroup.update(resources)?;
        Ok(cgroup)
    }

    /// For clone.
    pub fn folder(&self) -> impl AsFd + '_ {
        &self.folder
    }

    /// For epoll: "priority" events when something was killed for memory.
    pub fn events(&self) -> &File {
        &self.events
    }

    fn write(&self, file: &str, value: impl AsRef<str>) -> Result<(), Error> {
        let path = self.path.join(file);
        fs::write(&path, value.as_ref()).map_err(Error::io("write", path.display().to_string()))
    }

    /// Sets the limits of one that is in use. Nothing is killed for it: memory that is above a new limit is reclaimed first, and
    /// when that is not possible nothing is changed.
    pub fn limit(&self, container: &str, resources: &Resources) -> Result<(), Error> {
        let wanted = resources.memory_max;
        if wanted == 0 || self.used() <= wanted {
            return self.update(resources);
        }
        // Writing it reclaims, and never kills; while it stands, what is used does not grow unhindered.
        self.write("memory.high", wanted.to_string())?;
        let used = self.used();
        let result = if used <= wanted {
            self.update(resources)
        } else {
            Err(Error::InUse { container: container.into(), used, wanted })
        };
        self.write("memory.high", "max")?;
        result
    }

    /// Bytes of memory that are charged to it.
    fn used(&self) -> u64 {
        let text = fs::read_to_string(self.path.join("memory.current")).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// Sets limits anew.
    pub fn update(&self, resources: &Resources) -> Result<(), Error> {
        for (file, value) in settings(resources) {
            self.write(file, value)?;
        }
        Ok(())
    }

    /// How often something in it was killed for memory.
    pub fn oom_kills(&self) -> u64 {
        let mut text = [0; 512];
        let length = rustix::io::pread(&self.events, &mut text, 0).unwrap_or(0);
        field(&String::from_utf8_lossy(&text[..length]), "oom_kill").unwrap_or(0)
    }

    /// Kills everything in it.
    pub fn kill(&self) {
        // An empty one is fine; it cannot fail otherwise.
        let _ = self.write("cgroup.kill", "1");
    }

    /// The processes in it.
    pub fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Removes it; false while something is still dying in it.
    pub fn remove(&self) -> Result<bool, Error> {
        remove_below(&self.path);
        match fs::remove_dir(&self.path) {
            Ok(()) => Ok(true),
            Err(error) => match errno_of(&error) {
                Errno::NOENT => Ok(true),
                Errno::BUSY => Ok(false),
                errno => Err(Error::System { what: "remove", object: self.path.display().to_string(), errno }),
            },
        }
    }

    /// What it uses now.
    pub fn stats(&self, name: &str) -> ContainerStats {
        stats::of(&self.path, name)
    }
}

/// Removes the cgroups that a privileged container has made in its own.
fn remove_below(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
            // What cannot be removed yet keeps the one above too, which says so.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Which file gets which value.
fn settings(resources: &Resources) -> Vec<(&'static str, String)> {
    let or_max = |n: u64| if n == 0 { "max".to_owned() } else { n.to_string() };
    let period = if resources.cpu_period_us == 0 { 100_000 } else { resources.cpu_period_us };
    let weight = if resources.cpu_weight == 0 { 100 } else { resources.cpu_weight };
    vec![
        ("memory.max", or_max(resources.memory_max)),
        ("memory.low", resources.memory_low.to_string()),
        ("cpu.max", format!("{} {period}", or_max(resources.cpu_quota_us))),
        ("cpu.weight", weight.to_string()),
        ("pids.max", or_max(resources.pids_max.into())),
    ]
}

/// The value of `name` in lines of names and values.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.trim().parse().ok())
}

mod stats;
#[cfg(test)]
mod tests;
