//! Config maps and secrets: what is given beside a manifest.
//!
//! It is in this process's memory from the call that brings it until the guest has it, and nowhere else: not in the record,
//! not in a log. A pod that is started once more needs it once more.

use std::collections::BTreeMap;
use std::sync::Arc;

use xenpod_api::manifest::{is_key, is_source_name};
use xenpod_api::spec::{FileSource, LateEnv, PodSpec, SourceKind, SourceRef, VolumeKind};

use super::failure::Failure;

/// The most bytes of one config map or secret: Kubernetes' own limit.
pub const MAX_SOURCE: usize = 1 << 20;
/// The most bytes of all that is given at once.
pub const MAX_TOTAL: usize = 16 << 20;
/// What Linux takes as one variable, its name included (`MAX_ARG_STRLEN`, include/uapi/linux/binfmts.h).
const MAX_STRING: usize = 128 << 10;

/// The keys of one config map or secret.
pub type Keys = BTreeMap<String, Arc<[u8]>>;

/// Config maps and secrets by their names.
#[derive(Clone, Default)]
pub struct Contents(BTreeMap<SourceRef, Keys>);

/// Names only: what they hold stands in no log.
impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys().map(ToString::to_string)).finish()
    }
}

impl Contents {
    /// Adds one, with its keys.
    ///
    /// # Errors
    /// [`Failure::BadContents`]: a name, a key or a size that cannot be.
    pub fn add(&mut self, source: SourceRef, keys: Keys) -> Result<(), Failure> {
        let bad = |why: String| Err(Failure::BadContents(format!("{source} {why}")));
        if !is_source_name(&source.name) {
            return bad("has not the form of a name: lower-case letters, digits, '-' and '.'".into());
        }
        if let Some(key) = keys.keys().find(|k| !is_key(k)) {
            return bad(format!("has {key:?}, which is not a key: letters, digits, '-', '_' and '.'"));
        }
        let size = |keys: &Keys| keys.values().map(|v| v.len()).sum::<usize>();
        let own = size(&keys);
        if own > MAX_SOURCE {
            return bad(format!("has {own} bytes; the limit is {MAX_SOURCE}"));
        }
        let all = own + self.0.values().map(size).sum::<usize>();
        if all > MAX_TOTAL {
            return bad(format!("makes the whole {all} bytes; the limit is {MAX_TOTAL}"));
        }
        self.0.insert(source, keys);
        Ok(())
    }

    /// Nothing was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys of one that was given.
    #[must_use]
    pub fn get(&self, source: &SourceRef) -> Option<&Keys> {
        self.0.get(source)
    }

    /// Everything that `pod` cannot do without is here, and can be what it is to be.
    ///
    /// # Errors
    /// [`Failure::ContentMissing`] and [`Failure::BadContents`].
    pub fn check(&self, pod: &PodSpec) -> Result<(), Failure> {
        for volume in &pod.volumes {
            let VolumeKind::Files { sources, .. } = &volume.kind else { continue };
            let who = format!("volume {:?}", volume.name);
            for source in sources {
                if let FileSource::Keys { source, optional: false, items } = source {
                    let keys = self.needed(pod, &who, source)?;
                    if let Some(item) = items.iter().find(|i| !keys.contains_key(&i.key)) {
                        return Err(no_key(pod, &who, source, &item.key));
                    }
                }
            }
            self.check_paths(pod, &volume.name)?;
        }
        for container in &pod.containers {
            for part in &container.late_env {
                let (name, source, key, optional) = match part {
                    LateEnv::Key { name, source, key, optional } => (name, source, Some(key), *optional),
                    LateEnv::All { prefix, source, optional } => (prefix, source, None, *optional),
                    LateEnv::Value { .. } | LateEnv::Field { .. } => continue,
                };
                let who = match key {
                    Some(_) => format!("variable {name} of container {:?}", container.name),
                    None => format!("envFrom of container {:?}", container.name),
                };
                let keys = match self.needed(pod, &who, source) {
                    Err(_) if optional => continue,
                    keys => keys?,
                };
                if let Some(key) = key.filter(|k| !optional && !keys.contains_key(*k)) {
                    return Err(no_key(pod, &who, source, key));
                }
                let used = keys.iter().filter(|(k, _)| key.is_none_or(|wanted| wanted == *k));
                for (key, value) in used {
                    let why = match std::str::from_utf8(value) {
                        Ok(text) if text.contains('\0') => "holds a NUL character",
                        Ok(text) if text.len() + name.len() + key.len() + 2 > MAX_STRING => {
                            "is longer than Linux takes"
                        }
                        Ok(_) => continue,
                        Err(_) => "is not UTF-8",
                    };
                    let text = format!("pod {}: {who}: key {key:?} of {source} {why}", pod.name);
                    return Err(Failure::BadContents(text));
                }
            }
        }
        Ok(())
    }

    fn needed(&self, pod: &PodSpec, who: &str, source: &SourceRef) -> Result<&Keys, Failure> {
        self.get(source).ok_or_else(|| Failure::ContentMissing {
            pod: pod.name.clone(),
            who: who.into(),
            what: source.to_string(),
            how: how(source),
        })
    }

    /// No file of a volume is also a directory, and what containers see of it is there.
    fn check_paths(&self, pod: &PodSpec, volume: &str) -> Result<(), Failure> {
        let Some(volume) = pod.volumes.iter().find(|v| v.name == volume) else { return Ok(()) };
        let paths: Vec<String> = super::volumes::files(pod, volume, self).into_iter().map(|f| f.path).collect();
        let bad = |why: String| Err(Failure::BadContents(format!("pod {}: volume {:?} {why}", pod.name, volume.name)));
        let below = |path: &str, dir: &str| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        for path in &paths {
            if let Some(other) = paths.iter().find(|other| below(other, path)) {
                return bad(format!("would have {path:?} both as a file and, for {other:?}, as a directory"));
            }
        }
        for container in &pod.containers {
            for mount in container.mounts.iter().filter(|m| m.volume == volume.name && !m.sub_path.is_empty()) {
                if !paths.iter().any(|p| *p == mount.sub_path || below(p, &mount.sub_path)) {
                    let wanted =
                        format!("has no {:?}, the subPath that container {:?}", mount.sub_path, container.name);
                    return bad(format!("{wanted} mounts"));
                }
            }
        }
        Ok(())
    }
}

fn how(source: &SourceRef) -> String {
    let (option, flag) = match source.kind {
        SourceKind::ConfigMap => ("config_maps", "--config-map"),
        SourceKind::Secret => ("secrets", "--secret"),
    };
    format!("give it with the option {option} ({flag} {}=... of xenpodctl)", source.name)
}

fn no_key(pod: &PodSpec, who: &str, source: &SourceRef, key: &str) -> Failure {
    Failure::ContentMissing {
        pod: pod.name.clone(),
        who: who.into(),
        what: format!("key {key:?} of {source}"),
        how: how(source),
    }
}

#[cfg(test)]
#[path = "contents_tests.rs"]
mod tests;
