//! Which parameters a pod may add to its kernel's command line.

/// Those that are allowed unless the configuration says otherwise. They change what the pod's own kernel says, or how it treats the pod's
/// own memory. What is not here could keep guest-init from running or from being heard (`init`, `rdinit`, `console`, `xen_*`, `mem`), or
/// undo what the host's own parameters are for (`tsc`, `swiotlb`).
pub const DEFAULT_ALLOWED: [&str; 12] = [
    "quiet",
    "debug",
    "loglevel",
    "ignore_loglevel",
    "log_buf_len",
    "panic",
    "panic_on_warn",
    "oops",
    "transparent_hugepage",
    "init_on_alloc",
    "init_on_free",
    "mitigations",
];

/// The name of a parameter, as the kernel compares it: `-` and `_` are the same (kernel/params.c).
fn name(parameter: &str) -> String {
    parameter.split('=').next().unwrap_or_default().replace('-', "_")
}

/// The first of these parameters that is not allowed.
#[must_use]
pub fn first_refused<'a>(parameters: &'a [String], allowed: &[String]) -> Option<&'a str> {
    let is_allowed = |p: &&String| allowed.iter().any(|a| name(a) == name(p));
    parameters.iter().find(|p| !is_allowed(p)).map(String::as_str)
}
