//! One container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::expand::expand;
use super::{Report, health, is_label, label_text};
use crate::quantity::{QuantityError, parse_milli, parse_units};
use crate::spec::{ContainerSpec, MountSpec, PortSpec, PullPolicy, Resources, Role, Seccomp, SecuritySpec};

/// The smallest limit a container is given: less, and it cannot even be started.
const MIN_MEMORY_LIMIT: u64 = 1 << 20;
/// The largest: more than any machine has.
const MAX_MEMORY_LIMIT: u64 = 64 << 40;
/// The most CPUs, in thousandths: Xen's HVM_MAX_VCPUS is 128.
const MAX_CPU_MILLI: u64 = 128_000;
/// What Linux takes as one argument or variable (`MAX_ARG_STRLEN`, include/uapi/linux/binfmts.h): 32 pages.
const MAX_STRING: usize = 128 << 10;

/// Converts the container at `path`; `pod` is the pod's own security context.
pub(super) fn convert(
    c: &core::Container,
    path: &str,
    pod: Option<&core::PodSecurityContext>,
    report: &mut Report<'_>,
) -> ContainerSpec {
    if !is_label(&c.name) {
        report.invalid(format!("{path}.name"), label_text(&c.name));
    }
    let image = c.image.clone().unwrap_or_default();
    if image.trim().is_empty() {
        report.invalid(format!("{path}.image"), "is missing; name an image");
    }
    let pull_policy = match c.image_pull_policy.as_deref() {
        None | Some("IfNotPresent") => PullPolicy::IfNotPresent,
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some(other) => {
            let text = format!("{other:?} is none of Always, IfNotPresent and Never");
            report.invalid(format!("{path}.imagePullPolicy"), text);
            PullPolicy::IfNotPresent
        }
    };
    let env = environment(c, path, report);
    let words = |list: &Option<Vec<String>>, key: &str, report: &mut Report<'_>| {
        let list = list.as_ref().filter(|l| !l.is_empty())?;
        let expanded: Vec<String> = list.iter().map(|w| expand(w, &env)).collect();
        for (i, word) in expanded.iter().enumerate() {
            string(&format!("{path}.{key}[{i}]"), word, report);
        }
        Some(expanded)
    };
    let command = words(&c.command, "command", report);
    let args = words(&c.args, "args", report);
    let working_dir = c.working_dir.clone().filter(|d| !d.is_empty());
    if let Some(dir) = working_dir.as_ref().filter(|d| !d.starts_with('/')) {
        report.invalid(format!("{path}.workingDir"), format!("{dir:?} is not an absolute path"));
    }
    if c.stdin_once == Some(true) && c.stdin != Some(true) {
        report.invalid(format!("{path}.stdinOnce"), "is true without `stdin: true`: there is nothing to close");
    }
    let ports = ports(c, path, report);
    ContainerSpec {
        name: c.name.clone(),
        image,
        pull_policy,
        command,
        args,
        working_dir,
        tty: c.tty.unwrap_or(false),
        stdin: c.stdin.unwrap_or(false),
        stdin_once: c.stdin_once.unwrap_or(false),
        security: security(c, path, pod, report),
        resources: resources(c, path, report),
        mounts: mounts(c, path, report),
        probes: health::probes(c, path, &ports, report),
        lifecycle: health::lifecycle(c, path, &ports, report),
        ports,
        role: Role::App,
        restart_policy: None,
        env,
    }
}

pub(super) fn string(path: &str, text: &str, report: &mut Report<'_>) {
    if text.contains('\0') {
        report.invalid(path, "holds a NUL character");
    } else if text.len() >= MAX_STRING {
        report.invalid(path, format!("is {} bytes long; Linux takes {} at most", text.len(), MAX_STRING - 1));
    }
}

