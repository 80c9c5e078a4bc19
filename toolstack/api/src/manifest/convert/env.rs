//! A container's environment: values, facts about the pod, and keys of what is given beside the manifest.

use k8s_openapi::api::core::v1 as core;
use xenpod_protocol::expand;

use super::{Report, container::string, resource, volumes};
use crate::spec::{Field, LateEnv, SourceKind, SourceRef};

/// The environment when all of it is known, else the parts it is put together from in the guest.
pub(super) fn convert(
    c: &core::Container,
    path: &str,
    report: &mut Report<'_>,
) -> (Vec<(String, String)>, Vec<LateEnv>) {
    let late = c.env_from.iter().flatten().next().is_some() || c.env.iter().flatten().any(|v| v.value_from.is_some());
    if late { (Vec::new(), parts(c, path, report)) } else { (values(c, path, report), Vec::new()) }
}

fn values(c: &core::Container, path: &str, report: &mut Report<'_>) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = Vec::new();
    for (i, var) in c.env.iter().flatten().enumerate() {
        let at = format!("{path}.env[{i}]");
        name(&var.name, &at, report);
        let value = expand(var.value.as_deref().unwrap_or_default(), &env);
        string(&format!("{at}.value"), &value, report);
        env.push((var.name.clone(), value));
    }
    env
}

fn parts(c: &core::Container, path: &str, report: &mut Report<'_>) -> Vec<LateEnv> {
    let mut all = Vec::new();
    for (i, from) in c.env_from.iter().flatten().enumerate() {
        let at = format!("{path}.envFrom[{i}]");
        let prefix = from.prefix.clone().unwrap_or_default();
        if prefix.contains(['=', '\0']) {
            report.invalid(format!("{at}.prefix"), format!("{prefix:?} cannot begin a variable's name"));
        }
        let (kind, key, source, optional) = match (&from.config_map_ref, &from.secret_ref) {
            (Some(r), None) => (SourceKind::ConfigMap, "configMapRef", &r.name, r.optional),
            (None, Some(r)) => (SourceKind::Secret, "secretRef", &r.name, r.optional),
            _ => {
                report.invalid(at, "must have one of configMapRef and secretRef");
                continue;
            }
        };
        let source = volumes::source(kind, source, &format!("{at}.{key}.name"), report);
        all.push(LateEnv::All { prefix, source, optional: optional.unwrap_or(false) });
    }
    for (i, var) in c.env.iter().flatten().enumerate() {
        let at = format!("{path}.env[{i}]");
        name(&var.name, &at, report);
        let name = var.name.clone();
        let Some(from) = &var.value_from else {
            let value = var.value.clone().unwrap_or_default();
            string(&format!("{at}.value"), &value, report);
            all.push(LateEnv::Value { name, value });
            continue;
        };
        if var.value.as_ref().is_some_and(|v| !v.is_empty()) {
            report.invalid(format!("{at}.value"), "and valueFrom exclude each other");
        }
        let at = format!("{at}.valueFrom");
        match (&from.config_map_key_ref, &from.secret_key_ref, &from.field_ref, &from.resource_field_ref) {
            (Some(r), None, None, None) => {
                let at = format!("{at}.configMapKeyRef");
                all.push(key(name, SourceKind::ConfigMap, (&r.name, &r.key, r.optional), &at, report));
            }
            (None, Some(r), None, None) => {
                let at = format!("{at}.secretKeyRef");
                all.push(key(name, SourceKind::Secret, (&r.name, &r.key, r.optional), &at, report));
            }
            (None, None, Some(r), None) => {
                if let Some(field) = field(&r.field_path, false, &format!("{at}.fieldRef.fieldPath"), report) {
                    all.push(LateEnv::Field { name, field });
                }
            }
            (None, None, None, Some(r)) => {
                let at = format!("{at}.resourceFieldRef");
                if r.container_name.as_ref().is_some_and(|other| !other.is_empty() && *other != c.name) {
                    report
                        .unsupported(format!("{at}.containerName"), "is another container; only its own is supported");
                } else if let Some(field) = resource::field(c, r, &at, report) {
                    all.push(LateEnv::Field { name, field });
                }
            }
            // Something else that is not supported has been reported by its name.
            (None, None, None, None) if report.has(&at) => {}
            _ => report.invalid(at, "must have one of configMapKeyRef, secretKeyRef, fieldRef and resourceFieldRef"),
        }
    }
    all
}

fn name(name: &str, at: &str, report: &mut Report<'_>) {
    if name.is_empty() || name.contains(['=', '\0']) {
        report.invalid(format!("{at}.name"), format!("{name:?} is not a name of an environment variable"));
    }
}

fn key(
    name: String,
    kind: SourceKind,
    (source, key, optional): (&str, &str, Option<bool>),
    at: &str,
    report: &mut Report<'_>,
) -> LateEnv {
    let source: SourceRef = volumes::source(kind, source, &format!("{at}.name"), report);
    volumes::key(key, &format!("{at}.key"), report);
    LateEnv::Key { name, source, key: key.into(), optional: optional.unwrap_or(false) }
}

/// The fact that a `fieldPath` names. Whole maps are for files only.
pub(super) fn field(path: &str, in_file: bool, at: &str, report: &mut Report<'_>) -> Option<Field> {
    let inside = |map: &str| {
        let rest = path.strip_prefix(map)?;
        rest.strip_prefix("['").and_then(|r| r.strip_suffix("']")).map(String::from)
    };
    Some(match path {
        "metadata.name" => Field::Name,
        "metadata.namespace" => Field::Namespace,
        "metadata.uid" => Field::Uid,
        "metadata.labels" if in_file => Field::Labels,
        "metadata.annotations" if in_file => Field::Annotations,
        "status.podIP" if !in_file => Field::PodIp,
        "status.podIPs" if !in_file => Field::PodIps,
        "spec.nodeName" if !in_file => Field::NodeName,
        _ => match (inside("metadata.labels"), inside("metadata.annotations")) {
            (Some(key), _) => Field::Label(key),
            (_, Some(key)) => Field::Annotation(key),
            _ => {
                let more = if in_file {
                    "metadata.labels and metadata.annotations"
                } else {
                    "status.podIP, status.podIPs and spec.nodeName"
                };
                let text = format!(
                    "{path:?} is not supported; there are metadata.name, metadata.namespace, metadata.uid, \
                     metadata.labels['KEY'], metadata.annotations['KEY'], {more}"
                );
                report.unsupported(at, text);
                return None;
            }
        },
    })
}
