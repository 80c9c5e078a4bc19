//! Who a container runs as and what it may do: the container's word before the pod's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::Report;
use crate::capability;
use crate::manifest::fields;
use crate::spec::{Seccomp, SecuritySpec, Ulimit};

/// Its value is `NAME=SOFT[:HARD]`, several with commas.
pub(super) const ULIMITS: &str = "xenpod.org/ulimits";
/// Its value is paths below /dev, with commas.
pub(super) const DEVICES: &str = "xenpod.org/devices";

/// What is wrong with what the pod says for all its containers. Whether it is contradicted is judged where it is put together.
pub(super) fn of_pod(pod: Option<&core::PodSecurityContext>, report: &mut Report<'_>) {
    let Some(pod) = pod else { return };
    let at = "spec.securityContext";
    id(pod.run_as_user, &format!("{at}.runAsUser"), report);
    id(pod.run_as_group, &format!("{at}.runAsGroup"), report);
    id(pod.fs_group, &format!("{at}.fsGroup"), report);
    for (i, group) in pod.supplemental_groups.iter().flatten().enumerate() {
        id(Some(*group), &format!("{at}.supplementalGroups[{i}]"), report);
    }
    app_armor(pod.app_armor_profile.as_ref(), at, report);
}

fn is_id(value: i64) -> Option<u32> {
    u32::try_from(value).ok().filter(|id| *id != u32::MAX)
}

/// A uid or gid that is given.
fn id(value: Option<i64>, at: &str, report: &mut Report<'_>) -> Option<u32> {
    let value = value?;
    let id = is_id(value);
    if id.is_none() {
        report.invalid(at, format!("{value} is not an id: 0 to 4294967294"));
    }
    id
}

/// The group that volumes belong to.
pub(super) fn fs_group(pod: Option<&core::PodSecurityContext>) -> Option<u32> {
    is_id(pod?.fs_group?)
}

/// The settings of pod and container, the container's before the pod's.
pub(super) fn convert(
    c: &core::Container,
    path: &str,
    pod: Option<&core::PodSecurityContext>,
    report: &mut Report<'_>,
) -> SecuritySpec {
    let own = c.security_context.as_ref();
    let at = format!("{path}.securityContext");
    let (own_user, own_group) = (own.and_then(|s| s.run_as_user), own.and_then(|s| s.run_as_group));
    let of_pod = |value: Option<i64>| value.and_then(is_id);
    let run_as_user = match own_user {
        Some(_) => id(own_user, &format!("{at}.runAsUser"), report),
        None => of_pod(pod.and_then(|s| s.run_as_user)),
    };
    let run_as_group = match own_group {
        Some(_) => id(own_group, &format!("{at}.runAsGroup"), report),
        None => of_pod(pod.and_then(|s| s.run_as_group)),
    };
    let supplemental_groups =
        pod.and_then(|s| s.supplemental_groups.as_ref()).into_iter().flatten().filter_map(|g| is_id(*g)).collect();
    let own_non_root = own.and_then(|s| s.run_as_non_root);
    let run_as_non_root = own_non_root.or(pod.and_then(|s| s.run_as_non_root)).unwrap_or(false);
    if run_as_non_root && run_as_user == Some(0) {
        match (own_non_root, own_user) {
            (Some(_), Some(_)) => report.invalid(format!("{at}.runAsNonRoot"), "is true while runAsUser is 0"),
            (Some(_), None) => report.invalid(format!("{at}.runAsNonRoot"), "is true while the pod's runAsUser is 0"),
            (None, Some(_)) => report.invalid(format!("{at}.runAsUser"), "is 0 while the pod's runAsNonRoot is true"),
            (None, None) => {
                report.invalid("spec.securityContext.runAsNonRoot", "is true while runAsUser is 0");
            }
        }
    }
    let add_capabilities = names(c, &at, "add", report);
    let drop_capabilities = names(c, &at, "drop", report);
    app_armor(own.and_then(|s| s.app_armor_profile.as_ref()), &at, report);
    let privileged = own.and_then(|s| s.privileged).unwrap_or(false);
    let allow_privilege_escalation = own.and_then(|s| s.allow_privilege_escalation).unwrap_or(true);
    // As Kubernetes has it: neither makes sense with the other.
    if !allow_privilege_escalation && (privileged || add_capabilities.iter().any(|n| n == "SYS_ADMIN" || n == "ALL")) {
        let what = if privileged { "privileged is true" } else { "SYS_ADMIN is added" };
        report.invalid(format!("{at}.allowPrivilegeEscalation"), format!("cannot be false while {what}"));
    }
    SecuritySpec {
        run_as_user,
        run_as_group,
        run_as_non_root,
        supplemental_groups,
        add_capabilities,
        drop_capabilities,
        read_only_root: own.and_then(|s| s.read_only_root_filesystem).unwrap_or(false),
        allow_privilege_escalation,
        seccomp: seccomp(c, &at, pod, privileged, report),
        privileged,
        unmasked_proc: match own.and_then(|s| s.proc_mount.as_deref()) {
            None | Some("Default") => false,
            Some("Unmasked") => true,
            Some(other) => {
                report.invalid(format!("{at}.procMount"), format!("{other:?} is neither Default nor Unmasked"));
                false
            }
        },
    }
}

