//! From spooled layers to an image in the store. Synchronous: callers run it on a blocking thread.

use super::record::{Record, Stored};
use super::{Image, ImageStore, durable};
use crate::config;
use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::layer::{Expected, Spool};
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::platform::Platform;
use crate::progress::{Cancel, Progress, ProgressFn};
use crate::reference::Reference;
use crate::tree::Tree;

/// Everything about an image but its layers' contents.
pub(super) struct Plan {
    pub name: Reference,
    pub manifest: Manifest,
    pub config: Vec<u8>,
    pub platform: Platform,
    /// For each layer, lowest first.
    pub layers: Vec<Expected>,
}

impl Plan {
    pub fn new(
        name: Reference,
        manifest: Manifest,
        config: Vec<u8>,
        platform: Platform,
        limits: &Limits,
    ) -> Result<Self, ErrorKind> {
        let total = manifest.layers.iter().fold(0u64, |sum, layer| sum.saturating_add(layer.size));
        if total > limits.max_image_bytes {
            let (object, limit) = (format!("manifest {}", manifest.id), limits.max_image_bytes);
            return Err(ErrorKind::TooLarge { object, what: "the size of all layers", limit });
        }
        let (_, diff_ids) = config::parse(&config, &manifest.config.digest, &platform, manifest.layers.len())?;
        let expected = |(layer, diff_id): (&crate::manifest::Blob, Digest)| Expected {
            digest: layer.digest.clone(),
            size: layer.size,
            diff_id,
        };
        let layers = manifest.layers.iter().zip(diff_ids).map(expected).collect();
        Ok(Self { name, manifest, config, platform, layers })
    }

    /// Told as soon as it is known what is coming.
    pub fn announce(&self, progress: &ProgressFn) {
        let layers = self.layers.iter().map(|l| (l.digest.clone(), l.size)).collect();
        progress(Progress::Resolved { id: self.manifest.id.clone(), layers });
    }
}

impl ImageStore {
    /// Merges the layers, writes the filesystem, and records the image under its name.
    pub(super) fn build(
        &self,
        plan: &Plan,
        spools: &[Spool],
        cancel: &Cancel,
        progress: &ProgressFn,
    ) -> Result<Image, ErrorKind> {
        let limits = &self.inner.limits;
        let mut tree = Tree::new();
        for (index, spool) in spools.iter().enumerate() {
            tree.apply(index as u32, spool, limits, cancel)?;
        }
        let id = &plan.manifest.id;
        let object = format!("image {id}");
        let out = durable::temporary(&self.inner.dir.join("images"))?;
        let mut tell = |done, total| progress(Progress::Building { done, total });
        let size = crate::erofs::build(&tree, spools, id.uuid(), out.as_file(), &object, limits, cancel, &mut tell)?;
        durable::persist(out, &self.erofs_path(id))?;
        let record = self.record(plan, size).inspect_err(|_| {
            // Without a record it is garbage; should this fail too, the next start removes it.
            let _ = durable::remove(&self.erofs_path(id));
        })?;
        let mut state = self.state();
        state.images.insert(id.clone(), record);
        self.set_name(&mut state, &plan.name, id)?;
        self.image(&state, id).ok_or_else(|| ErrorKind::NotFound { place: "the image store".to_owned() })
    }
    fn record(&self, plan: &Plan, size: u64) -> Result<Record, ErrorKind> {
        let id = &plan.manifest.id;
        let stored = Stored::new(&plan.manifest, &plan.config, size, &plan.platform);
        let path = self.record_path(id);
        let text = serde_json::to_vec_pretty(&stored).map_err(|e| ErrorKind::store("write", &path, e.into()))?;
        let record = stored.read(id)?;
        durable::write(&path, &text)?;
        Ok(record)
    }
}
