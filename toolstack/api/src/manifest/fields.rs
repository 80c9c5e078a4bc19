//! The fields of a Pod that xenpod acts on, with what is to be said of each, and why the others are refused.
//!
//! This is the only place: the converter asks it what to let through, `xenpodctl explain` and `xenpod-manifest(5)` say what stands here.
//! Types are not in it: they are those of Kubernetes ([`super::schema`]). In texts, what stands in backquotes is to be typed.

mod annotations;
mod container;
mod pod;
mod refused;

pub use annotations::{ANNOTATIONS, Annotation, PREFIX};
pub use refused::why;
pub(super) use refused::{MAC, SCHEDULER};

/// What is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// Any value that the converter takes; of an object all that stands in it.
    Any,
    /// Only this value, which asks for nothing beyond what is done anyway.
    Only(&'static str),
    /// What stands in the table below it.
    Below,
}

/// A field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where it stands, elements of lists as `[]`. What stands for `containers` holds for `initContainers`, what stands for the liveness
    /// probe for the other two, what stands for `preStop` for `postStart`.
    pub path: &'static str,
    /// What is let through.
    pub accepts: Accepts,
    /// What it means here, with units and bounds.
    pub text: &'static str,
    /// What holds without it; nothing where nothing does.
    pub default: &'static str,
}

impl Field {
    /// The same, with what holds without it.
    const fn or(self, default: &'static str) -> Self {
        Self { default, ..self }
    }
}

const fn any(path: &'static str, text: &'static str) -> Field {
    Field { path, accepts: Accepts::Any, text, default: "" }
}

const fn only(path: &'static str, value: &'static str, text: &'static str) -> Field {
    Field { path, accepts: Accepts::Only(value), text, default: value }
}

const fn below(path: &'static str, text: &'static str) -> Field {
    Field { path, accepts: Accepts::Below, text, default: "" }
}

/// Of each `resourceFieldRef`.
const RESOURCE: &str = "`limits.cpu`, `limits.memory`, `requests.cpu` or `requests.memory`. A limit that is not given is all that the \
                        pod has, a request that is not given is the limit.";
/// Of a pod's and a container's AppArmor profile.
const APPARMOR: &str = "The guest's kernel has no such module.";
const UNCONFINED: &str = "Must be `Unconfined`.";
const DIVISOR: &str = "The unit: what the value is divided by, rounded up.";

/// Every field of the table, in the order of the manual page.
pub fn all() -> impl Iterator<Item = &'static Field> {
    pod::FIELDS.iter().chain(container::FIELDS)
}

/// The path under which a field stands in the table: some of Kubernetes' have a common entry.
#[must_use]
pub fn canonical(path: &str) -> String {
    let mut text = path.to_owned();
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

/// The entry for a field, by its canonical path.
#[must_use]
pub fn find(path: &str) -> Option<&'static Field> {
    all().find(|f| f.path == path)
}

/// Why a field takes one value only, by its canonical path.
#[must_use]
pub fn why_only(path: &str) -> String {
    if let Some(why) = refused::exactly(path) {
        return why.into();
    }
    let text = find(path).map_or("", |f| f.text).trim_end_matches('.');
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
