//! The pod itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use k8s_openapi::api::core::v1 as core;

use super::metadata::check_pod_name;
use super::{Report, container, is_label, kernel, label_text, metadata, placement, security, volumes};
use crate::manifest::fields;
use crate::quantity::{parse_milli, parse_units};
use crate::spec::{ContainerSpec, DnsSpec, HostAlias, Known, PodSpec, RestartPolicy, Role, Scratch, default_namespace};

/// The least memory of a domain, MiB: below it the guest kernel has no room to boot.
pub const MIN_MEMORY_MIB: u64 = 20;
/// The most, MiB: Xen gives a PVH domain up to 16 TiB; more is a slip of the pen.
pub const MAX_MEMORY_MIB: u64 = 16 << 20;
/// The memory of a pod that says nothing, MiB.
pub const DEFAULT_MEMORY_MIB: u64 = 128;
/// What the guest's kernel and `guest-init` take beside the containers' limits, MiB.
pub const OVERHEAD_MIB: u64 = 24;
/// The most vCPUs: HVM_MAX_VCPUS of Xen (xen/include/public/hvm/hvm_info_table.h).
pub const MAX_VCPUS: u64 = 128;
/// The most containers in a pod: each image and the scratch is a vbd, and `xvdz` is the last of the short names.
pub const MAX_CONTAINERS: usize = 64;
/// A scratch disk's bounds: room for an ext4 with a journal, and what a sparse file on ext4 can be.
const SCRATCH_BYTES: std::ops::RangeInclusive<u64> = 16 << 20..=8 << 40;

pub(super) fn convert(pod: &core::Pod, report: &mut Report<'_>) -> Option<PodSpec> {
    let Some(name) = pod.metadata.name.clone().filter(|n| !n.is_empty()) else {
        report.invalid("metadata.name", "is missing; give the pod a name");
        return None;
    };
    if let Err(why) = check_pod_name(&name) {
        report.invalid("metadata.name", why);
    }
    metadata::report(pod, report);
    let namespace = pod.metadata.namespace.clone().filter(|n| !n.is_empty()).unwrap_or_else(default_namespace);
    if !is_label(&namespace) {
        report.invalid("metadata.namespace", label_text(&namespace));
    }
    let Some(spec) = &pod.spec else {
        report.invalid("spec", "is missing; a pod has at least `spec: {containers: [...]}`");
        return None;
    };
    let containers = containers(spec, report);
    let annotations = pod.metadata.annotations.clone().unwrap_or_default();
    let volumes = volumes::convert(spec, &annotations, &containers, report);
    for key in annotations.keys().filter(|k| k.starts_with(fields::PREFIX)) {
        let known: Vec<&str> = fields::ANNOTATIONS.iter().map(|a| a.name).collect();
        if !known.contains(&key.as_str()) {
            let text = format!("there is no such annotation; those of xenpod are {}", known.join(", "));
            report.unsupported(format!("metadata.annotations.{key}"), text);
        }
    }
    placement::check(spec, report);
    security::of_pod(spec.security_context.as_ref(), report);
    security::old_annotations(&annotations, report);
    let (memory_mib, vcpus) = size(&annotations, &containers, report);
    let max_vcpus = max_vcpus(&annotations, vcpus, report);
    let given = spec.hostname.clone().filter(|h| !h.is_empty());
    let hostname = given.unwrap_or_else(|| name.chars().map(|c| if c == '.' { '-' } else { c }).collect());
    if !is_label(&hostname) {
        report.invalid("spec.hostname", label_text(&hostname));
    }
    Some(PodSpec {
        namespace,
        hostname,
        labels: pod.metadata.labels.clone().unwrap_or_default(),
        restart_policy: restart_policy(spec, report),
        grace_seconds: match spec.termination_grace_period_seconds.map(u32::try_from) {
            None => 30,
            Some(Ok(seconds)) if seconds <= 86_400 => seconds,
            Some(_) => {
                report.invalid("spec.terminationGracePeriodSeconds", "must be 0 to 86400");
                30
            }
        },
        share_process_namespace: spec.share_process_namespace.unwrap_or(false),
        host_aliases: host_aliases(spec, report),
        dns: dns(spec, report),
        sysctls: sysctls(spec, report),
        containers,
        volumes,
        fs_group: security::fs_group(spec.security_context.as_ref()),
        ulimits: annotations.get(security::ULIMITS).map(|t| security::ulimits(t, report)).unwrap_or_default(),
        devices: annotations.get(security::DEVICES).map(|t| security::devices(t, report)).unwrap_or_default(),
        known: Known::default(),
        memory_mib,
        vcpus,
        max_vcpus,
        ipv4: annotations.get("xenpod.org/ipv4").and_then(|text| match text.parse::<Ipv4Addr>() {
            Ok(ip) => Some(ip),
            Err(_) => {
                report.invalid("metadata.annotations.xenpod.org/ipv4", format!("{text:?} is not an IPv4 address"));
                None
            }
        }),
        mac: annotations.get("xenpod.org/mac").and_then(|text| mac(text, report)),
        scratch: scratch(&annotations, report),
        kernel: kernel::kernel(&annotations, report),
        kernel_args: kernel::args(&annotations, report),
        log_journald: match annotations.get("xenpod.org/log-journald").map(String::as_str) {
            None => None,
            Some("true") => Some(true),
            Some("false") => Some(false),
            Some(other) => {
                let text = format!("{other:?} is neither \"true\" nor \"false\"");
                report.invalid("metadata.annotations.xenpod.org/log-journald", text);
                None
            }
        },
        annotations,
        name,
    })
}

