//! The pod's own choice of a kernel, and what it adds to its command line. Whether the host has that kernel and allows those parameters
//! is the daemon's to say.

use std::collections::BTreeMap;

use super::Report;

/// The kernel: a name or a digest.
pub const KERNEL: &str = "xenpod.org/kernel";
/// Parameters for it.
pub const KERNEL_ARGS: &str = "xenpod.org/kernel-args";
/// The most bytes of them: the kernel's line has 2048 (COMMAND_LINE_SIZE of x86), of which the host has half.
const MAX_ARGS: usize = 512;

/// Whether a kernel may be called that.
#[must_use]
pub fn is_kernel_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn kernel(annotations: &BTreeMap<String, String>, report: &mut Report<'_>) -> Option<String> {
    let name = annotations.get(KERNEL)?;
    if !is_kernel_name(name) && !is_digest(name) {
        let text = format!("{name:?} is neither the name of a kernel nor sha256: and 64 hexadecimal digits");
        report.invalid(format!("metadata.annotations.{KERNEL}"), text);
    }
    Some(name.clone())
}

pub(super) fn args(annotations: &BTreeMap<String, String>, report: &mut Report<'_>) -> Vec<String> {
    let Some(text) = annotations.get(KERNEL_ARGS) else { return Vec::new() };
    let at = format!("metadata.annotations.{KERNEL_ARGS}");
    if text.len() > MAX_ARGS {
        report.invalid(at, format!("has {} bytes; the limit is {MAX_ARGS}", text.len()));
        return Vec::new();
    }
    let words: Vec<String> = text.split_ascii_whitespace().map(String::from).collect();
    // The kernel takes blanks between quotes for a part of a value, and hands on what stands behind `--`.
    let odd = |w: &&String| {
        w.starts_with(['-', '=']) || !w.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.=,:/+@%".contains(&b))
    };
    if let Some(word) = words.iter().find(odd) {
        report.invalid(at, format!("{word:?} is no parameter: NAME or NAME=VALUE, of letters, digits and _-.=,:/+@%"));
    }
    words
}
