//! From a container's spec and its image to what the guest is asked: pure functions.

use std::collections::BTreeMap;

use xenpod_api::spec::{ContainerSpec, PodSpec, Resources, Seccomp, VolumeKind};
use xenpod_protocol::message::{self, mount, root_fs, variable};

use super::volumes::{plain, variables};
use super::world::{ImageInfo, NetSettings, disk_name};
use crate::journal::LeaseRecord;
use crate::security::{capabilities, seccomp};

/// The signal that asks to end, unless the image names another.
pub const SIGTERM: u32 = 15;

/// What a container runs: Kubernetes' rule for `command` and `args` over the image's `Entrypoint` and `Cmd`.
#[must_use]
pub fn argv(spec: &ContainerSpec, image: &ImageInfo) -> Vec<String> {
    let (head, tail): (&[String], &[String]) = match (&spec.command, &spec.args) {
        (Some(command), args) => (command, args.as_deref().unwrap_or_default()),
        (None, Some(args)) => (&image.entrypoint, args),
        (None, None) => (&image.entrypoint, &image.cmd),
    };
    head.iter().chain(tail).cloned().collect()
}

/// The same for a container whose words are expanded in the guest: the image's are not.
fn late_argv(spec: &ContainerSpec, image: &ImageInfo) -> Vec<String> {
    let plain = |words: &[String]| words.iter().map(|w| plain(w)).collect();
    argv(spec, &ImageInfo { entrypoint: plain(&image.entrypoint), cmd: plain(&image.cmd), ..ImageInfo::default() })
}

/// Who it runs as, as `user[:group]`.
fn user(spec: &ContainerSpec, image: &ImageInfo) -> String {
    let security = &spec.security;
    let (name, group) = match image.user.split_once(':') {
        Some((name, group)) => (name, Some(group.to_owned())),
        None => (image.user.as_str(), None),
    };
    // Another user than the image's does not get the image's group.
    let (name, group) = match security.run_as_user {
        Some(uid) => (uid.to_string(), None),
        None => (name.to_owned(), group),
    };
    match (security.run_as_group.map(|g| g.to_string()).or(group), name.as_str()) {
        (None, _) => name,
        (Some(group), "") => format!("0:{group}"),
        (Some(group), _) => format!("{name}:{group}"),
    }
}

/// What cannot work is refused here, before anything is taken.
///
/// # Errors
/// What is wrong, to follow "container NAME: ".
pub fn check(spec: &ContainerSpec, image: &ImageInfo) -> Result<(), String> {
    if argv(spec, image).is_empty() {
        return Err(format!("neither the manifest nor image {} says what to run: set `command`", spec.image));
    }
    if spec.security.run_as_non_root {
        let user = user(spec, image);
        let name = user.split(':').next().unwrap_or_default();
        match name.parse::<u32>() {
            Ok(0) => return Err("runAsNonRoot is set and it would run as uid 0: set runAsUser".into()),
            Ok(_) => {}
            Err(_) if name.is_empty() => {
                return Err("runAsNonRoot is set and the image runs as root: set runAsUser".into());
            }
            Err(_) => {
                return Err(format!(
                    "runAsNonRoot is set and the image's user is a name, {name:?}, that may be root: set runAsUser"
                ));
            }
        }
    }
    capabilities(&spec.security).map(|_| ())
}

/// The image's environment, overlaid with the manifest's.
fn environment(spec: &ContainerSpec, image: &ImageInfo, hostname: &str, more: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        if values.insert(name.to_owned(), value.to_owned()).is_none() {
            names.push(name.to_owned());
        }
    };
    set("HOSTNAME", hostname);
    for pair in &image.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(name, value);
    }
    for (name, value) in &spec.env {
        set(name, value);
    }
    for pair in more {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(name, value);
    }
    names.into_iter().map(|name| format!("{name}={}", values.get(&name).map_or("", String::as_str))).collect()
}

fn process(pod: &PodSpec, spec: &ContainerSpec, image: &ImageInfo) -> message::Process {
    // `check` has refused what this could refuse.
    let caps = capabilities(&spec.security).unwrap_or(0);
    let late = !spec.late_env.is_empty();
    message::Process {
        argv: if late { late_argv(spec, image) } else { argv(spec, image) },
        variables: variables(pod, spec),
        expand_argv: late,
        env: environment(spec, image, &pod.hostname, &[]),
        cwd: spec.working_dir.clone().unwrap_or_else(|| image.working_dir.clone()),
        user: user(spec, image),
        additional_gids: spec.security.supplemental_groups.iter().copied().chain(pod.fs_group).collect(),
        tty: spec.tty.then_some(message::Tty { rows: 24, columns: 80 }),
        capabilities: Some(message::Capabilities {
            bounding: caps,
            effective: caps,
            permitted: caps,
            inheritable: 0,
            ambient: 0,
        }),
        no_new_privileges: !spec.security.allow_privilege_escalation,
        seccomp: match &spec.security.seccomp {
            Seccomp::RuntimeDefault => seccomp::runtime_default(caps),
            Seccomp::Unconfined => Vec::new(),
            // Made of what was compiled; should the record be damaged, the narrower one is better than none.
            Seccomp::Localhost { program, .. } => {
                seccomp::from_hex(program).filter(|p| !p.is_empty()).unwrap_or_else(|| seccomp::runtime_default(caps))
            }
        },
        rlimits: rlimits(pod),
        oom_score_adj: 0,
        umask: None,
    }
}

