//! Images on this machine's disks: OCI layouts, and OCI and Docker archives.
//!
//! A source is an open file or directory, never a path: the daemon is handed descriptors by its clients and must not
//! open what they could not. [`oci`] and [`docker`] know the two formats; both read through [`Files`], behind which is
//! a directory ([`dir`]) or a tar ([`archive`]).

mod archive;
mod dir;
mod docker;
mod oci;

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::platform::Platform;
use crate::progress::Cancel;

/// An image to import.
#[derive(Debug)]
pub struct Source {
    /// Its format.
    pub kind: SourceKind,
    /// The archive, or the layout's directory. An archive need not be seekable.
    pub fd: OwnedFd,
    /// Which image, where there are several: a tag or the name it was saved under.
    pub tag: Option<String>,
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// `oci:`, a directory.
    OciLayout,
    /// `oci-archive:`, the tar of such a directory.
    OciArchive,
    /// `docker-archive:`, what `docker save` writes.
    DockerArchive,
}

impl FromStr for SourceKind {
    type Err = ErrorKind;

    fn from_str(s: &str) -> Result<Self, ErrorKind> {
        match s {
            "oci" => Ok(Self::OciLayout),
            "oci-archive" => Ok(Self::OciArchive),
            "docker-archive" => Ok(Self::DockerArchive),
            _ => Err(ErrorKind::BadReference {
                input: s.to_owned(),
                reason: "the transport is one of oci, oci-archive and docker-archive",
            }),
        }
    }
}

impl Source {
    /// Opens a path: for callers that act for themselves.
    pub fn open(kind: SourceKind, path: &Path, tag: Option<String>) -> Result<Self, ErrorKind> {
        let file =
            File::open(path).map_err(|cause| ErrorKind::Source { source_name: path.display().to_string(), cause })?;
        Ok(Self { kind, fd: file.into(), tag })
    }
}

/// An image found in a source, its documents verified; layers are yet to be read.
pub(crate) struct Found {
    pub manifest: Manifest,
    pub config: Vec<u8>,
    pub layers: Layers,
}

/// Where an image's layers are.
pub(crate) struct Layers {
    files: Box<dyn Files + Send + Sync>,
    /// Lowest first.
    paths: Vec<String>,
}

impl Layers {
    /// Opens a layer's blob.
    pub fn open(&self, layer: usize) -> Result<Box<dyn Read + Send>, ErrorKind> {
        let path = self.paths.get(layer).map_or("", String::as_str);
        Ok(self.files.open(path)?.0)
    }
}

/// Named byte streams.
pub(crate) trait Files {
    /// Opens a file by its path inside the source; also says how long it is.
    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), ErrorKind>;
    /// Whether there is such a file.
    fn has(&self, path: &str) -> bool;
}

/// What looking into a source needs.
pub(crate) struct Context<'a> {
    pub limits: &'a Limits,
    pub platform: &'a Platform,
    /// Where an archive that cannot be read at random is unpacked to, as an unlinked file.
    pub spool_dir: &'a Path,
    pub cancel: &'a Cancel,
}

/// Finds the image asked for.
pub(crate) fn find(source: Source, cx: &Context<'_>) -> Result<Found, ErrorKind> {
    let tag = source.tag.as_deref();
    match source.kind {
        SourceKind::OciLayout => oci::find(Box::new(dir::Dir::new(source.fd)?), tag, cx),
        SourceKind::OciArchive => oci::find(Box::new(archive::Archive::new(source.fd.into(), cx)?), tag, cx),
        SourceKind::DockerArchive => docker::find(Box::new(archive::Archive::new(source.fd.into(), cx)?), tag, cx),
    }
}

/// Reads a document whole, up to the limit.
fn document(files: &dyn Files, path: &str, limits: &Limits) -> Result<Vec<u8>, ErrorKind> {
    let (reader, size) = files.open(path)?;
    let limit = limits.max_document_bytes;
    if size > limit {
        return Err(ErrorKind::TooLarge { object: path.to_owned(), what: "its size", limit });
    }
    let mut bytes = Vec::new();
    reader
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|cause| ErrorKind::Source { source_name: path.to_owned(), cause })?;
    Ok(bytes)
}

/// Checks a document against what points to it.
pub(crate) fn verify(object: &str, bytes: &[u8], digest: &Digest, size: Option<u64>) -> Result<(), ErrorKind> {
    if let Some(expected) = size.filter(|&size| size != bytes.len() as u64) {
        return Err(ErrorKind::Truncated {
            object: format!("{object} {digest}"),
            expected,
            actual: bytes.len() as u64,
        });
    }
    let mut hasher = digest.hasher();
    hasher.update(bytes);
    let actual = hasher.finish();
    if actual != *digest {
        let object = format!("{object} {digest}");
        return Err(ErrorKind::DigestMismatch { object, expected: digest.clone(), actual });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
