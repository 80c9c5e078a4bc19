//! Which fields of a Pod xenpod acts on. What stands in a manifest and not in this table is refused by name.
//!
//! A field that is null, or an empty list or mapping, asks for nothing and is let through.

use serde_yaml::Value;

use super::{Problem, ProblemKind};

/// What the table says of a field.
enum Field {
    /// Everything below is looked at elsewhere.
    Any,
    /// Only this value, which asks for nothing beyond what is done anyway.
    Only(&'static str),
}

use Field::{Any, Only};

/// Fields, list elements as `[]`. What stands for `containers` holds for `initContainers`, what stands for the liveness probe for the
/// other two, what stands for `preStop` for `postStart`. A field whose children stand here is supported as far as they are.
const SUPPORTED: &[(&str, Field)] = &[
    ("apiVersion", Any),
    ("kind", Any),
    ("metadata.name", Any),
    ("metadata.namespace", Only("default")),
    ("metadata.labels", Any),
    ("metadata.annotations", Any),
    ("spec.hostname", Any),
    ("spec.restartPolicy", Any),
    ("spec.terminationGracePeriodSeconds", Any),
    ("spec.shareProcessNamespace", Any),
    ("spec.hostAliases[].ip", Any),
    ("spec.hostAliases[].hostnames", Any),
    ("spec.dnsPolicy", Any),
    ("spec.dnsConfig.nameservers", Any),
    ("spec.dnsConfig.searches", Any),
    ("spec.dnsConfig.options[].name", Any),
    ("spec.dnsConfig.options[].value", Any),
    ("spec.automountServiceAccountToken", Only("false")),
    ("spec.enableServiceLinks", Only("false")),
    ("spec.hostNetwork", Only("false")),
    ("spec.hostPID", Only("false")),
    ("spec.hostIPC", Only("false")),
    ("spec.securityContext.runAsUser", Any),
    ("spec.securityContext.runAsGroup", Any),
    ("spec.securityContext.runAsNonRoot", Any),
    ("spec.securityContext.supplementalGroups", Any),
    ("spec.securityContext.seccompProfile", Any),
    ("spec.securityContext.sysctls[].name", Any),
    ("spec.securityContext.sysctls[].value", Any),
    ("spec.securityContext.fsGroup", Any),
    // There is nothing in a fresh volume that would need to be changed.
    ("spec.securityContext.fsGroupChangePolicy", Any),
    ("spec.securityContext.supplementalGroupsPolicy", Only("Merge")),
    ("spec.volumes[].name", Any),
    ("spec.volumes[].emptyDir", Any),
    ("spec.volumes[].configMap", Any),
    ("spec.volumes[].secret", Any),
    ("spec.volumes[].downwardAPI.defaultMode", Any),
    ("spec.volumes[].downwardAPI.items[].path", Any),
    ("spec.volumes[].downwardAPI.items[].mode", Any),
    ("spec.volumes[].downwardAPI.items[].fieldRef", Any),
    ("spec.volumes[].projected.defaultMode", Any),
    ("spec.volumes[].projected.sources[].configMap", Any),
    ("spec.volumes[].projected.sources[].secret", Any),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].path", Any),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].mode", Any),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef", Any),
    ("spec.containers[].name", Any),
    ("spec.containers[].image", Any),
    ("spec.containers[].imagePullPolicy", Any),
    ("spec.containers[].command", Any),
    ("spec.containers[].args", Any),
    ("spec.containers[].workingDir", Any),
    ("spec.containers[].env[].name", Any),
    ("spec.containers[].env[].value", Any),
    ("spec.containers[].env[].valueFrom.configMapKeyRef", Any),
    ("spec.containers[].env[].valueFrom.secretKeyRef", Any),
    ("spec.containers[].env[].valueFrom.fieldRef", Any),
    ("spec.containers[].envFrom[].prefix", Any),
    ("spec.containers[].envFrom[].configMapRef", Any),
    ("spec.containers[].envFrom[].secretRef", Any),
    ("spec.containers[].tty", Any),
    ("spec.containers[].stdin", Any),
    ("spec.containers[].stdinOnce", Any),
    ("spec.containers[].ports[].name", Any),
    ("spec.containers[].ports[].containerPort", Any),
    ("spec.containers[].ports[].protocol", Any),
    ("spec.containers[].resources.limits.cpu", Any),
    ("spec.containers[].resources.limits.memory", Any),
    ("spec.containers[].resources.requests.cpu", Any),
    ("spec.containers[].resources.requests.memory", Any),
    ("spec.containers[].securityContext.runAsUser", Any),
    ("spec.containers[].securityContext.runAsGroup", Any),
    ("spec.containers[].securityContext.runAsNonRoot", Any),
    ("spec.containers[].securityContext.readOnlyRootFilesystem", Any),
    ("spec.containers[].securityContext.allowPrivilegeEscalation", Any),
    ("spec.containers[].securityContext.privileged", Any),
    ("spec.containers[].securityContext.procMount", Any),
    ("spec.containers[].securityContext.capabilities.add", Any),
    ("spec.containers[].securityContext.capabilities.drop", Any),
    ("spec.containers[].securityContext.seccompProfile", Any),
    ("spec.containers[].restartPolicy", Any),
    ("spec.containers[].livenessProbe.exec.command", Any),
    ("spec.containers[].livenessProbe.httpGet.scheme", Any),
    ("spec.containers[].livenessProbe.httpGet.port", Any),
    ("spec.containers[].livenessProbe.httpGet.path", Any),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[].name", Any),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[].value", Any),
    ("spec.containers[].livenessProbe.tcpSocket.port", Any),
    ("spec.containers[].livenessProbe.initialDelaySeconds", Any),
    ("spec.containers[].livenessProbe.periodSeconds", Any),
    ("spec.containers[].livenessProbe.timeoutSeconds", Any),
    ("spec.containers[].livenessProbe.successThreshold", Any),
    ("spec.containers[].livenessProbe.failureThreshold", Any),
    ("spec.containers[].livenessProbe.terminationGracePeriodSeconds", Any),
    ("spec.containers[].lifecycle.preStop.exec.command", Any),
    ("spec.containers[].lifecycle.preStop.httpGet.scheme", Any),
    ("spec.containers[].lifecycle.preStop.httpGet.port", Any),
    ("spec.containers[].lifecycle.preStop.httpGet.path", Any),
    ("spec.containers[].lifecycle.preStop.httpGet.httpHeaders[].name", Any),
    ("spec.containers[].lifecycle.preStop.httpGet.httpHeaders[].value", Any),
    ("spec.containers[].lifecycle.preStop.sleep.seconds", Any),
    ("spec.containers[].terminationMessagePath", Only("/dev/termination-log")),
    ("spec.containers[].terminationMessagePolicy", Only("File")),
    ("spec.containers[].volumeMounts[].name", Any),
    ("spec.containers[].volumeMounts[].mountPath", Any),
    ("spec.containers[].volumeMounts[].readOnly", Any),
    ("spec.containers[].volumeMounts[].subPath", Any),
    ("spec.containers[].volumeMounts[].mountPropagation", Only("None")),
];

