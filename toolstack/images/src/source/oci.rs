//! The OCI image layout: `index.json`, and blobs by their digests.

use oci_spec::image::{Descriptor, ImageIndex};

use super::{Context, Files, Found, Layers, document, verify};
use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::manifest::{Blob, Document, Manifest, parse};
use crate::platform::{Offered, choose};

const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What containerd writes beside it: the full name.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

pub(super) fn find(
    files: Box<dyn Files + Send + Sync>,
    tag: Option<&str>,
    cx: &Context<'_>,
) -> Result<Found, ErrorKind> {
    check_version(&*files, cx)?;
    let raw = document(&*files, "index.json", cx.limits)?;
    let corrupt = |reason: String| ErrorKind::Corrupt { object: "index.json".to_owned(), reason };
    let index: ImageIndex = serde_json::from_slice(&raw).map_err(|e| corrupt(e.to_string()))?;
    let start = pick(index.manifests(), tag, cx)?;
    let blob = blob(start)?;
    let media_type = start.media_type().to_string();
    let manifest = resolve(&*files, blob, Some(&media_type), cx)?;
    let config = document(&*files, &blob_path(&manifest.config.digest), cx.limits)?;
    verify("config", &config, &manifest.config.digest, Some(manifest.config.size))?;
    let paths = manifest.layers.iter().map(|layer| blob_path(&layer.digest)).collect();
    Ok(Found { manifest, config, layers: Layers { files, paths } })
}

fn check_version(files: &dyn Files, cx: &Context<'_>) -> Result<(), ErrorKind> {
    let raw = document(files, "oci-layout", cx.limits)?;
    let corrupt = |reason: String| ErrorKind::Corrupt { object: "oci-layout".to_owned(), reason };
    let value: serde_json::Value = serde_json::from_slice(&raw).map_err(|e| corrupt(e.to_string()))?;
    match value["imageLayoutVersion"].as_str() {
        Some(version) if version.starts_with("1.") => Ok(()),
        _ => Err(ErrorKind::Unsupported {
            object: "oci-layout".to_owned(),
            what: format!("image layout version {}", value["imageLayoutVersion"]),
        }),
    }
}

/// The entry of `index.json` that is meant.
fn pick<'a>(entries: &'a [Descriptor], tag: Option<&str>, cx: &Context<'_>) -> Result<&'a Descriptor, ErrorKind> {
    let place = || "the layout".to_owned();
    let mut names: Vec<String> = entries.iter().flat_map(names).collect();
    names.sort();
    names.dedup();
    let fitting: Vec<&Descriptor> = match tag {
        Some(tag) => entries.iter().filter(|e| names_of_match(e, tag)).collect(),
        None => entries.iter().collect(),
    };
    match fitting[..] {
        [] if entries.is_empty() => Err(ErrorKind::NotFound { place: "the layout: its index is empty".to_owned() }),
        [] => Err(ErrorKind::NotFound { place: format!("the layout: it has {}", names.join(", ")) }),
        [one] => Ok(one),
        _ if names.len() > 1 && tag.is_none() => Err(ErrorKind::Ambiguous { place: place(), candidates: names }),
        _ => {
            // One image for several platforms, without an index of its own.
            let offers: Vec<_> = fitting.into_iter().map(|e| (offered(e), e)).collect();
            choose(&offers, cx.platform).copied()
        }
    }
}

fn names(entry: &Descriptor) -> impl Iterator<Item = String> {
    let annotations = entry.annotations().clone().unwrap_or_default();
    annotations.get(REF_NAME).or(annotations.get(CONTAINERD_NAME)).cloned().into_iter()
}

fn names_of_match(entry: &Descriptor, tag: &str) -> bool {
    let annotations = entry.annotations().clone().unwrap_or_default();
    [REF_NAME, CONTAINERD_NAME].iter().any(|key| annotations.get(*key).is_some_and(|name| name == tag))
}

fn offered(entry: &Descriptor) -> Option<Offered> {
    entry.platform().as_ref().map(|p| Offered {
        os: p.os().to_string(),
        architecture: p.architecture().to_string(),
        variant: p.variant().clone().unwrap_or_default(),
    })
}

fn blob(descriptor: &Descriptor) -> Result<Blob, ErrorKind> {
    let digest = descriptor
        .digest()
        .to_string()
        .parse()
        .map_err(|e| ErrorKind::Corrupt { object: "index.json".to_owned(), reason: format!("{e}") })?;
    Ok(Blob { digest, size: descriptor.size() })
}

/// Follows indexes down to a manifest for our platform.
fn resolve(files: &dyn Files, mut at: Blob, media_type: Option<&str>, cx: &Context<'_>) -> Result<Manifest, ErrorKind> {
    let mut media_type = media_type.map(str::to_owned);
    for _ in 0..=cx.limits.max_index_depth {
        let raw = document(files, &blob_path(&at.digest), cx.limits)?;
        verify("manifest", &raw, &at.digest, Some(at.size))?;
        match parse(&raw, media_type.as_deref(), cx.limits)? {
            Document::Manifest(manifest) => return Ok(manifest),
            Document::Index(offers) => at = choose(&offers, cx.platform)?.clone(),
        }
        media_type = None;
    }
    let limit = cx.limits.max_index_depth as u64;
    Err(ErrorKind::TooLarge { object: format!("manifest {}", at.digest), what: "the depth of its indexes", limit })
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}
