//! Volumes, and where containers see them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;

use super::{Report, env, is_label, label_text, resource};
use crate::quantity::parse_units;
use crate::spec::{ContainerSpec, FileSource, KeyItem, MountSpec, SourceKind, SourceRef, VolumeKind, VolumeSpec};

/// The mode of files when nothing is said, as in Kubernetes.
const FILE_MODE: u32 = 0o644;
/// The least of a disk for a volume: ext4 keeps some of it for itself.
const MIN_DISK: u64 = 1 << 20;
/// The most: what a sparse file on ext4 can be.
const MAX_DISK: u64 = 8 << 40;
/// Its value is `VOLUME=UID[:GID]`, several with commas.
pub(super) const OWNER: &str = "xenpod.org/volume-owner";

/// The pod's volumes; every mount of `containers` must name one.
pub(super) fn convert(
    spec: &core::PodSpec,
    annotations: &BTreeMap<String, String>,
    containers: &[ContainerSpec],
    report: &mut Report<'_>,
) -> Vec<VolumeSpec> {
    let mut all: Vec<VolumeSpec> = Vec::new();
    for (i, v) in spec.volumes.iter().flatten().enumerate() {
        let at = format!("spec.volumes[{i}]");
        if !is_label(&v.name) {
            report.invalid(format!("{at}.name"), label_text(&v.name));
        } else if all.iter().any(|o| o.name == v.name) {
            report.invalid(format!("{at}.name"), format!("{:?} is the name of two volumes", v.name));
        }
        if let Some(kind) = kind(v, spec, &at, report) {
            all.push(VolumeSpec { name: v.name.clone(), kind, owner: None });
        }
    }
    if let Some(text) = annotations.get(OWNER) {
        owners(text, &mut all, report);
    }
    let declared: Vec<&str> = spec.volumes.iter().flatten().map(|v| v.name.as_str()).collect();
    let inits = spec.init_containers.as_ref().map_or(0, Vec::len);
    for (i, c) in containers.iter().enumerate() {
        let path =
            if i < inits { format!("spec.initContainers[{i}]") } else { format!("spec.containers[{}]", i - inits) };
        for (k, m) in c.mounts.iter().enumerate() {
            if !declared.contains(&m.volume.as_str()) {
                let at = format!("{path}.volumeMounts[{k}].name");
                report.invalid(at, format!("there is no volume {:?} in spec.volumes", m.volume));
            }
        }
    }
    all
}

/// `None` for a kind that the table of supported fields has refused. Without any it is an `emptyDir`, as in Kubernetes.
fn kind(v: &core::Volume, pod: &core::PodSpec, at: &str, report: &mut Report<'_>) -> Option<VolumeKind> {
    let given = [v.empty_dir.is_some(), v.config_map.is_some(), v.secret.is_some(), v.projected.is_some()];
    let kinds = given.iter().filter(|g| **g).count() + usize::from(v.downward_api.is_some());
    if kinds > 1 {
        report.invalid(at, "has more than one kind");
        return None;
    }
    if let Some(empty) = &v.empty_dir {
        return empty_dir(empty, &format!("{at}.emptyDir"), report);
    }
    let mut sources = Vec::new();
    let default = if let Some(map) = &v.config_map {
        let at = format!("{at}.configMap");
        keys(SourceKind::ConfigMap, &map.name, map.items.as_deref(), map.optional, (&at, "name"), &mut sources, report);
        mode(map.default_mode, &format!("{at}.defaultMode"), report)
    } else if let Some(secret) = &v.secret {
        let at = format!("{at}.secret");
        let name = secret.secret_name.as_deref().unwrap_or_default();
        let items = secret.items.as_deref();
        keys(SourceKind::Secret, name, items, secret.optional, (&at, "secretName"), &mut sources, report);
        mode(secret.default_mode, &format!("{at}.defaultMode"), report)
    } else if let Some(down) = &v.downward_api {
        let at = format!("{at}.downwardAPI");
        downward(down.items.as_deref(), pod, &at, &mut sources, report);
        mode(down.default_mode, &format!("{at}.defaultMode"), report)
    } else if let Some(projected) = &v.projected {
        let at = format!("{at}.projected");
        for (k, p) in projected.sources.iter().flatten().enumerate() {
            projection(p, pod, &format!("{at}.sources[{k}]"), &mut sources, report);
        }
        mode(projected.default_mode, &format!("{at}.defaultMode"), report)
    } else {
        return (!report.has(at)).then_some(VolumeKind::EmptyDirScratch);
    };
    Some(VolumeKind::Files { default_mode: default.unwrap_or(FILE_MODE), sources })
}