/// Every field of `pod` that is not in the table.
pub(super) fn unsupported(pod: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(pod, "", "", &mut problems);
    problems
}

/// The same of one container.
pub(super) fn unsupported_in_container(container: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(container, "", "spec.containers[]", &mut problems);
    problems
}

fn walk(value: &Value, path: &str, pattern: &str, problems: &mut Vec<Problem>) {
    let empty = match value {
        Value::Null => true,
        Value::Sequence(s) => s.is_empty(),
        Value::Mapping(m) => m.is_empty(),
        _ => false,
    };
    if empty {
        return;
    }
    let mut refuse = |text: String| {
        problems.push(Problem { path: path.into(), line: None, kind: ProblemKind::Unsupported, text });
    };
    let in_table = canonical(pattern);
    match SUPPORTED.iter().find(|(p, _)| *p == in_table) {
        Some((_, Any)) => return,
        Some((_, Only(want))) => {
            let have = scalar(value);
            if have.as_deref() != Some(*want) {
                refuse(format!("is not supported unless it is {want}; remove it"));
            }
            return;
        }
        None => {}
    }
    let known_below = pattern.is_empty()
        || SUPPORTED.iter().any(|(p, _)| p.strip_prefix(in_table.as_str()).is_some_and(|r| r.starts_with(['.', '['])));
    if !known_below {
        return refuse("is not supported; remove it".into());
    }
    match value {
        Value::Mapping(map) => {
            for (key, below) in map {
                let Some(key) = scalar(key) else { continue };
                let join = |above: &str| if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
                walk(below, &join(path), &join(pattern), problems);
            }
        }
        Value::Sequence(items) => {
            for (i, below) in items.iter().enumerate() {
                walk(below, &format!("{path}[{i}]"), &format!("{pattern}[]"), problems);
            }
        }
        // A scalar where a mapping belongs: the typed parse says so better.
        _ => {}
    }
}

/// The pattern under which a field stands in the table.
fn canonical(pattern: &str) -> String {
    let mut text = pattern.to_owned();
    for (other, listed) in [
        ("spec.initContainers", "spec.containers"),
        ("[].startupProbe", "[].livenessProbe"),
        ("[].readinessProbe", "[].livenessProbe"),
        ("lifecycle.postStart", "lifecycle.preStop"),
    ] {
        text = text.replace(other, listed);
    }
    text
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(s) => Some(s.clone()),
        Value::Bool(b) => Some(b.to_string()),
        Value::Number(n) => Some(n.to_string()),
        _ => None,
    }
}

/// Kubernetes takes `cpu: 1` for `cpu: "1"`; `k8s_openapi::…::Quantity` only takes the string.
pub(super) fn numbers_to_quantities(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec") else { return };
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_sequence_mut);
        containers.into_iter().flatten().for_each(quantities_of_container);
    }
    for volume in spec.get_mut("volumes").and_then(Value::as_sequence_mut).into_iter().flatten() {
        volume.get_mut("emptyDir").and_then(|e| e.get_mut("sizeLimit")).into_iter().for_each(to_string);
        octal_modes(volume);
    }
}

/// Kubernetes reads YAML 1.1, where `0400` is a number of base 8; YAML 1.2 takes it for a text.
fn octal_modes(value: &mut Value) {
    match value {
        Value::Mapping(map) => {
            for (key, below) in map.iter_mut() {
                let octal = match (key.as_str(), below.as_str()) {
                    (Some("mode" | "defaultMode"), Some(text)) => text.strip_prefix('0'),
                    _ => None,
                };
                match octal.and_then(|digits| i32::from_str_radix(digits, 8).ok()) {
                    Some(mode) => *below = Value::Number(mode.into()),
                    None => octal_modes(below),
                }
            }
        }
        Value::Sequence(items) => items.iter_mut().for_each(octal_modes),
        _ => {}
    }
}

/// The same of one container.
pub(super) fn quantities_of_container(container: &mut Value) {
    for kind in ["limits", "requests"] {
        let list = container.get_mut("resources").and_then(|r| r.get_mut(kind)).and_then(Value::as_mapping_mut);
        list.into_iter().flat_map(|m| m.iter_mut()).for_each(|(_, v)| to_string(v));
    }
}

fn to_string(value: &mut Value) {
    if let Value::Number(n) = value {
        *value = Value::String(n.to_string());
    }
}
