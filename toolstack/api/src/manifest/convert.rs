//! From the typed Pod to a [`PodSpec`]: defaults filled in, every value checked.

mod container;
mod pod;

use super::{Problem, ProblemKind};
use crate::spec::PodSpec;

/// Converts; `None` when a problem leaves nothing to convert to. Any problem refuses the manifest.
pub(super) fn convert(pod: &k8s_openapi::api::core::v1::Pod, problems: &mut Vec<Problem>) -> Option<PodSpec> {
    pod::convert(pod, &mut Report { problems })
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

/// The sentence for a name that is not a label.
fn label_text(text: &str) -> String {
    format!(
        "{text:?} is not a name: at most 63 lower-case letters, digits and '-', starting and ending with a letter or digit"
    )
}