/// `RLIMIT_NOFILE` of `<asm-generic/resource.h>`.
const RLIMIT_NOFILE: u32 = 7;

/// What the manifest says, and for descriptors, when it says nothing, what systemd gives services: programs that close every
/// descriptor up to the limit stay fast.
fn rlimits(pod: &PodSpec) -> Vec<message::Rlimit> {
    let own = pod.ulimits.iter().map(|l| message::Rlimit { resource: l.resource, soft: l.soft, hard: l.hard });
    let mut all: Vec<_> = own.collect();
    if !all.iter().any(|l| l.resource == RLIMIT_NOFILE) {
        all.push(message::Rlimit { resource: RLIMIT_NOFILE, soft: 1024, hard: 524_288 });
    }
    all
}

/// Whether a sysctl is of an ipc namespace, of which each container has its own (ipc/ipc_sysctl.c, ipc/mq_sysctl.c).
fn of_ipc(name: &str) -> bool {
    let name = name.replace('/', ".");
    ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."].iter().any(|start| name.starts_with(start))
}

/// A further process in a container, as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// The command.
    pub command: Vec<String>,
    /// Give it a terminal of this many rows and columns.
    pub tty: Option<(u32, u32)>,
    /// Connect its standard input.
    pub stdin: bool,
    /// Added to the container's environment.
    pub env: Vec<String>,
    /// Replaces the container's working directory.
    pub cwd: Option<String>,
    /// Replaces the container's user.
    pub user: Option<String>,
}

/// The guest's form of it.
pub fn exec_process(pod: &PodSpec, spec: &ContainerSpec, image: &ImageInfo, exec: &ExecSpec) -> message::Process {
    let mut process = process(pod, spec, image);
    process.argv.clone_from(&exec.command);
    process.expand_argv = false;
    process.env = environment(spec, image, &pod.hostname, &exec.env);
    if !process.variables.is_empty() {
        // What is asked for now counts more than what the manifest says.
        process.variables.extend(exec.env.iter().map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            message::Variable { name: name.into(), value: Some(variable::Value::Text(plain(value))) }
        }));
    }
    process.tty = exec.tty.map(|(rows, columns)| message::Tty { rows, columns });
    if let Some(cwd) = &exec.cwd {
        process.cwd.clone_from(cwd);
    }
    if let Some(user) = &exec.user {
        process.user.clone_from(user);
    }
    process
}

/// The signal that asks a container of this image to end.
#[must_use]
pub fn stop_signal(image: &ImageInfo) -> u32 {
    xenpod_api::signal::parse(&image.stop_signal).unwrap_or(SIGTERM)
}

/// The guest's limits for a container.
pub(super) fn resources(resources: &Resources) -> message::Resources {
    const PERIOD_US: u64 = 100_000;
    message::Resources {
        memory_max: resources.memory_limit.unwrap_or(0),
        memory_low: resources.memory_request.unwrap_or(0),
        // The kernel's floor for a quota is 1 ms.
        cpu_quota_us: resources.cpu_limit_milli.map_or(0, |m| (m * PERIOD_US / 1000).max(1000)),
        cpu_period_us: PERIOD_US,
        cpu_weight: resources.cpu_request_milli.map_or(0, weight),
        pids_max: 0,
    }
}

/// `cpu.weight` of so many thousandths of a CPU, as Kubernetes computes it from the older shares (KEP-2254).
fn weight(milli: u64) -> u32 {
    let shares = (milli * 1024 / 1000).clamp(2, 262_144);
    u32::try_from(1 + (shares - 2) * 9999 / 262_142).unwrap_or(10_000)
}