fn projection(
    p: &core::VolumeProjection,
    pod: &core::PodSpec,
    at: &str,
    sources: &mut Vec<FileSource>,
    report: &mut Report<'_>,
) {
    if let Some(map) = &p.config_map {
        let at = format!("{at}.configMap");
        keys(SourceKind::ConfigMap, &map.name, map.items.as_deref(), map.optional, (&at, "name"), sources, report);
    }
    if let Some(secret) = &p.secret {
        let at = format!("{at}.secret");
        keys(
            SourceKind::Secret,
            &secret.name,
            secret.items.as_deref(),
            secret.optional,
            (&at, "name"),
            sources,
            report,
        );
    }
    if let Some(down) = &p.downward_api {
        downward(down.items.as_deref(), pod, &format!("{at}.downwardAPI"), sources, report);
    }
}

fn empty_dir(empty: &core::EmptyDirVolumeSource, at: &str, report: &mut Report<'_>) -> Option<VolumeKind> {
    let limit = empty.size_limit.as_ref().map(|q| report.take(&format!("{at}.sizeLimit"), parse_units(&q.0)));
    let limit = limit.filter(|l| *l > 0);
    match empty.medium.as_deref() {
        Some("Memory") => Some(VolumeKind::EmptyDirMemory { size_limit: limit }),
        None | Some("") => match limit {
            None => Some(VolumeKind::EmptyDirScratch),
            Some(size_limit) if (MIN_DISK..=MAX_DISK).contains(&size_limit) => {
                Some(VolumeKind::EmptyDirDisk { size_limit })
            }
            Some(other) => {
                let text = format!("{other} bytes is out of bounds: 1Mi to 8Ti; a smaller one needs medium: Memory");
                report.invalid(format!("{at}.sizeLimit"), text);
                None
            }
        },
        Some(other) => {
            report.unsupported(format!("{at}.medium"), format!("{other:?} is not supported; use Memory or none"));
            None
        }
    }
}

/// Some or all keys of a config map or secret.
fn keys(
    kind: SourceKind,
    name: &str,
    items: Option<&[core::KeyToPath]>,
    optional: Option<bool>,
    (at, name_key): (&str, &str),
    sources: &mut Vec<FileSource>,
    report: &mut Report<'_>,
) {
    let source = source(kind, name, &format!("{at}.{name_key}"), report);
    let mut chosen = Vec::new();
    for (k, item) in items.into_iter().flatten().enumerate() {
        let at = format!("{at}.items[{k}]");
        key(&item.key, &format!("{at}.key"), report);
        inside(&item.path, &format!("{at}.path"), report);
        let mode = mode(item.mode, &format!("{at}.mode"), report);
        chosen.push(KeyItem { key: item.key.clone(), path: item.path.clone(), mode });
    }
    sources.push(FileSource::Keys { source, optional: optional.unwrap_or(false), items: chosen });
}

fn downward(
    items: Option<&[core::DownwardAPIVolumeFile]>,
    pod: &core::PodSpec,
    at: &str,
    sources: &mut Vec<FileSource>,
    report: &mut Report<'_>,
) {
    for (k, item) in items.into_iter().flatten().enumerate() {
        let at = format!("{at}.items[{k}]");
        inside(&item.path, &format!("{at}.path"), report);
        let mode = mode(item.mode, &format!("{at}.mode"), report);
        let field = match (&item.field_ref, &item.resource_field_ref) {
            (Some(from), None) => env::field(&from.field_path, true, &format!("{at}.fieldRef.fieldPath"), report),
            (None, Some(from)) => {
                let at = format!("{at}.resourceFieldRef");
                let name = from.container_name.as_deref().unwrap_or_default();
                let all = pod.init_containers.iter().flatten().chain(&pod.containers);
                match all.into_iter().find(|c| c.name == name) {
                    Some(of) => resource::field(of, from, &at, report),
                    None => {
                        let text = format!("{name:?} is no container of this pod");
                        report.invalid(format!("{at}.containerName"), text);
                        None
                    }
                }
            }
            _ => {
                report.invalid(at, "must have either a fieldRef or a resourceFieldRef");
                None
            }
        };
        if let Some(field) = field {
            sources.push(FileSource::Field { path: item.path.clone(), field, mode });
        }
    }
}

