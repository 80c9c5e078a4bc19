//! Everything that can go wrong with an image, each with its own kind.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;

/// An error about one image: which, and what.
#[derive(Debug, thiserror::Error)]
#[error("image {image}: {kind}")]
pub struct Error {
    /// The image's name or digest as the caller knows it.
    pub image: String,
    /// What went wrong. Its text is part of this error's own; it is not repeated as `source()`.
    pub kind: ErrorKind,
}

/// What went wrong, named so that a caller can map each to its own error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name is no image reference.
    #[error("{input:?} is not an image name: {reason}")]
    BadReference {
        /// What was given.
        input: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// Nothing of that name here (store), there (registry) or in the archive.
    #[error("not found in {place}")]
    NotFound {
        /// Where was looked: `the image store`, a registry's host, an archive.
        place: String,
    },
    /// A short digest that fits several images, or an archive that holds several.
    #[error("{place} holds several that fit: {}; name one of them", candidates.join(", "))]
    Ambiguous {
        /// Where was looked.
        place: String,
        /// What fits.
        candidates: Vec<String>,
    },
    /// The registry wants credentials, or denies that the repository exists to the anonymous.
    #[error("registry {registry} refuses anonymous access to {repository}: {detail}")]
    Unauthorized {
        /// Host and port.
        registry: String,
        /// Repository.
        repository: String,
        /// The registry's own words.
        detail: String,
    },
    /// No answer: name resolution, connection, TLS, or the connection breaks again and again.
    #[error("registry {registry} cannot be reached: {detail}")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// The chain of causes.
        detail: String,
    },
    /// It answered, but with something the protocol does not allow or a server error that lasts.
    #[error("registry {registry} answered {answer} to {request}")]
    Registry {
        /// Host and port.
        registry: String,
        /// Status and the registry's words.
        answer: String,
        /// What was asked.
        request: String,
    },
    /// The bytes are not those that were promised.
    #[error("{object} has digest {actual}, expected {expected}")]
    DigestMismatch {
        /// `layer sha256:…`, `manifest …`, `config …`.
        object: String,
        /// What the referrer says.
        expected: Digest,
        /// What the bytes say.
        actual: Digest,
    },
    /// Fewer or more bytes than the manifest says.
    #[error("{object} is {actual} bytes, manifest says {expected}")]
    Truncated {
        /// `layer sha256:…`, `config …`.
        object: String,
        /// Bytes the descriptor promises.
        expected: u64,
        /// Bytes there are; when there are more than promised, one more than promised is reported.
        actual: u64,
    },
    /// An entry of a layer tries to reach outside the image.
    #[error("layer {layer}: entry \"{entry}\" reaches outside the image: {how}")]
    Escape {
        /// The layer's digest.
        layer: String,
        /// The entry's name, escaped where it is not UTF-8.
        entry: String,
        /// By which means.
        how: String,
    },
    /// An entry that cannot be what it says.
    #[error("layer {layer}: entry \"{entry}\": {reason}")]
    BadEntry {
        /// The layer's digest.
        layer: String,
        /// The entry's name.
        entry: String,
        /// What is wrong.
        reason: String,
    },
    /// A layer that is no sound (compressed) tar.
    #[error("layer {layer}: {reason}")]
    BadLayer {
        /// The layer's digest.
        layer: String,
        /// What is wrong and where.
        reason: String,
    },
    /// Well-formed, but of a kind we do not take.
    #[error("{object}: {what} is not supported")]
    Unsupported {
        /// What carries it.
        object: String,
        /// The kind.
        what: String,
    },
    /// The image is for other machines.
    #[error("no image for {wanted}; it is for {}", available.join(", "))]
    WrongPlatform {
        /// `linux/amd64`.
        wanted: String,
        /// What there is.
        available: Vec<String>,
    },
    /// A bound of [`crate::Limits`] is exceeded.
    #[error("{object}: {what} exceeds the limit of {limit}")]
    TooLarge {
        /// What carries it.
        object: String,
        /// Which quantity.
        what: &'static str,
        /// The bound, in the quantity's unit.
        limit: u64,
    },
    /// A pod uses it.
    #[error("in use by {users}; remove that first")]
    InUse {
        /// Who, as told by the caller.
        users: String,
    },
    /// A document that is not what it has to be.
    #[error("{object} is malformed: {reason}")]
    Corrupt {
        /// `manifest sha256:…`, `index.json`, `oci-layout`.
        object: String,
        /// What is wrong.
        reason: String,
    },
    /// The source file or directory cannot be read.
    #[error("{source_name} cannot be read: {cause}")]
    Source {
        /// What was being read.
        source_name: String,
        /// Why not.
        cause: io::Error,
    },
    /// The store cannot be read or written.
    #[error("cannot {act} {}: {cause}", path.display())]
    Store {
        /// What was being done.
        act: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// Another process has the store open.
    #[error("{} is in use by another process", path.display())]
    Busy {
        /// The store's directory.
        path: PathBuf,
    },
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
    /// A worker thread panicked: a bug in this crate, contained.
    #[error("internal error: {0}")]
    Internal(String),
}

impl ErrorKind {
    /// The same, about the image of that name.
    pub fn of(self, image: impl ToString) -> Error {
        Error { image: image.to_string(), kind: self }
    }

    /// Whether it is the image's bytes that are wrong, so that the next try ends the same way.
    pub(crate) fn blames_the_image(&self) -> bool {
        matches!(
            self,
            Self::DigestMismatch { .. }
                | Self::Truncated { .. }
                | Self::Escape { .. }
                | Self::BadEntry { .. }
                | Self::BadLayer { .. }
                | Self::Unsupported { .. }
                | Self::TooLarge { .. }
                | Self::Corrupt { .. }
        )
    }

    /// An I/O error on the store's own files.
    pub(crate) fn store(act: &'static str, path: impl Into<PathBuf>, cause: io::Error) -> Self {
        Self::Store { act, path: path.into(), cause }
    }
}

/// Names may be any bytes; in messages control characters are escaped and what is not UTF-8 is shown as `\xNN`.
pub(crate) fn printable(name: &[u8]) -> String {
    let mut out = String::with_capacity(name.len().min(300));
    for chunk in name[..name.len().min(300)].utf8_chunks() {
        out.extend(chunk.valid().escape_debug());
        for byte in chunk.invalid() {
            use std::fmt::Write as _;
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    if name.len() > 300 {
        out.push('…');
    }
    out
}