fn containers(spec: &core::PodSpec, report: &mut Report<'_>) -> Vec<ContainerSpec> {
    let count = spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len);
    if count > MAX_CONTAINERS {
        let text = format!("has {count} entries with those of initContainers; the limit is {MAX_CONTAINERS}");
        report.invalid("spec.containers", text);
        return Vec::new();
    }
    let security = spec.security_context.as_ref();
    let mut all: Vec<(String, ContainerSpec)> = Vec::new();
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    if spec.containers.is_empty() && !inits.is_empty() {
        report.invalid("spec.initContainers", "stands before no container: spec.containers is empty");
    }
    let inits = inits.iter().enumerate().map(|(i, c)| (format!("spec.initContainers[{i}]"), c, true));
    let apps = spec.containers.iter().enumerate().map(|(i, c)| (format!("spec.containers[{i}]"), c, false));
    for (path, c, init) in inits.chain(apps) {
        let mut converted = container::convert(c, &path, security, report);
        if init {
            converted.role = init_role(c, &path, report);
        } else if c.restart_policy.is_some() {
            report.unsupported(
                format!("{path}.restartPolicy"),
                "is not supported; remove it: only init containers have their own",
            );
        }
        if let Some((first, _)) = all.iter().find(|(_, o)| o.name == converted.name) {
            let text = format!("{:?} is already the name of {first}", converted.name);
            report.invalid(format!("{path}.name"), text);
        }
        all.push((path, converted));
    }
    all.into_iter().map(|(_, c)| c).collect()
}

/// Restarted always, it stays beside the others; else it runs before them, and has neither probes nor hooks.
fn init_role(c: &core::Container, path: &str, report: &mut Report<'_>) -> Role {
    match c.restart_policy.as_deref() {
        Some("Always") => return Role::Sidecar,
        None => {}
        Some(other) => report.invalid(format!("{path}.restartPolicy"), format!("{other:?} is not Always")),
    }
    let given = [
        ("startupProbe", c.startup_probe.is_some()),
        ("livenessProbe", c.liveness_probe.is_some()),
        ("readinessProbe", c.readiness_probe.is_some()),
        ("lifecycle", c.lifecycle.is_some()),
    ];
    for (key, _) in given.iter().filter(|(_, given)| *given) {
        let text = "is only for an init container with restartPolicy: Always; the others run to their end";
        report.invalid(format!("{path}.{key}"), text);
    }
    Role::Init
}

