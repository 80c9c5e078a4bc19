//! What `docker save` writes: `manifest.json`, a list of images, each with its configuration and its layers' paths.

use std::io;

use serde::Deserialize;

use super::{Context, Files, Found, Layers, document};
use crate::digest::{Digest, Hasher};
use crate::error::ErrorKind;
use crate::manifest::{Blob, synthesize};
use crate::reference::Reference;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

pub(super) fn find(
    files: Box<dyn Files + Send + Sync>,
    tag: Option<&str>,
    cx: &Context<'_>,
) -> Result<Found, ErrorKind> {
    if !files.has("manifest.json") && files.has("repositories") {
        return Err(ErrorKind::Unsupported {
            object: "the archive".to_owned(),
            what: "the format of docker before 1.10 (it has no manifest.json)".to_owned(),
        });
    }
    let raw = document(&*files, "manifest.json", cx.limits)?;
    let corrupt = |reason: String| ErrorKind::Corrupt { object: "manifest.json".to_owned(), reason };
    let images: Vec<Saved> = serde_json::from_slice(&raw).map_err(|e| corrupt(e.to_string()))?;
    let image = pick(images, tag)?;
    if image.layers.len() > cx.limits.max_layers {
        let limit = cx.limits.max_layers as u64;
        return Err(ErrorKind::TooLarge { object: "manifest.json".to_owned(), what: "the number of layers", limit });
    }
    let config = document(&*files, &image.config, cx.limits)?;
    let mut layers = Vec::new();
    for path in &image.layers {
        layers.push(hash(&*files, path, cx)?);
    }
    let manifest = synthesize(Blob { digest: Digest::of(&config), size: config.len() as u64 }, layers);
    // The configuration is named by its digest, in both styles docker has used; where that is so, it has to be right.
    let stem = image.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
    if let Ok(named) = format!("sha256:{stem}").parse::<Digest>() {
        super::verify("config", &config, &named, None)?;
    }
    Ok(Found { manifest, config, layers: Layers { files, paths: image.layers } })
}

fn pick(mut images: Vec<Saved>, tag: Option<&str>) -> Result<Saved, ErrorKind> {
    let place = || "the archive".to_owned();
    let tags = |image: &Saved| image.repo_tags.clone().unwrap_or_default();
    let all: Vec<String> = images.iter().flat_map(tags).collect();
    if let Some(tag) = tag {
        // "web:1" and "docker.io/library/web:1" are the same.
        let full = |name: &str| name.parse::<Reference>().ok();
        let fits = |name: &String| name == tag || (full(name).is_some() && full(name) == full(tag));
        images.retain(|image| tags(image).iter().any(fits));
    }
    match images.len() {
        0 => Err(ErrorKind::NotFound { place: format!("the archive: it has {}", all.join(", ")) }),
        1 => Ok(images.remove(0)),
        _ => Err(ErrorKind::Ambiguous { place: place(), candidates: all }),
    }
}

/// Nothing in the archive says what a layer's digest is, only what it is once unpacked.
fn hash(files: &dyn Files, path: &str, cx: &Context<'_>) -> Result<Blob, ErrorKind> {
    struct Into(Hasher);
    impl io::Write for Into {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.update(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    cx.cancel.check()?;
    let (reader, _) = files.open(path)?;
    let mut into = Into(Hasher::sha256());
    let size = io::copy(&mut io::BufReader::with_capacity(256 << 10, reader), &mut into)
        .map_err(|cause| ErrorKind::Source { source_name: path.to_owned(), cause })?;
    Ok(Blob { digest: into.0.finish(), size })
}