fn environment(c: &core::Container, path: &str, report: &mut Report<'_>) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    for (i, var) in c.env.iter().flatten().enumerate() {
        let at = format!("{path}.env[{i}]");
        if var.name.is_empty() || var.name.contains(['=', '\0']) {
            report.invalid(format!("{at}.name"), format!("{:?} is not a name of an environment variable", var.name));
        }
        let value = expand(var.value.as_deref().unwrap_or_default(), &env);
        string(&format!("{at}.value"), &value, report);
        env.push((var.name.clone(), value));
    }
    env
}

/// The group settings of pod and container, the container's before the pod's.
fn security(
    c: &core::Container,
    path: &str,
    pod: Option<&core::PodSecurityContext>,
    report: &mut Report<'_>,
) -> SecuritySpec {
    let own = c.security_context.as_ref();
    let at = format!("{path}.securityContext");
    let mut id = |value: Option<i64>, key: &str| {
        value.and_then(|v| match u32::try_from(v) {
            Ok(id) if id != u32::MAX => Some(id),
            _ => {
                report.invalid(format!("{at}.{key}"), format!("{v} is not an id: 0 to 4294967294"));
                None
            }
        })
    };
    let run_as_user = id(own.and_then(|s| s.run_as_user).or(pod.and_then(|s| s.run_as_user)), "runAsUser");
    let run_as_group = id(own.and_then(|s| s.run_as_group).or(pod.and_then(|s| s.run_as_group)), "runAsGroup");
    let groups: Vec<i64> = pod.and_then(|s| s.supplemental_groups.clone()).unwrap_or_default();
    let supplemental_groups = groups.into_iter().filter_map(|g| id(Some(g), "supplementalGroups")).collect();
    let run_as_non_root = own.and_then(|s| s.run_as_non_root).or(pod.and_then(|s| s.run_as_non_root)).unwrap_or(false);
    if run_as_non_root && run_as_user == Some(0) {
        report.invalid(format!("{at}.runAsNonRoot"), "is true while runAsUser is 0");
    }
    let capabilities = own.and_then(|s| s.capabilities.as_ref());
    let names = |list: Option<&Vec<String>>, key: &str, report: &mut Report<'_>| -> Vec<String> {
        let list = list.map(Vec::as_slice).unwrap_or_default();
        let names: Vec<String> = list.iter().map(|n| n.trim_start_matches("CAP_").to_string()).collect();
        for (i, name) in names.iter().enumerate() {
            if name != "ALL" && !CAPABILITIES.contains(&name.as_str()) {
                report
                    .invalid(format!("{at}.capabilities.{key}[{i}]"), format!("{name:?} is not a capability of Linux"));
            }
        }
        names
    };
    let add_capabilities = names(capabilities.and_then(|c| c.add.as_ref()), "add", report);
    let drop_capabilities = names(capabilities.and_then(|c| c.drop.as_ref()), "drop", report);
    let (profile, profile_at) = match own.and_then(|s| s.seccomp_profile.as_ref()) {
        Some(p) => (Some(p), format!("{at}.seccompProfile.type")),
        None => (pod.and_then(|s| s.seccomp_profile.as_ref()), "spec.securityContext.seccompProfile.type".into()),
    };
    let seccomp = match profile.map(|p| p.type_.as_str()) {
        None | Some("RuntimeDefault") => Seccomp::RuntimeDefault,
        Some("Unconfined") => Seccomp::Unconfined,
        Some("Localhost") => {
            report.unsupported(profile_at, "Localhost is not supported; use RuntimeDefault or Unconfined");
            Seccomp::RuntimeDefault
        }
        Some(other) => {
            report.invalid(profile_at, format!("{other:?} is neither RuntimeDefault nor Unconfined"));
            Seccomp::RuntimeDefault
        }
    };
    SecuritySpec {
        run_as_user,
        run_as_group,
        run_as_non_root,
        supplemental_groups,
        add_capabilities,
        drop_capabilities,
        read_only_root: own.and_then(|s| s.read_only_root_filesystem).unwrap_or(false),
        allow_privilege_escalation: own.and_then(|s| s.allow_privilege_escalation).unwrap_or(true),
        seccomp,
    }
}