/// A reference to what is given beside the manifest; its name is a DNS-1123 subdomain.
pub(super) fn source(kind: SourceKind, name: &str, at: &str, report: &mut Report<'_>) -> SourceRef {
    if name.len() > 253 || !name.split('.').all(is_label) {
        report.invalid(at, format!("{name:?} is not the name of a {}", kind.as_str()));
    }
    SourceRef { kind, name: name.into() }
}

/// Whether `key` can be one of a config map or secret, and so a file's name.
#[must_use]
pub fn is_key(key: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=253).contains(&key.len()) && key.bytes().all(ok) && key != "." && !key.starts_with("..")
}

/// Whether `name` can be that of a config map or secret.
#[must_use]
pub fn is_source_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

pub(super) fn key(key: &str, at: &str, report: &mut Report<'_>) {
    if !is_key(key) {
        report.invalid(at, format!("{key:?} is not a key: letters, digits, '-', '_' and '.', at most 253"));
    }
}

fn inside(path: &str, at: &str, report: &mut Report<'_>) {
    let bad = path.is_empty() || path.starts_with('/') || path.split('/').any(|p| matches!(p, "" | "." | ".."));
    if bad || path.len() > 4095 || path.contains('\0') {
        report.invalid(at, format!("{path:?} is not a path within the volume"));
    }
}

fn mode(mode: Option<i32>, at: &str, report: &mut Report<'_>) -> Option<u32> {
    let mode = mode?;
    match u32::try_from(mode) {
        Ok(bits) if bits <= 0o777 => Some(bits),
        _ => {
            report.invalid(at, format!("{mode} is not a mode: 0 to 0777 (511)"));
            None
        }
    }
}

fn owners(text: &str, volumes: &mut [VolumeSpec], report: &mut Report<'_>) {
    let at = format!("metadata.annotations.{OWNER}");
    for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let parsed = part.split_once('=').and_then(|(name, ids)| {
            let (uid, gid) = ids.split_once(':').unwrap_or((ids, "0"));
            let id = |text: &str| text.parse::<u32>().ok().filter(|id| *id != u32::MAX);
            Some((name, id(uid)?, id(gid)?))
        });
        let Some((name, uid, gid)) = parsed else {
            report.invalid(&*at, format!("{part:?} is not VOLUME=UID or VOLUME=UID:GID"));
            continue;
        };
        match volumes.iter_mut().find(|v| v.name == name) {
            Some(volume) => volume.owner = Some((uid, gid)),
            None => report.invalid(&*at, format!("there is no volume {name:?} in spec.volumes")),
        }
    }
}

/// Where a container sees volumes.
pub(super) fn mounts(c: &core::Container, path: &str, report: &mut Report<'_>) -> Vec<MountSpec> {
    let mut mounts: Vec<MountSpec> = Vec::new();
    for (i, m) in c.volume_mounts.iter().flatten().enumerate() {
        let at = format!("{path}.volumeMounts[{i}].mountPath");
        if !m.mount_path.starts_with('/') || m.mount_path.split('/').any(|p| p == "..") || m.mount_path == "/" {
            report.invalid(at, format!("{:?} must be an absolute path below / without \"..\"", m.mount_path));
        } else if mounts.iter().any(|o| o.path == m.mount_path) {
            report.invalid(at, format!("{:?} is mounted twice", m.mount_path));
        }
        let sub_path = m.sub_path.clone().unwrap_or_default();
        if !sub_path.is_empty() {
            inside(&sub_path, &format!("{path}.volumeMounts[{i}].subPath"), report);
        }
        mounts.push(MountSpec {
            volume: m.name.clone(),
            path: m.mount_path.clone(),
            read_only: m.read_only.unwrap_or(false),
            sub_path,
        });
    }
    mounts
}
