//! The image configuration: what to run and how.

use std::collections::BTreeMap;

use oci_spec::image::ImageConfiguration;

use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::platform::{Offered, Platform};

/// What an image says about running it. Lists that JSON keeps as sets are sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// `NAME=value`.
    pub env: Vec<String>,
    /// First words of the command.
    pub entrypoint: Vec<String>,
    /// Further words, or the command where there is no entrypoint.
    pub cmd: Vec<String>,
    /// Absolute, or empty for `/`.
    pub working_dir: String,
    /// `user[:group]`, names or numbers, resolved in the image; empty for root.
    pub user: String,
    /// `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// Paths that want storage of their own.
    pub volumes: Vec<String>,
    /// `SIGTERM` or a number; empty if not given.
    pub stop_signal: String,
    /// Free text by key.
    pub labels: BTreeMap<String, String>,
    /// When it was built, RFC 3339, if it says.
    pub created: Option<String>,
    /// `amd64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
}

/// Parses a configuration and checks that it is for `platform` and describes `layers` layers. Also returns the digests
/// of the uncompressed layers, lowest first.
pub fn parse(
    raw: &[u8],
    digest: &Digest,
    platform: &Platform,
    layers: usize,
) -> Result<(ImageConfig, Vec<Digest>), ErrorKind> {
    let object = format!("config {digest}");
    let corrupt = |reason: String| ErrorKind::Corrupt { object: object.clone(), reason };
    let mut value: serde_json::Value = serde_json::from_slice(raw).map_err(|e| corrupt(format!("not JSON: {e}")))?;
    // An image without layers has none of these, or null.
    let rootfs = value.get_mut("rootfs").and_then(|rootfs| rootfs.as_object_mut());
    if let Some(rootfs) = rootfs.filter(|rootfs| rootfs.get("diff_ids").is_none_or(|ids| ids.is_null())) {
        rootfs.insert("diff_ids".to_owned(), serde_json::json!([]));
    }
    let parsed: ImageConfiguration = serde_json::from_value(value).map_err(|e| corrupt(e.to_string()))?;
    let offered = Offered {
        os: parsed.os().to_string(),
        architecture: parsed.architecture().to_string(),
        variant: parsed.variant().clone().unwrap_or_default(),
    };
    if offered.fits(platform).is_none() {
        return Err(ErrorKind::WrongPlatform { wanted: platform.to_string(), available: vec![offered.to_string()] });
    }
    let diff_ids = parsed.rootfs().diff_ids();
    if diff_ids.len() != layers {
        return Err(corrupt(format!("it names {} layers, the manifest {layers}", diff_ids.len())));
    }
    let diff_ids = diff_ids.iter().map(|id| id.parse::<Digest>()).collect::<Result<Vec<_>, _>>();
    let diff_ids = diff_ids.map_err(|e| corrupt(e.to_string()))?;
    let inner = parsed.config().clone().unwrap_or_default();
    let sorted = |list: &Option<Vec<String>>| {
        let mut list = list.clone().unwrap_or_default();
        list.sort();
        list
    };
    let config = ImageConfig {
        env: inner.env().clone().unwrap_or_default(),
        entrypoint: inner.entrypoint().clone().unwrap_or_default(),
        cmd: inner.cmd().clone().unwrap_or_default(),
        working_dir: inner.working_dir().clone().unwrap_or_default(),
        user: inner.user().clone().unwrap_or_default(),
        exposed_ports: sorted(inner.exposed_ports()),
        volumes: sorted(inner.volumes()),
        stop_signal: inner.stop_signal().clone().unwrap_or_default(),
        labels: inner.labels().clone().unwrap_or_default().into_iter().collect(),
        created: parsed.created().clone(),
        architecture: offered.architecture,
        os: offered.os,
    };
    // None of these could be passed to a process.
    let words =
        config.env.iter().chain(&config.entrypoint).chain(&config.cmd).chain([&config.working_dir, &config.user]);
    if words.into_iter().any(|word| word.contains('\0')) {
        return Err(corrupt("a value contains a NUL character".to_owned()));
    }
    Ok((config, diff_ids))
}

#[cfg(test)]
mod tests;
