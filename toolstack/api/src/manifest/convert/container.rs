//! One container.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use xenpod_protocol::expand;

use super::{Report, health, is_label, label_text};
use crate::quantity::{QuantityError, parse_milli, parse_units};
use crate::spec::{ContainerSpec, PortSpec, PullPolicy, Resources, Role, Termination};

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
        None | Some("IfNotPresent" | "") => PullPolicy::IfNotPresent,
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some(other) => {
            let text = format!("{other:?} is none of Always, IfNotPresent and Never");
            report.invalid(format!("{path}.imagePullPolicy"), text);
            PullPolicy::IfNotPresent
        }
    };
    let (env, late_env) = super::env::convert(c, path, report);
    let words = |list: &Option<Vec<String>>, key: &str, report: &mut Report<'_>| {
        let list = list.as_ref().filter(|l| !l.is_empty())?;
        // What only the guest knows is expanded there.
        let late = !late_env.is_empty();
        let expanded: Vec<String> = list.iter().map(|w| if late { w.clone() } else { expand(w, &env) }).collect();
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
    let termination = termination(c, path, report);
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
        security: super::security::convert(c, path, pod, report),
        resources: resources(c, path, report),
        mounts: super::volumes::mounts(c, path, report),
        probes: health::probes(c, path, &ports, report),
        lifecycle: health::lifecycle(c, path, &ports, report),
        ports,
        role: Role::App,
        restart_policy: None,
        env,
        late_env,
        termination,
    }
}

fn termination(c: &core::Container, path: &str, report: &mut Report<'_>) -> Termination {
    let mut termination = Termination::default();
    if let Some(file) = c.termination_message_path.as_deref().filter(|p| !p.is_empty()) {
        if !file.starts_with('/')
            || file.ends_with('/')
            || file.contains('\0')
            || file.split('/').any(|part| part == "..")
        {
            report.invalid(
                format!("{path}.terminationMessagePath"),
                format!("{file:?} is not the absolute path of a file"),
            );
        }
        termination.path = file.into();
    }
    match c.termination_message_policy.as_deref() {
        None | Some("File" | "") => {}
        Some("FallbackToLogsOnError") => termination.from_log = true,
        Some(other) => {
            let text = format!("{other:?} is none of File and FallbackToLogsOnError");
            report.invalid(format!("{path}.terminationMessagePolicy"), text);
        }
    }
    termination
}

/// Notes what cannot be an argument or a variable.
pub(super) fn string(path: &str, text: &str, report: &mut Report<'_>) {
    if text.contains('\0') {
        report.invalid(path, "holds a NUL character");
    } else if text.len() >= MAX_STRING {
        report.invalid(path, format!("is {} bytes long; Linux takes {} at most", text.len(), MAX_STRING - 1));
    }
}

/// Whether these can be a container's limits.
///
/// # Errors
/// Why not.
pub fn check_limits(resources: &Resources) -> Result<(), String> {
    let Resources { memory_limit, memory_request, cpu_limit_milli, cpu_request_milli } = *resources;
    let over = |value: Option<u64>, limit: Option<u64>| value.zip(limit).is_some_and(|(v, l)| v > l);
    if memory_limit.max(memory_request).is_some_and(|m| m > MAX_MEMORY_LIMIT) {
        return Err("more memory than any machine has".into());
    }
    if cpu_limit_milli.max(cpu_request_milli).is_some_and(|m| m > MAX_CPU_MILLI) {
        return Err("more CPUs than any machine has".into());
    }
    if let Some(few) = memory_limit.filter(|m| *m < MIN_MEMORY_LIMIT) {
        return Err(format!("{few} bytes of memory are too few for a process; give at least {MIN_MEMORY_LIMIT}"));
    }
    if over(memory_request, memory_limit) {
        return Err("the memory it requests is more than its limit".into());
    }
    if over(cpu_request_milli, cpu_limit_milli) {
        return Err("the CPU it requests is more than its limit".into());
    }
    Ok(())
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

fn ports(c: &core::Container, path: &str, report: &mut Report<'_>) -> Vec<PortSpec> {
    let mut ports = Vec::new();
    let given = c.ports.as_deref().unwrap_or_default();
    for (i, p) in given.iter().enumerate() {
        let at = format!("{path}.ports[{i}]");
        let name = p.name.clone().filter(|n| !n.is_empty());
        if let Some(first) = given[..i].iter().position(|o| name.is_some() && o.name == name) {
            let text = format!("{:?} is already the name of ports[{first}]", name.as_deref().unwrap_or_default());
            report.invalid(format!("{at}.name"), text);
        }
        let protocol = p.protocol.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "TCP".into());
        if !["TCP", "UDP", "SCTP"].contains(&protocol.as_str()) {
            report.invalid(format!("{at}.protocol"), format!("{protocol:?} is none of TCP, UDP and SCTP"));
        }
        match u16::try_from(p.container_port) {
            Ok(port) if port > 0 => ports.push(PortSpec { name, port, protocol }),
            _ => report.invalid(format!("{at}.containerPort"), format!("{} is not a port", p.container_port)),
        }
    }
    ports
}
