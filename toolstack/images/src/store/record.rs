//! What is kept of an image beside its filesystem.

use serde::{Deserialize, Serialize};

use crate::config::{self, ImageConfig};
use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::manifest::{Document, Manifest, parse};
use crate::platform::Platform;

/// A record in use.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub config: ImageConfig,
    pub size: u64,
    pub layers: Vec<Digest>,
}

/// A record on disk. The documents are kept verbatim, so that they can be checked and so that a later version can read
/// more out of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    version: u32,
    manifest: String,
    config: String,
    erofs_size: u64,
    platform: (String, String, u8),
}

const VERSION: u32 = 1;

impl Stored {
    pub fn new(manifest: &Manifest, config: &[u8], erofs_size: u64, platform: &Platform) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let platform = (platform.os.clone(), platform.architecture.clone(), platform.level);
        Self { version: VERSION, manifest: text(&manifest.raw), config: text(config), erofs_size, platform }
    }

    /// Parses a record and checks that it is that of `id`.
    pub fn read(&self, id: &Digest) -> Result<Record, ErrorKind> {
        let corrupt = |reason: &str| ErrorKind::Corrupt { object: format!("record {id}"), reason: reason.to_owned() };
        if self.version != VERSION {
            return Err(corrupt("its version is not ours"));
        }
        let Document::Manifest(manifest) = parse(self.manifest.as_bytes(), None, &Limits::default())? else {
            return Err(corrupt("its manifest is an index"));
        };
        let config_digest = manifest.config.digest.clone();
        let mut hasher = id.hasher();
        hasher.update(self.manifest.as_bytes());
        if hasher.finish() != *id {
            return Err(corrupt("its manifest has another digest"));
        }
        let (os, architecture, level) = self.platform.clone();
        let platform = Platform { os, architecture, level };
        let (config, _) = config::parse(self.config.as_bytes(), &config_digest, &platform, manifest.layers.len())?;
        Ok(Record { config, size: self.erofs_size, layers: manifest.layers.into_iter().map(|l| l.digest).collect() })
    }
}
