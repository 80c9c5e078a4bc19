//! From a Kubernetes core/v1 Pod in YAML to a [`PodSpec`].
//!
//! ```text
//! text --serde_yaml--> Value --support (fields), types (schema)--> problems
//!                        \----k8s_openapi Pod--> convert --> PodSpec
//! fields: what is acted on, and what is said of it   schema: what Kubernetes knows   explain: both together, for people
//! ```
//! Nothing is ignored: a key that Kubernetes does not know, a field that xenpod does not act on, and a value out of bounds are each a
//! [`Problem`] with its path and its line, and all of them are reported at once.

mod convert;
pub mod explain;
pub mod fields;
mod locate;
pub mod schema;
mod support;
mod types;

pub use convert::{KERNEL, KERNEL_ARGS, is_kernel_name};
pub use convert::{MAX_CONTAINERS, check_annotations, check_labels, check_limits, check_pod_name, check_size};
use serde::Deserialize;
use serde_yaml::Value;

pub use convert::{is_key, is_source_name};

use crate::error::ErrorName;
use crate::spec::{ContainerSpec, PodSpec};

/// The largest manifest that is read: Kubernetes' own limit for an object is about this.
pub const MAX_BYTES: usize = 1 << 20;

/// What is wrong with one place of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: `spec.containers[0].image`.
    pub path: String,
    /// The line of it, from 1; of the nearest thing above it when it is not there itself.
    pub line: Option<usize>,
    /// Which kind.
    pub kind: ProblemKind,
    /// What is wrong and what to do.
    pub text: String,
}

/// The kind of a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// Kubernetes has no such key: most likely a misspelling.
    Unknown,
    /// Kubernetes has it, xenpod does not act on it.
    Unsupported,
    /// The value is wrong.
    Invalid,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: {}", self.path, self.text)
    }
}

/// Why a manifest was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Longer than [`MAX_BYTES`].
    #[error("the manifest has {0} bytes; the limit is {MAX_BYTES}")]
    TooLong(usize),
    /// Not YAML.
    #[error("the manifest is not YAML: {0}")]
    Syntax(String),
    /// YAML, and not a Pod.
    #[error("the manifest is not a Pod: {0}")]
    NotAPod(String),
    /// YAML, and not a Container.
    #[error("this is not a container: {0}")]
    NotAContainer(String),
    /// A Pod with problems, in the order of their lines.
    #[error("the manifest was refused: {}", list(.0))]
    Problems(Vec<Problem>),
}

impl ManifestError {
    /// The error's name on the bus: `ManifestUnsupported` when all that is wrong is that xenpod does not act on something.
    #[must_use]
    pub fn name(&self) -> ErrorName {
        match self {
            Self::Problems(all) if all.iter().all(|p| p.kind == ProblemKind::Unsupported) => {
                ErrorName::ManifestUnsupported
            }
            _ => ErrorName::ManifestInvalid,
        }
    }
}

/// The problems one after another; past twenty, their number.
fn list(problems: &[Problem]) -> String {
    let mut text: Vec<String> = problems.iter().take(20).map(ToString::to_string).collect();
    if problems.len() > 20 {
        text.push(format!("and {} more", problems.len() - 20));
    }
    text.join("; ")
}

/// Parses a manifest.
pub fn parse(text: &str) -> Result<PodSpec, ManifestError> {
    if text.len() > MAX_BYTES {
        return Err(ManifestError::TooLong(text.len()));
    }
    let mut value = document(text, ManifestError::NotAPod)?;
    let Value::Mapping(top) = &value else {
        return Err(ManifestError::NotAPod(
            "it has no keys; a Pod starts with `apiVersion: v1` and `kind: Pod`".into(),
        ));
    };
    for (key, want) in [("apiVersion", "v1"), ("kind", "Pod")] {
        match top.get(key) {
            Some(Value::String(have)) if have == want => {}
            Some(have) => {
                let have = serde_yaml::to_string(have).unwrap_or_default();
                return Err(ManifestError::NotAPod(format!("{key} is {}; it must be {want}", have.trim())));
            }
            None => return Err(ManifestError::NotAPod(format!("{key} is missing; it must be {want}"))),
        }
    }
    let mut problems = support::unsupported(&value);
    if value.get("spec").is_some_and(|spec| spec.is_mapping() && spec.get("containers").is_none_or(Value::is_null)) {
        let text = "is missing; name the containers, or write `containers: []` for a pod that gets them later";
        let path = "spec.containers".into();
        problems.push(Problem { path, line: None, kind: ProblemKind::Invalid, text: text.into() });
    }
    // It is refused as a whole, whatever stands in it.
    value.as_mapping_mut().and_then(|top| top.remove("status"));
    let mut wrong = Vec::new();
    types::check(&mut value, schema::pod(), "", &mut wrong);
    let pod: Option<k8s_openapi::api::core::v1::Pod> = typed(&value, wrong, &mut problems, ManifestError::NotAPod)?;
    let spec = pod.and_then(|pod| convert::convert(&pod, &mut problems));
    finish(text, spec, problems)
}