/// What runc hides and write-protects in every container that is not privileged.
const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// What the guest is asked in order to make a container. `disk` is its image's.
pub fn create(
    pod: &PodSpec,
    spec: &ContainerSpec,
    image: &ImageInfo,
    (disk, scratch): (usize, Option<usize>),
    stdio: message::Stdio,
) -> message::CreateContainer {
    let upper = match scratch {
        Some(index) => root_fs::Upper::Scratch(message::ScratchDirectory {
            disk: disk_name(index),
            directory: format!("c-{}", spec.name),
        }),
        None => root_fs::Upper::Tmpfs(message::Tmpfs { size: 0, mode: 0o755 }),
    };
    let unmasked = spec.security.privileged || spec.security.unmasked_proc;
    message::CreateContainer {
        name: spec.name.clone(),
        id: format!("{}/{}", pod.name, spec.name),
        rootfs: Some(message::RootFs {
            image_disk: disk_name(disk),
            upper: Some(upper),
            read_only: spec.security.read_only_root,
        }),
        process: Some(process(pod, spec, image)),
        mounts: spec
            .mounts
            .iter()
            .map(|m| message::Mount {
                source: Some(mount::Source::Volume(m.volume.clone())),
                target: m.path.clone(),
                sub_path: m.sub_path.clone(),
                // Files that were given are the same for all.
                read_only: m.read_only
                    || pod.volumes.iter().any(|v| v.name == m.volume && matches!(v.kind, VolumeKind::Files { .. })),
            })
            .collect(),
        resources: Some(resources(&spec.resources)),
        masked_paths: if unmasked { Vec::new() } else { MASKED.map(String::from).into() },
        readonly_paths: if unmasked { Vec::new() } else { READ_ONLY.map(String::from).into() },
        stdio: Some(stdio),
        pod_etc_files: true,
        shm_size: 0,
        sysctls: pod.sysctls.clone().into_iter().filter(|(name, _)| of_ipc(name)).collect(),
        privileged: spec.security.privileged,
        devices: pod.devices.clone(),
        termination_path: spec.termination.path.clone(),
    }
}

/// Gives a container to be made another name in the guest.
pub fn rename(create: &mut message::CreateContainer, key: &str) {
    if create.name == key {
        return;
    }
    create.name = key.into();
    let upper = create.rootfs.as_mut().and_then(|r| r.upper.as_mut());
    if let Some(root_fs::Upper::Scratch(scratch)) = upper {
        scratch.directory = format!("c-{key}");
    }
}

/// The pod's own settings.
pub fn configure(
    pod: &PodSpec,
    lease: Option<&LeaseRecord>,
    net: &NetSettings,
    seed: Vec<u8>,
    wallclock_ns: u64,
) -> message::Configure {
    let mut hosts: Vec<String> = vec!["127.0.0.1 localhost".into(), "::1 localhost ip6-localhost ip6-loopback".into()];
    hosts.extend(net.addresses.iter().map(|(ip, _)| format!("{ip} {}", pod.hostname)));
    hosts.extend(pod.host_aliases.iter().map(|a| format!("{} {}", a.ip, a.hostnames.join(" "))));
    let dns = &pod.dns;
    let with = |ours: &[String], net: &[String]| -> Vec<String> {
        let mut all: Vec<String> = if dns.only_these { Vec::new() } else { net.to_vec() };
        all.extend(ours.iter().filter(|o| !all.contains(o)).cloned().collect::<Vec<_>>());
        all
    };
    let text = |ips: &[std::net::IpAddr]| ips.iter().map(ToString::to_string).collect::<Vec<_>>();
    message::Configure {
        seed,
        hostname: pod.hostname.clone(),
        hosts,
        resolv_conf: Some(message::ResolvConf {
            servers: with(&text(&dns.servers), &text(&net.servers)),
            searches: with(&dns.searches, &net.searches),
            options: with(&dns.options, &net.options),
        }),
        interfaces: lease.map(|l| interface(l, net)).into_iter().collect(),
        sysctls: pod.sysctls.clone().into_iter().filter(|(name, _)| !of_ipc(name)).collect(),
        wallclock_ns,
        share_process_namespace: pod.share_process_namespace,
    }
}

fn interface(lease: &LeaseRecord, net: &NetSettings) -> message::Interface {
    let bytes = |ip: &std::net::IpAddr| match ip {
        std::net::IpAddr::V4(a) => a.octets().to_vec(),
        std::net::IpAddr::V6(a) => a.octets().to_vec(),
    };
    message::Interface {
        mac: lease.mac.to_vec(),
        name: "eth0".into(),
        mtu: net.mtu,
        addresses: net
            .addresses
            .iter()
            .map(|(ip, prefix)| message::Address { ip: bytes(ip), prefix: (*prefix).into() })
            .collect(),
        routes: net
            .gateways
            .iter()
            .map(|gateway| {
                let gateway = bytes(gateway);
                message::Route { destination: vec![0; gateway.len()], prefix: 0, gateway, onlink: false }
            })
            .collect(),
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
