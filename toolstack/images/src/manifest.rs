//! Manifests and indexes, OCI and Docker schema 2: parsed, and vetted for kinds we do not take.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde_json::Value;

use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::platform::Offered;

/// What a registry is asked for.
pub const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                          application/vnd.docker.distribution.manifest.list.v2+json, \
                          application/vnd.docker.distribution.manifest.v2+json";

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A blob as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// An image manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Of `raw`: the image's id.
    pub id: Digest,
    /// As received.
    pub raw: Vec<u8>,
    /// The image configuration.
    pub config: Blob,
    /// Lowest first.
    pub layers: Vec<Blob>,
}

/// A parsed document.
#[derive(Debug)]
pub enum Document {
    /// An image.
    Manifest(Manifest),
    /// A choice of images, or of further indexes.
    Index(Vec<(Option<Offered>, Blob)>),
}

/// Parses a manifest or an index. `content_type` is what the registry or the descriptor calls it, if anything did.
pub fn parse(raw: &[u8], content_type: Option<&str>, limits: &Limits) -> Result<Document, ErrorKind> {
    let id = Digest::of(raw);
    let object = format!("manifest {id}");
    let corrupt = |reason: String| ErrorKind::Corrupt { object: object.clone(), reason };
    let unsupported = |what: String| ErrorKind::Unsupported { object: object.clone(), what };
    let value: Value = serde_json::from_slice(raw).map_err(|e| corrupt(format!("not JSON: {e}")))?;
    if value["schemaVersion"] == 1 || value.get("fsLayers").is_some() {
        return Err(unsupported("the manifest format \"Docker schema 1\"".to_owned()));
    }
    if value["schemaVersion"] != 2 {
        return Err(unsupported(format!("schemaVersion {}", value["schemaVersion"])));
    }
    let is_index = value.get("manifests").is_some();
    if is_index && (value.get("layers").is_some() || value.get("config").is_some()) {
        // Two readers could take it for two different images (CVE-2021-41190).
        return Err(corrupt("it is both a manifest and an index".to_owned()));
    }
    let said = value["mediaType"].as_str();
    if let (Some(said), Some(content_type)) = (said, content_type)
        && said != content_type
        && is_known(content_type)
    {
        return Err(corrupt(format!("it says it is {said}, but is served as {content_type}")));
    }
    if let Some(said) = said {
        let says_index = said.contains("index") || said.contains("list");
        if !is_known(said) || says_index != is_index {
            return Err(unsupported(format!("media type {said:?}")));
        }
    }
    if is_index {
        let index: ImageIndex = serde_json::from_value(value).map_err(|e| corrupt(e.to_string()))?;
        return index
            .manifests()
            .iter()
            .filter_map(|d| offer(d, &object).transpose())
            .collect::<Result<_, _>>()
            .map(Document::Index);
    }
    if let Some(kind) = value.get("artifactType").and_then(Value::as_str) {
        return Err(unsupported(format!("an artifact of type {kind:?}, not an image,")));
    }
    let mut value = value;
    if value.get("layers").is_some_and(Value::is_null) {
        value["layers"] = Value::Array(Vec::new());
    }
    let manifest: ImageManifest = serde_json::from_value(value).map_err(|e| corrupt(e.to_string()))?;
    let config_type = manifest.config().media_type().to_string();
    if !matches!(
        config_type.as_str(),
        "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json"
    ) {
        return Err(unsupported(format!("a configuration of type {config_type:?}")));
    }
    if manifest.layers().len() > limits.max_layers {
        return Err(ErrorKind::TooLarge { object, what: "the number of layers", limit: limits.max_layers as u64 });
    }
    let layers = manifest.layers().iter().map(layer).collect::<Result<_, _>>()?;
    Ok(Document::Manifest(Manifest { id, raw: raw.to_vec(), config: blob(manifest.config(), &object)?, layers }))
}

fn is_known(media_type: &str) -> bool {
    ACCEPT.split(", ").any(|known| known == media_type)
}

fn blob(descriptor: &Descriptor, object: &str) -> Result<Blob, ErrorKind> {
    let corrupt = |reason: String| ErrorKind::Corrupt { object: object.to_owned(), reason };
    let digest = descriptor.digest().to_string().parse().map_err(|e| corrupt(format!("{e}")))?;
    Ok(Blob { digest, size: descriptor.size() })
}

/// An entry of an index; `None` for those that are no images (attestations, signatures).
fn offer(descriptor: &Descriptor, object: &str) -> Result<Option<(Option<Offered>, Blob)>, ErrorKind> {
    if !is_known(descriptor.media_type().as_ref()) {
        return Ok(None);
    }
    let offered = descriptor.platform().as_ref().map(|p| Offered {
        os: p.os().to_string(),
        architecture: p.architecture().to_string(),
        variant: p.variant().clone().unwrap_or_default(),
    });
    Ok(Some((offered, blob(descriptor, object)?)))
}

/// A layer, if it is of a kind we take. How it is compressed is seen from its first bytes later.
fn layer(descriptor: &Descriptor) -> Result<Blob, ErrorKind> {
    let object = format!("layer {}", descriptor.digest());
    let media_type = descriptor.media_type().to_string();
    let unsupported = |what: String| ErrorKind::Unsupported { object: object.clone(), what };
    if media_type.contains("foreign") || media_type.contains("nondistributable") {
        return Err(unsupported(format!("a layer that its registry does not hold ({media_type})")));
    }
    if media_type.ends_with("+encrypted") {
        return Err(unsupported(format!("an encrypted layer ({media_type})")));
    }
    match media_type.as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => blob(descriptor, &object),
        _ => Err(unsupported(format!("media type {media_type:?}"))),
    }
}

/// The manifest of an image that has none: a Docker archive's. Written by hand so that its bytes, and with them the
/// image's id, depend on nothing else.
pub fn synthesize(config: Blob, layers: Vec<Blob>) -> Manifest {
    let descriptor = |media_type: &str, blob: &Blob| {
        format!(r#"{{"mediaType":"{media_type}","size":{},"digest":"{}"}}"#, blob.size, blob.digest)
    };
    let layer = |blob: &Blob| descriptor("application/vnd.docker.image.rootfs.diff.tar", blob);
    let raw = format!(
        r#"{{"schemaVersion":2,"mediaType":"{DOCKER_MANIFEST}","config":{},"layers":[{}]}}"#,
        descriptor("application/vnd.docker.container.image.v1+json", &config),
        layers.iter().map(layer).collect::<Vec<_>>().join(",")
    )
    .into_bytes();
    Manifest { id: Digest::of(&raw), raw, config, layers }
}

#[cfg(test)]
mod tests;