/// The one document that says something. Dividing lines and comments around it do not count, nor does a byte order mark.
fn document(text: &str, failed: fn(String) -> ManifestError) -> Result<Value, ManifestError> {
    let mut all = Vec::new();
    for document in serde_yaml::Deserializer::from_str(without_mark(text)) {
        let value = Value::deserialize(document).map_err(|e| ManifestError::Syntax(e.to_string()))?;
        if !value.is_null() {
            all.push(value);
        }
    }
    match all.len() {
        0 | 1 => Ok(all.pop().unwrap_or_default()),
        n => Err(failed(format!("it is more than one document: {n}, divided by `---`; give one"))),
    }
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// The typed form, with a problem for each key that there is not; `None` when `wrong` has values of other types, which join the
/// problems: what else is said of them would be a consequence.
fn typed<T: serde::de::DeserializeOwned>(
    value: &Value,
    wrong: Vec<Problem>,
    problems: &mut Vec<Problem>,
    failed: fn(String) -> ManifestError,
) -> Result<Option<T>, ManifestError> {
    let mut unknown = Vec::new();
    let typed = serde_ignored::deserialize(value, |path| unknown.push(locate::dotted(&path.to_string())));
    note_unknown(unknown, problems);
    let sound = wrong.is_empty();
    let below = |p: &Problem, w: &Problem| {
        p.path.strip_prefix(w.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    problems.retain(|p| !wrong.iter().any(|w| below(p, w)));
    problems.extend(wrong);
    match typed {
        Ok(typed) => Ok(Some(typed).filter(|_| sound)),
        Err(e) if sound => Err(failed(e.to_string())),
        Err(_) => Ok(None),
    }
}

/// Parses one container, a core/v1 Container in YAML or JSON, that is to be made in a pod. Its volumes are the pod's, and what the
/// pod's security context says holds for it.
pub fn parse_container(text: &str, pod: &PodSpec, pod_manifest: &str) -> Result<ContainerSpec, ManifestError> {
    if text.len() > MAX_BYTES {
        return Err(ManifestError::TooLong(text.len()));
    }
    let mut value = document(text, ManifestError::NotAContainer)?;
    if !value.is_mapping() {
        return Err(ManifestError::NotAContainer("it has no keys; a container has at least `name` and `image`".into()));
    }
    let mut problems = support::unsupported_in_container(&value);
    let mut wrong = Vec::new();
    schema::container().into_iter().for_each(|node| types::one(&mut value, node, "", &mut wrong));
    let container = typed(&value, wrong, &mut problems, ManifestError::NotAContainer)?;
    let security = pod_security(pod_manifest);
    let spec = container.map(|c| convert::added(&c, pod, security.as_ref(), &mut problems));
    finish(text, spec, problems)
}

/// What the manifest of a pod that was made says of all its containers.
fn pod_security(manifest: &str) -> Option<k8s_openapi::api::core::v1::PodSecurityContext> {
    let mut value = document(manifest, ManifestError::NotAPod).ok()?;
    types::check(&mut value, schema::pod(), "", &mut Vec::new());
    let pod: k8s_openapi::api::core::v1::Pod = serde_yaml::from_value(value).ok()?;
    pod.spec?.security_context
}

/// Whether a container may be called that.
///
/// # Errors
/// Why not.
pub fn check_container_name(name: &str) -> Result<(), String> {
    convert::check_label(name)
}

/// The refusal of one place of a manifest that was parsed, for a reason that only the host knows.
#[must_use]
pub fn refuse(text: &str, path: String, why: String) -> ManifestError {
    let mut problems = vec![Problem { path, line: None, kind: ProblemKind::Invalid, text: why }];
    locate::fill_lines(text, &mut problems);
    ManifestError::Problems(problems)
}

fn note_unknown(unknown: Vec<String>, problems: &mut Vec<Problem>) {
    for path in unknown {
        problems.retain(|p| p.path != path);
        let text = "there is no such field; check its spelling and its place".into();
        problems.push(Problem { path, line: None, kind: ProblemKind::Unknown, text });
    }
}

/// What was converted, if nothing is wrong; else all that is, with lines.
fn finish<T>(text: &str, converted: Option<T>, mut problems: Vec<Problem>) -> Result<T, ManifestError> {
    match converted {
        Some(converted) if problems.is_empty() => Ok(converted),
        _ => {
            locate::fill_lines(text, &mut problems);
            problems.sort_by_key(|p| p.line.unwrap_or(usize::MAX));
            // What the pod says for all its containers is looked at for each of them.
            let mut told = std::collections::HashSet::new();
            problems.retain(|p| told.insert((p.path.clone(), p.text.clone())));
            Err(ManifestError::Problems(problems))
        }
    }
}

#[cfg(test)]
mod tests;
