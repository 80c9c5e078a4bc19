//! What the guest is asked for a pod's volumes and for variables that only it knows: pure functions.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use xenpod_api::spec::{ContainerSpec, FileSource, LateEnv, PodSpec, SourceKind, SourceRef, VolumeKind, VolumeSpec};
use xenpod_protocol::message::{self, create_volume, request::Op, variable};

use super::contents::{Contents, Keys};
use super::world::disk_name;

/// The volume that variables come from. No volume of a manifest can have this name.
const ENV: &str = "_env";
/// How much of files goes into one message, bytes: well below what the guest takes.
const PORTION: usize = 128 << 10;
/// A page, the unit in which a tmpfs counts.
const PAGE: u64 = 4096;
/// Group-readable, as Kubernetes makes files of volumes that belong to a group.
const GROUP_FILE: u32 = 0o440;
/// Group-writable and handing its group down, likewise.
const GROUP_DIRECTORY: u32 = 0o2777;

/// The disks that volumes have to themselves: name and size in bytes, in their order.
pub fn own_disks(pod: &PodSpec) -> impl Iterator<Item = (&str, u64)> {
    pod.volumes.iter().filter_map(|v| match v.kind {
        VolumeKind::EmptyDirDisk { size_limit } => Some((v.name.as_str(), size_limit)),
        _ => None,
    })
}

/// The file of such a disk, in the pod's folder.
pub fn disk_file(dir: &Path, volume: &str) -> PathBuf {
    dir.join(format!("volume-{volume}.img"))
}

/// The requests that make the pod's volumes and fill them. `scratch` is the number of its scratch disk, `next` that of the
/// first of [`own_disks`].
pub fn requests(pod: &PodSpec, contents: &Contents, scratch: Option<usize>, next: usize) -> Vec<Op> {
    let mut next = next..;
    let mut all = Vec::new();
    for volume in &pod.volumes {
        let tmpfs = |size| create_volume::Source::Tmpfs(message::Tmpfs { size, mode: 0 });
        let directory = |disk| {
            let directory = format!("v-{}", volume.name);
            create_volume::Source::Scratch(message::ScratchDirectory { disk: disk_name(disk), directory })
        };
        let source = match (&volume.kind, scratch) {
            (VolumeKind::EmptyDirMemory { size_limit }, _) => tmpfs(size_limit.unwrap_or(0)),
            (VolumeKind::EmptyDirScratch, Some(disk)) => directory(disk),
            (VolumeKind::EmptyDirScratch, None) => tmpfs(0),
            (VolumeKind::EmptyDirDisk { .. }, _) => directory(next.next().unwrap_or_default()),
            (VolumeKind::Files { .. }, _) => {
                all.extend(filled(&volume.name, owner(pod, volume), 0o755, files(pod, volume, contents)));
                continue;
            }
        };
        let (uid, gid) = owner(pod, volume);
        let mode = if pod.fs_group.is_some() { GROUP_DIRECTORY } else { 0 };
        all.push(Op::CreateVolume(message::CreateVolume {
            name: volume.name.clone(),
            source: Some(source),
            uid,
            gid,
            mode,
        }));
    }
    if let Some(files) = env_files(pod, contents) {
        all.extend(filled(ENV, (0, 0), 0o700, files));
    }
    all
}

fn owner(pod: &PodSpec, volume: &VolumeSpec) -> (u32, u32) {
    volume.owner.unwrap_or((0, pod.fs_group.unwrap_or(0)))
}

/// The files of a volume, in the order of their paths.
pub fn files(pod: &PodSpec, volume: &VolumeSpec, contents: &Contents) -> Vec<message::File> {
    let VolumeKind::Files { default_mode, sources } = &volume.kind else { return Vec::new() };
    let (uid, gid) = owner(pod, volume);
    let shared = if pod.fs_group.is_some() { GROUP_FILE } else { 0 };
    let mut all: BTreeMap<&str, message::File> = BTreeMap::new();
    let mut add = |path, data, mode: Option<u32>| {
        let mode = mode.unwrap_or(*default_mode) | shared;
        all.insert(path, message::File { path: String::from(path), data, mode, uid, gid, append: false });
    };
    for source in sources {
        match source {
            FileSource::Field { path, field, mode } => add(path.as_str(), field.value(pod).into_bytes(), *mode),
            FileSource::Keys { source, items, .. } => {
                let Some(keys) = contents.get(source) else { continue };
                if items.is_empty() {
                    keys.iter().for_each(|(key, data)| add(key, data.to_vec(), None));
                }
                for item in items {
                    if let Some(data) = keys.get(&item.key) {
                        add(&item.path, data.to_vec(), item.mode);
                    }
                }
            }
        }
    }
    all.into_values().collect()
}

