//! The options that a kernel must have been built with for pods to run on it.

use std::collections::BTreeMap;

/// An option, and what it is for. It must be `y`: a pod's domain loads no modules.
pub const NEEDED: &[(&str, &str)] = &[
    ("XEN_PVH", "the entry point of a PVH domain"),
    ("SMP", "more than one vCPU"),
    ("HVC_XEN", "the domain's console"),
    ("XEN_BALLOON", "memory can be taken back"),
    ("XEN_BLKDEV_FRONTEND", "disks"),
    ("XEN_NETDEV_FRONTEND", "the network interface"),
    ("XEN_DEV_EVTCHN", "the channel to dom0"),
    ("XEN_GNTDEV", "the channel to dom0"),
    ("XEN_GRANT_DEV_ALLOC", "the channel to dom0"),
    ("BLK_DEV_INITRD", "the boot image"),
    ("BINFMT_ELF", "programs"),
    ("BINFMT_SCRIPT", "entry points that are scripts"),
    ("DEVTMPFS", "device nodes"),
    ("PROC_FS", "/proc"),
    ("SYSFS", "/sys"),
    ("TMPFS", "volumes in memory, /dev/shm"),
    ("TMPFS_XATTR", "writable layers in memory"),
    ("EROFS_FS", "images"),
    ("EROFS_FS_XATTR", "capabilities of files in images"),
    ("OVERLAY_FS", "a container's root"),
    ("EXT4_FS", "scratch disks and volumes"),
    ("UTS_NS", "a container's host name"),
    ("IPC_NS", "a container's IPC"),
    ("PID_NS", "a container's processes"),
    ("NET_NS", "a container's network settings"),
    ("CGROUPS", "limits of containers"),
    ("MEMCG", "memory limits"),
    ("CGROUP_PIDS", "limits of processes"),
    ("FAIR_GROUP_SCHED", "shares of the CPU"),
    ("CFS_BANDWIDTH", "CPU limits"),
    ("SECCOMP_FILTER", "filters of system calls"),
    ("POSIX_MQUEUE", "/dev/mqueue"),
    ("UNIX98_PTYS", "terminals"),
    ("UNIX", "local sockets"),
    ("INET", "the network"),
    ("IPV6", "the network"),
    ("EPOLL", "guest-init"),
    ("SIGNALFD", "guest-init"),
    ("TIMERFD", "guest-init"),
];

/// The most options that are named in one error.
const NAMED: usize = 12;

/// A kernel's configuration.
#[derive(Debug, Default)]
pub(super) struct Config {
    options: BTreeMap<String, String>,
    /// `6.1.192`, from the comment at its head; or empty.
    version: String,
}

impl Config {
    /// Reads `.config` as Kconfig writes it. What is not named is off.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut config = Self::default();
        for line in text.lines() {
            if let Some((name, value)) = line.strip_prefix("CONFIG_").and_then(|l| l.split_once('=')) {
                config.options.insert(name.into(), value.trim().into());
            } else if let Some(rest) = line.strip_prefix("# Linux/")
                && let Some(head) = rest.strip_suffix(" Kernel Configuration")
                && let Some((_, version)) = head.split_once(' ')
            {
                config.version = version.into();
            }
        }
        (!config.options.is_empty()).then_some(config)
    }

    fn get(&self, option: &str) -> &str {
        self.options.get(option).map_or("n", String::as_str)
    }

    /// Why it cannot be the configuration of a kernel of that version (`uname -r`), if it cannot.
    pub(super) fn misfit(&self, release: &str) -> Option<String> {
        let of = |what: String| Some(format!("is of {what}, and this is Linux {release}"));
        if release.is_empty() {
            return None;
        }
        let rest = release.strip_prefix(&self.version);
        let Some(rest) =
            rest.filter(|r| self.version.is_empty() || !r.starts_with(|c: char| c == '.' || c.is_ascii_digit()))
        else {
            return of(format!("Linux {}", self.version));
        };
        let local = self.get("LOCALVERSION").trim_matches('"');
        if local != "n" && !rest.contains(local) {
            of(format!("a Linux whose version ends with {local}"))
        } else {
            None
        }
    }

    /// The first option by which two configurations differ, with both values.
    pub(super) fn difference(&self, other: &Self) -> Option<(String, String, String)> {
        let names = self.options.keys().chain(other.options.keys());
        let differs = |n: &&String| self.get(n) != other.get(n);
        names.into_iter().find(differs).map(|n| (n.clone(), self.get(n).into(), other.get(n).into()))
    }

    /// The needed options, as they are.
    pub(super) fn needed(&self) -> BTreeMap<String, String> {
        NEEDED.iter().map(|(name, _)| ((*name).to_string(), self.get(name).to_string())).collect()
    }
}

/// The needed options that are not there, in words; empty when all are.
pub(super) fn missing(found: &BTreeMap<String, String>) -> String {
    let lacks = |name: &str| found.get(name).is_none_or(|v| v != "y");
    let all: Vec<String> = NEEDED
        .iter()
        .filter(|(name, _)| lacks(name))
        .map(|(name, why)| match found.get(*name).map(String::as_str) {
            Some("m") => format!("CONFIG_{name}=y ({why}; it has it as a module, which nothing loads)"),
            _ => format!("CONFIG_{name}=y ({why})"),
        })
        .collect();
    let mut text = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > NAMED {
        text.push_str(&format!(" and {} more", all.len() - NAMED));
    }
    text
}
