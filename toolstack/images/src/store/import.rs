//! Importing from an archive or a layout.

use std::sync::atomic::AtomicU64;

use super::build::Plan;
use super::{Image, ImageStore};
use crate::error::{Error, ErrorKind};
use crate::layer::spool;
use crate::platform::Platform;
use crate::progress::{Cancel, Progress, ProgressFn};
use crate::reference::Reference;
use crate::source::{Context, Layers, Source, find};

impl ImageStore {
    /// Imports an image under `name`. Dropping the future stops the work soon and leaves nothing behind.
    pub async fn import(
        &self,
        source: Source,
        name: &Reference,
        platform: &Platform,
        progress: ProgressFn,
    ) -> Result<Image, Error> {
        self.import_kind(source, name, platform, progress).await.map_err(|kind| kind.of(name))
    }

    async fn import_kind(
        &self,
        source: Source,
        name: &Reference,
        platform: &Platform,
        progress: ProgressFn,
    ) -> Result<Image, ErrorKind> {
        name.givable()?;
        let cancel = Cancel::default();
        let _guard = cancel.guard();
        let looking = {
            let (store, platform, cancel, name) = (self.clone(), platform.clone(), cancel.clone(), name.clone());
            move || {
                let spool_dir = store.ingest_dir();
                let limits = &store.inner.limits;
                let cx = Context { limits, platform: &platform, spool_dir: &spool_dir, cancel: &cancel };
                let found = find(source, &cx)?;
                Ok((found.layers, Plan::new(name, found.manifest, found.config, platform.clone(), limits)?))
            }
        };
        let (layers, plan): (Layers, Plan) = blocking(looking).await?;
        plan.announce(&progress);
        let _building = self.inner.images.lock(&plan.manifest.id).await;
        if let Some(image) = self.adopt(name, &plan.manifest.id)? {
            return Ok(image);
        }
        let store = self.clone();
        blocking(move || store.unpack_and_build(&layers, &plan, &cancel, &progress)).await
    }

    fn unpack_and_build(
        &self,
        layers: &Layers,
        plan: &Plan,
        cancel: &Cancel,
        progress: &ProgressFn,
    ) -> Result<Image, ErrorKind> {
        let used = AtomicU64::new(0);
        let dir = self.ingest_dir();
        let mut spools = Vec::new();
        for (layer, expected) in plan.layers.iter().enumerate() {
            let mut tell = |done| progress(Progress::Unpacking { layer, done });
            let blob = layers.open(layer)?;
            spools.push(spool(blob, expected, &dir, &used, &self.inner.limits, cancel, &mut tell)?);
        }
        self.build(plan, &spools, cancel, progress)
    }
}

/// Runs synchronous work on a blocking thread; a panic there is an error here.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ErrorKind> + Send + 'static,
) -> Result<T, ErrorKind> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(ErrorKind::Internal(e.to_string())))
}