/// The files of a volume that say something about the pod.
pub fn facts(pod: &PodSpec, volume: &VolumeSpec) -> Vec<message::File> {
    let VolumeKind::Files { default_mode, sources } = &volume.kind else { return Vec::new() };
    let sources = sources.iter().filter(|s| matches!(s, FileSource::Field { .. })).cloned().collect();
    let kind = VolumeKind::Files { default_mode: *default_mode, sources };
    files(pod, &VolumeSpec { kind, ..volume.clone() }, &Contents::default())
}

/// The files that variables are read from; `None` when no container has such variables.
fn env_files(pod: &PodSpec, contents: &Contents) -> Option<Vec<message::File>> {
    let mut wanted: BTreeSet<(&SourceRef, &str)> = BTreeSet::new();
    let mut any = false;
    for part in pod.containers.iter().flat_map(|c| &c.late_env) {
        let (source, key) = match part {
            LateEnv::Key { source, key, .. } => (source, Some(key)),
            LateEnv::All { source, .. } => (source, None),
            LateEnv::Value { .. } | LateEnv::Field { .. } => continue,
        };
        any = true;
        let keys: Option<&Keys> = contents.get(source);
        let here = keys.into_iter().flat_map(|k| k.keys()).filter(|k| key.is_none_or(|wanted| wanted == *k));
        wanted.extend(here.map(|k| (source, k.as_str())));
    }
    let file = |(source, key): (&SourceRef, &str)| {
        let data = contents.get(source)?.get(key)?.to_vec();
        let path = format!("{}/{key}", place(source));
        Some(message::File { path, data, mode: 0o400, uid: 0, gid: 0, append: false })
    };
    any.then(|| wanted.into_iter().filter_map(file).collect())
}

fn place(source: &SourceRef) -> String {
    let kind = match source.kind {
        SourceKind::ConfigMap => "configmap",
        SourceKind::Secret => "secret",
    };
    format!("{kind}/{}", source.name)
}

/// The requests that make a volume and write `files` into it, in portions.
fn filled(name: &str, (uid, gid): (u32, u32), directory_mode: u32, files: Vec<message::File>) -> Vec<Op> {
    let pages = |file: &message::File| (file.data.len() as u64).div_ceil(PAGE) * PAGE;
    // One more of the largest, so that each can be replaced as one step, and something for directories.
    let largest = files.iter().map(pages).max().unwrap_or(0);
    let size = files.iter().map(pages).sum::<u64>() + largest + 16 * PAGE;
    let mut portions = portions(files).into_iter();
    let files = portions.next().unwrap_or_default();
    let source = create_volume::Source::Files(message::Files { files, size, directory_mode });
    let name = name.to_owned();
    let mut all = vec![Op::CreateVolume(message::CreateVolume {
        name: name.clone(),
        source: Some(source),
        uid,
        gid,
        mode: directory_mode,
    })];
    all.extend(portions.map(|files| Op::WriteFiles(message::WriteFiles { volume: name.clone(), files })));
    all
}

/// Files cut into pieces that fit into messages.
fn portions(files: Vec<message::File>) -> Vec<Vec<message::File>> {
    let mut all: Vec<Vec<message::File>> = Vec::new();
    let mut room = 0;
    for file in files {
        let mut rest = file.data.as_slice();
        let mut append = file.append;
        loop {
            // What the fields beside the data take.
            let head = file.path.len() + 64;
            if room <= head {
                all.push(Vec::new());
                room = PORTION;
            }
            let (piece, later) = rest.split_at(rest.len().min(room - head));
            room -= head + piece.len();
            if let Some(last) = all.last_mut() {
                last.push(message::File { path: file.path.clone(), data: piece.to_vec(), append, ..head_of(&file) });
            }
            (rest, append) = (later, true);
            if rest.is_empty() {
                break;
            }
        }
    }
    all
}

/// A file without its content.
fn head_of(file: &message::File) -> message::File {
    message::File { path: String::new(), data: Vec::new(), append: false, ..*file }
}

/// A container's variables as the guest puts them together.
pub fn variables(pod: &PodSpec, spec: &ContainerSpec) -> Vec<message::Variable> {
    let of = |name: &str, value| message::Variable { name: name.into(), value: Some(value) };
    let at = |path, optional| message::VolumeFile { volume: ENV.into(), path, optional };
    let each = spec.late_env.iter().map(|part| match part {
        LateEnv::Value { name, value } => of(name, variable::Value::Text(value.clone())),
        LateEnv::Field { name, field } => of(name, variable::Value::Text(plain(&field.value(pod)))),
        LateEnv::Key { name, source, key, optional } => {
            of(name, variable::Value::File(at(format!("{}/{key}", place(source)), *optional)))
        }
        // That it is there has been seen to; one without a key has no directory.
        LateEnv::All { prefix, source, .. } => of(prefix, variable::Value::Directory(at(place(source), true))),
    });
    each.collect()
}

/// A text that expansion leaves as it is.
pub fn plain(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
#[path = "volumes_tests.rs"]
mod tests;