fn names(c: &core::Container, at: &str, key: &str, report: &mut Report<'_>) -> Vec<String> {
    let capabilities = c.security_context.as_ref().and_then(|s| s.capabilities.as_ref());
    let list = capabilities.and_then(|c| if key == "add" { c.add.as_ref() } else { c.drop.as_ref() });
    let list = list.map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> = list.iter().map(|n| n.trim_start_matches("CAP_").to_string()).collect();
    for (i, name) in names.iter().enumerate() {
        if name != "ALL" && !capability::NAMES.contains(&name.as_str()) {
            report.invalid(format!("{at}.capabilities.{key}[{i}]"), format!("{name:?} is not a capability of Linux"));
        }
    }
    names
}

fn seccomp(
    c: &core::Container,
    at: &str,
    pod: Option<&core::PodSecurityContext>,
    privileged: bool,
    report: &mut Report<'_>,
) -> Seccomp {
    let own = c.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref());
    let (profile, at) = match own {
        Some(p) => (Some(p), format!("{at}.seccompProfile")),
        None => (pod.and_then(|s| s.seccomp_profile.as_ref()), "spec.securityContext.seccompProfile".into()),
    };
    let named = profile.and_then(|p| p.localhost_profile.as_deref());
    let kind = profile.map(|p| p.type_.as_str());
    if named.is_some() && kind != Some("Localhost") {
        report.invalid(format!("{at}.localhostProfile"), "is only for type: Localhost");
    }
    let filter = match kind {
        None | Some("RuntimeDefault") => Seccomp::RuntimeDefault,
        Some("Unconfined") => Seccomp::Unconfined,
        Some("Localhost") => {
            let name = named.unwrap_or_default();
            let inside = name.split('/').all(|p| !matches!(p, "" | "." | "..")) && !name.contains('\0');
            if !inside {
                let text = format!("{name:?} is not the path of a profile below the folder of profiles");
                report.invalid(format!("{at}.localhostProfile"), text);
            }
            Seccomp::Localhost { profile: name.into(), program: String::new() }
        }
        Some(other) => {
            let text = format!("{other:?} is none of RuntimeDefault, Unconfined and Localhost");
            report.invalid(format!("{at}.type"), text);
            Seccomp::RuntimeDefault
        }
    };
    if !privileged {
        return filter;
    }
    // The pod's profile is for the others, as in Kubernetes; one of its own would be a contradiction.
    if own.is_some() && filter != Seccomp::Unconfined {
        report.invalid(format!("{at}.type"), "can only be Unconfined while privileged is true");
    }
    Seccomp::Unconfined
}