fn resources(c: &core::Container, path: &str, report: &mut Report<'_>) -> Resources {
    let Some(given) = &c.resources else { return Resources::default() };
    type List = Option<BTreeMap<String, Quantity>>;
    let mut get = |list: &List, kind: &str, key: &str, parse: fn(&str) -> Result<u64, QuantityError>, max: u64| {
        let text = &list.as_ref()?.get(key)?.0;
        let at = format!("{path}.resources.{kind}.{key}");
        match parse(text) {
            Ok(value) if value > max => {
                report.invalid(at, format!("{text} is more than any machine has"));
                None
            }
            Ok(value) => Some(value),
            Err(e) => {
                report.invalid(at, e.to_string());
                None
            }
        }
    };
    let resources = Resources {
        memory_limit: get(&given.limits, "limits", "memory", parse_units, MAX_MEMORY_LIMIT).filter(|v| *v > 0),
        memory_request: get(&given.requests, "requests", "memory", parse_units, MAX_MEMORY_LIMIT),
        cpu_limit_milli: get(&given.limits, "limits", "cpu", parse_milli, MAX_CPU_MILLI).filter(|v| *v > 0),
        cpu_request_milli: get(&given.requests, "requests", "cpu", parse_milli, MAX_CPU_MILLI),
    };
    if let Some(limit) = resources.memory_limit {
        let at = format!("{path}.resources.limits.memory");
        if limit < MIN_MEMORY_LIMIT {
            report.invalid(at, format!("{limit} bytes are too few to start a process in; give at least 1Mi"));
        } else if resources.memory_request.is_some_and(|r| r > limit) {
            report.invalid(format!("{path}.resources.requests.memory"), "is more than the limit");
        }
    }
    if resources.cpu_limit_milli.is_some_and(|limit| resources.cpu_request_milli.is_some_and(|r| r > limit)) {
        report.invalid(format!("{path}.resources.requests.cpu"), "is more than the limit");
    }
    resources
}

fn mounts(c: &core::Container, path: &str, report: &mut Report<'_>) -> Vec<MountSpec> {
    let mut mounts: Vec<MountSpec> = Vec::new();
    for (i, m) in c.volume_mounts.iter().flatten().enumerate() {
        let at = format!("{path}.volumeMounts[{i}].mountPath");
        if !m.mount_path.starts_with('/') || m.mount_path.split('/').any(|p| p == "..") || m.mount_path == "/" {
            report.invalid(at, format!("{:?} must be an absolute path below / without \"..\"", m.mount_path));
        } else if mounts.iter().any(|o| o.path == m.mount_path) {
            report.invalid(at, format!("{:?} is mounted twice", m.mount_path));
        }
        mounts.push(MountSpec {
            volume: m.name.clone(),
            path: m.mount_path.clone(),
            read_only: m.read_only.unwrap_or(false),
        });
    }
    mounts
}

fn ports(c: &core::Container, path: &str, report: &mut Report<'_>) -> Vec<PortSpec> {
    let mut ports = Vec::new();
    for (i, p) in c.ports.iter().flatten().enumerate() {
        let at = format!("{path}.ports[{i}]");
        let protocol = p.protocol.clone().unwrap_or_else(|| "TCP".into());
        if !["TCP", "UDP", "SCTP"].contains(&protocol.as_str()) {
            report.invalid(format!("{at}.protocol"), format!("{protocol:?} is none of TCP, UDP and SCTP"));
        }
        match u16::try_from(p.container_port) {
            Ok(port) if port > 0 => ports.push(PortSpec { name: p.name.clone(), port, protocol }),
            _ => report.invalid(format!("{at}.containerPort"), format!("{} is not a port", p.container_port)),
        }
    }
    ports
}

/// The capabilities of Linux (include/uapi/linux/capability.h), without `CAP_`, in the order of their numbers.
pub const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];
