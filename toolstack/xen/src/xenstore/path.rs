//! What a path may be. The rules of both daemons, so that a request that would be refused is never sent.

use super::error::{Error, Result};

/// The longest absolute path (`XENSTORE_ABS_PATH_MAX`).
pub const ABSOLUTE_MAX: usize = 3072;
/// The longest path relative to the caller's own domain (`XENSTORE_REL_PATH_MAX`).
pub const RELATIVE_MAX: usize = 2048;

/// Checks a path: absolute (`/local/domain/1`), relative to the caller's domain (`device/vif/0`), or `/`.
///
/// # Errors
/// [`Error::InvalidPath`], saying what is wrong.
pub fn check(path: &str) -> Result<()> {
    let refuse = |reason| Err(Error::InvalidPath { path: path.chars().take(120).collect(), reason });
    if path.is_empty() {
        return refuse("it is empty");
    }
    if path.len() > if path.starts_with('/') { ABSOLUTE_MAX } else { RELATIVE_MAX } {
        return refuse("it is too long");
    }
    if path == "/" {
        return Ok(());
    }
    if path.strip_prefix('/').unwrap_or(path).split('/').any(str::is_empty) {
        return refuse("a part of it is empty");
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'@' | b'/');
    if !path.bytes().all(allowed) {
        return refuse("its characters are not all of A-Z a-z 0-9 - _ @ /");
    }
    Ok(())
}

/// Checks what a watch is set on: a path, or one of the two names for domains coming and going.
///
/// # Errors
/// [`Error::InvalidPath`], saying what is wrong.
pub fn check_watch(path: &str) -> Result<()> {
    match path {
        INTRODUCE_DOMAIN | RELEASE_DOMAIN => Ok(()),
        _ => check(path),
    }
}

/// Fires when a domain was introduced to the store.
pub const INTRODUCE_DOMAIN: &str = "@introduceDomain";
/// Fires when a domain shut down, crashed, or is gone. It does not say which.
pub const RELEASE_DOMAIN: &str = "@releaseDomain";

/// The directory a node is in; `None` for `/` and for the first part of a relative path.
pub fn parent(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() == 1 => None,
        0 => Some("/"),
        at => Some(&path[..at]),
    }
}

/// Whether `path` is `root` or lies below it.
pub fn is_within(path: &str, root: &str) -> bool {
    match path.strip_prefix(root) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || root == "/",
        None => false,
    }
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