/// There is no AppArmor, which is what `Unconfined` asks for.
pub(super) fn app_armor(profile: Option<&core::AppArmorProfile>, at: &str, report: &mut Report<'_>) {
    if profile.is_some_and(|p| !matches!(p.type_.as_str(), "" | "Unconfined")) {
        report.unsupported(format!("{at}.appArmorProfile"), format!("is not supported; remove it: {}", fields::MAC));
    }
}

/// What Kubernetes once read from annotations. They are refused by name, except for values that ask for what is so anyway.
pub(super) fn old_annotations(annotations: &BTreeMap<String, String>, report: &mut Report<'_>) {
    for (key, value) in annotations.iter().filter(|(_, value)| !value.is_empty()) {
        let text = if key.starts_with("container.apparmor.security.beta.kubernetes.io/") {
            if value == "unconfined" {
                continue;
            }
            format!("{value:?} is not supported; remove it: {}", fields::MAC)
        } else if ["seccomp.security.alpha.kubernetes.io/", "container.seccomp.security.alpha.kubernetes.io/"]
            .iter()
            .any(|of| key.starts_with(of))
        {
            if value == "runtime/default" {
                continue;
            }
            format!(
                "{value:?} is not supported; say it in securityContext.seccompProfile: nothing reads the annotation"
            )
        } else {
            continue;
        };
        report.unsupported(format!("metadata.annotations.{key}"), text);
    }
}

/// The limits that the annotation asks for.
pub(super) fn ulimits(text: &str, report: &mut Report<'_>) -> Vec<Ulimit> {
    let mut all: Vec<Ulimit> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        match ulimit(part) {
            Ok(limit) if all.iter().any(|l| l.resource == limit.resource) => {
                report.invalid(
                    format!("metadata.annotations.{ULIMITS}"),
                    format!("{part:?} is a second limit of its kind"),
                );
            }
            Ok(limit) => all.push(limit),
            Err(why) => report.invalid(format!("metadata.annotations.{ULIMITS}"), format!("{part:?} {why}")),
        }
    }
    all
}

/// The names that `ulimit` options of container engines have, with the numbers of <asm-generic/resource.h>.
const LIMITS: [(&str, u32); 16] = [
    ("cpu", 0),
    ("fsize", 1),
    ("data", 2),
    ("stack", 3),
    ("core", 4),
    ("rss", 5),
    ("nproc", 6),
    ("nofile", 7),
    ("memlock", 8),
    ("as", 9),
    ("locks", 10),
    ("sigpending", 11),
    ("msgqueue", 12),
    ("nice", 13),
    ("rtprio", 14),
    ("rttime", 15),
];

fn ulimit(part: &str) -> Result<Ulimit, String> {
    let (name, values) = part.split_once('=').ok_or("is not NAME=SOFT[:HARD]")?;
    let resource = LIMITS.iter().find(|(n, _)| *n == name).map(|(_, number)| *number);
    let resource = resource.ok_or_else(|| {
        let known: Vec<&str> = LIMITS.iter().map(|(n, _)| *n).collect();
        format!("is of no limit that there is: {}", known.join(", "))
    })?;
    let value = |text: &str| match text {
        "-1" | "unlimited" => Some(u64::MAX),
        text => text.parse::<u64>().ok(),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    match (value(soft), value(hard)) {
        (Some(soft), Some(hard)) if soft <= hard => Ok(Ulimit { resource, soft, hard }),
        (Some(_), Some(_)) => Err("has a soft limit above the hard one".into()),
        _ => Err("has a value that is no number, -1 or unlimited".into()),
    }
}

/// The devices that the annotation asks for.
pub(super) fn devices(text: &str, report: &mut Report<'_>) -> Vec<String> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let below = part.strip_prefix("/dev/");
        if below.is_none_or(|rest| rest.split('/').any(|p| matches!(p, "" | "." | ".."))) || part.contains('\0') {
            report.invalid(format!("metadata.annotations.{DEVICES}"), format!("{part:?} is not a path below /dev"));
        } else if !all.iter().any(|d| d == part) {
            all.push(part.to_owned());
        }
    }
    all
}