/// The domain's memory in MiB and its vCPUs: what the annotations say, else what the limits add up to.
fn size(annotations: &BTreeMap<String, String>, containers: &[ContainerSpec], report: &mut Report<'_>) -> (u64, u32) {
    let limits = most_at_once(containers, |c| c.resources.memory_limit);
    let at = "metadata.annotations.xenpod.org/memory";
    let memory = match annotations.get("xenpod.org/memory") {
        Some(text) => report.take(at, parse_units(text)).div_ceil(1 << 20),
        None if containers.is_empty() => DEFAULT_MEMORY_MIB,
        None => limits.map_or(DEFAULT_MEMORY_MIB, |sum| sum.div_ceil(1 << 20) + OVERHEAD_MIB),
    };
    if memory < MIN_MEMORY_MIB {
        report.invalid(at, format!("{memory} MiB is too little for a domain; give at least {MIN_MEMORY_MIB}Mi"));
    } else if memory > MAX_MEMORY_MIB {
        report.invalid(at, format!("{memory} MiB is more than a domain can have: {MAX_MEMORY_MIB} MiB"));
    }
    let sum = most_at_once(containers, |c| Some(c.resources.cpu_limit_milli.unwrap_or(0))).unwrap_or(0);
    let at = "metadata.annotations.xenpod.org/cpus";
    let vcpus = match annotations.get("xenpod.org/cpus") {
        Some(text) => {
            let milli = report.take(at, parse_milli(text));
            if milli == 0 || !milli.is_multiple_of(1000) {
                report.invalid(at, format!("{text:?} is not a whole number of vCPUs, 1 to {MAX_VCPUS}"));
            }
            milli / 1000
        }
        None => sum.div_ceil(1000).max(1),
    };
    if vcpus > MAX_VCPUS {
        report.invalid(at, format!("{vcpus} vCPUs are more than a domain can have: {MAX_VCPUS}"));
    }
    (memory, u32::try_from(vcpus).unwrap_or(1))
}

/// Room for more vCPUs than the domain starts with.
fn max_vcpus(annotations: &BTreeMap<String, String>, vcpus: u32, report: &mut Report<'_>) -> u32 {
    let at = "metadata.annotations.xenpod.org/max-cpus";
    let Some(text) = annotations.get("xenpod.org/max-cpus") else { return 0 };
    match text.parse::<u32>() {
        Ok(max) if max < vcpus => report.invalid(at, format!("{max} is less than the {vcpus} vCPUs it starts with")),
        Ok(max) if u64::from(max) <= MAX_VCPUS => return max,
        _ => report.invalid(at, format!("{text:?} is not a whole number of vCPUs, 1 to {MAX_VCPUS}")),
    }
    0
}

/// Whether a pod may be resized to that.
///
/// # Errors
/// Why not.
pub fn check_size(memory_mib: Option<u64>, vcpus: Option<u32>) -> Result<(), String> {
    if let Some(mib) = memory_mib.filter(|mib| !(MIN_MEMORY_MIB..=MAX_MEMORY_MIB).contains(mib)) {
        return Err(format!("{mib} MiB is no size of a domain: {MIN_MEMORY_MIB} to {MAX_MEMORY_MIB} MiB"));
    }
    match vcpus {
        Some(n) if n == 0 || u64::from(n) > MAX_VCPUS => Err(format!("a domain has 1 to {MAX_VCPUS} vCPUs, not {n}")),
        _ => Ok(()),
    }
}

/// The most that containers which run at the same time may take: the lasting ones together, or an init container with the sidecars
/// before it. `None` when one of them has no limit.
fn most_at_once(containers: &[ContainerSpec], of: impl Fn(&ContainerSpec) -> Option<u64>) -> Option<u64> {
    let (mut lasting, mut most) = (0, 0);
    for container in containers {
        match container.role {
            Role::Init => most = most.max(lasting + of(container)?),
            _ => lasting += of(container)?,
        }
    }
    Some(most.max(lasting))
}

fn restart_policy(spec: &core::PodSpec, report: &mut Report<'_>) -> RestartPolicy {
    match spec.restart_policy.as_deref() {
        None | Some("Always" | "") => RestartPolicy::Always,
        Some("OnFailure") => RestartPolicy::OnFailure,
        Some("Never") => RestartPolicy::Never,
        Some(other) => {
            report.invalid("spec.restartPolicy", format!("{other:?} is none of Always, OnFailure and Never"));
            RestartPolicy::Never
        }
    }
}

fn address(text: &str, path: &str, report: &mut Report<'_>) -> Option<IpAddr> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        report.invalid(path, format!("{text:?} is not an IP address"));
    }
    parsed
}

