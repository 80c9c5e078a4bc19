//! From the typed Pod to a [`PodSpec`]: defaults filled in, every value checked.

mod container;
mod env;
mod health;
mod kernel;
mod metadata;
mod placement;
mod pod;
mod resource;
mod security;
mod volumes;

pub use volumes::{is_key, is_source_name};

pub use container::check_limits;
pub use kernel::{KERNEL, KERNEL_ARGS, is_kernel_name};
pub use metadata::{check_annotations, check_labels, check_pod_name};
pub use pod::{MAX_CONTAINERS, check_size};

use k8s_openapi::api::core::v1 as core;

use super::{Problem, ProblemKind};
use crate::spec::{ContainerSpec, PodSpec, Role};

/// Converts; `None` when a problem leaves nothing to convert to. Any problem refuses the manifest.
pub(super) fn convert(pod: &core::Pod, problems: &mut Vec<Problem>) -> Option<PodSpec> {
    pod::convert(pod, &mut Report { problems })
}

/// Converts a container that is to be made in `pod`. The paths of its problems begin at the container.
pub(super) fn added(
    c: &core::Container,
    pod: &PodSpec,
    security: Option<&core::PodSecurityContext>,
    problems: &mut Vec<Problem>,
) -> ContainerSpec {
    // Within, the paths begin with a dot, as below a container with a path.
    let mut own: Vec<Problem> = problems.drain(..).map(|p| Problem { path: format!(".{}", p.path), ..p }).collect();
    let mut report = Report { problems: &mut own };
    let mut spec = container::convert(c, "", security, &mut report);
    spec.role = Role::Added;
    if c.restart_policy.is_some() {
        report.unsupported(".restartPolicy", "is not supported; the option restart_policy says it");
    }
    for (k, m) in spec.mounts.iter().enumerate() {
        if !pod.volumes.iter().any(|v| v.name == m.volume) {
            let text =
                format!("pod {} has no volume {:?}; a volume is named in the pod's manifest", pod.name, m.volume);
            report.invalid(format!(".volumeMounts[{k}].name"), text);
        }
    }
    problems.extend(own.into_iter().map(|mut p| {
        p.path = p.path.trim_start_matches('.').into();
        p
    }));
    spec
}

/// Where problems go.
struct Report<'a> {
    problems: &'a mut Vec<Problem>,
}

impl Report<'_> {
    fn invalid(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.add(ProblemKind::Invalid, path.into(), text.into());
    }

    fn unsupported(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.add(ProblemKind::Unsupported, path.into(), text.into());
    }

    /// Whether something at that path, or below it, has been reported.
    fn has(&self, path: &str) -> bool {
        let below =
            |p: &Problem| p.path.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.problems.iter().any(below)
    }

    fn add(&mut self, kind: ProblemKind, path: String, text: String) {
        self.problems.push(Problem { path, line: None, kind, text });
    }

    /// The value, or its default after the error was noted.
    fn take<T: Default, E: std::fmt::Display>(&mut self, path: &str, value: Result<T, E>) -> T {
        value.unwrap_or_else(|e| {
            self.invalid(path, e.to_string());
            T::default()
        })
    }
}

/// A DNS-1123 label: what Kubernetes takes as a container's name and as a hostname.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

pub(super) fn check_label(text: &str) -> Result<(), String> {
    if is_label(text) { Ok(()) } else { Err(label_text(text)) }
}

/// The sentence for a name that is not a label.
fn label_text(text: &str) -> String {
    format!(
        "{text:?} is not a name: at most 63 lower-case letters, digits and '-', starting and ending with a letter or digit"
    )
}