fn host_aliases(spec: &core::PodSpec, report: &mut Report<'_>) -> Vec<HostAlias> {
    let mut all = Vec::new();
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let at = format!("spec.hostAliases[{i}]");
        let hostnames = alias.hostnames.clone().unwrap_or_default();
        for (k, host) in hostnames.iter().enumerate() {
            if !host.split('.').all(is_label) {
                report.invalid(format!("{at}.hostnames[{k}]"), format!("{host:?} is not a host name"));
            }
        }
        if let Some(ip) = address(&alias.ip, &format!("{at}.ip"), report) {
            all.push(HostAlias { ip, hostnames });
        }
    }
    all
}

fn dns(spec: &core::PodSpec, report: &mut Report<'_>) -> DnsSpec {
    let only_these = match spec.dns_policy.as_deref() {
        None | Some("Default" | "ClusterFirst" | "ClusterFirstWithHostNet" | "") => false,
        Some("None") => true,
        Some(other) => {
            report.unsupported(
                "spec.dnsPolicy",
                format!("{other:?} is not supported; use Default, ClusterFirst or None"),
            );
            false
        }
    };
    let given = spec.dns_config.clone().unwrap_or_default();
    let mut servers = Vec::new();
    for (i, server) in given.nameservers.iter().flatten().enumerate() {
        servers.extend(address(server, &format!("spec.dnsConfig.nameservers[{i}]"), report));
    }
    if only_these && servers.is_empty() {
        report.invalid("spec.dnsPolicy", "is None, so spec.dnsConfig.nameservers must name a server");
    }
    let mut word = |text: &str, path: String| {
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            report.invalid(path, format!("{text:?} cannot stand in resolv.conf"));
        }
    };
    let searches = given.searches.unwrap_or_default();
    for (i, search) in searches.iter().enumerate() {
        word(search, format!("spec.dnsConfig.searches[{i}]"));
    }
    let mut options = Vec::new();
    for (i, option) in given.options.iter().flatten().enumerate() {
        let name = option.name.clone().unwrap_or_default();
        let text = option.value.as_ref().map_or(name.clone(), |v| format!("{name}:{v}"));
        word(&text, format!("spec.dnsConfig.options[{i}]"));
        options.push(text);
    }
    DnsSpec { only_these, servers, searches, options }
}

/// Any parameter may be set: the kernel is the pod's own.
fn sysctls(spec: &core::PodSpec, report: &mut Report<'_>) -> BTreeMap<String, String> {
    let given = spec.security_context.as_ref().and_then(|s| s.sysctls.as_ref());
    let mut all = BTreeMap::new();
    for (i, s) in given.into_iter().flatten().enumerate() {
        let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/');
        if s.name.is_empty() || !s.name.bytes().all(ok) || s.name.split(['.', '/']).any(str::is_empty) {
            report.invalid(format!("spec.securityContext.sysctls[{i}].name"), format!("{:?} is not a sysctl", s.name));
        }
        all.insert(s.name.clone(), s.value.clone());
    }
    all
}

fn mac(text: &str, report: &mut Report<'_>) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|p| if p.len() == 2 { u8::from_str_radix(p, 16).ok() } else { None }).collect();
    let mac: Option<[u8; 6]> = bytes.and_then(|b| b.try_into().ok());
    // Bit 0 of the first byte is the group bit (IEEE 802): a station's own address never has it.
    let mac = mac.filter(|m| m[0] & 1 == 0 && *m != [0; 6]);
    if mac.is_none() {
        report.invalid("metadata.annotations.xenpod.org/mac", format!("{text:?} is not the MAC address of a station"));
    }
    mac
}

fn scratch(annotations: &BTreeMap<String, String>, report: &mut Report<'_>) -> Scratch {
    let at = "metadata.annotations.xenpod.org/scratch";
    match annotations.get("xenpod.org/scratch").map(String::as_str) {
        None => Scratch::Default,
        Some("memory") => Scratch::Memory,
        Some(text) => match parse_units(text) {
            Ok(bytes) if SCRATCH_BYTES.contains(&bytes) => Scratch::Disk(bytes),
            Ok(bytes) => {
                report.invalid(at, format!("{bytes} bytes is out of bounds: 16Mi to 8Ti, or \"memory\""));
                Scratch::Default
            }
            Err(e) => {
                report.invalid(at, e.to_string());
                Scratch::Default
            }
        },
    }
}
