//! Pulling from a registry: the manifest, then the layers side by side, then the filesystem.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::build::Plan;
use super::import::blocking;
use super::{Image, ImageStore, durable};
use crate::error::{Error, ErrorKind};
use crate::layer::{Spool, spool};
use crate::manifest::Blob;
use crate::platform::Platform;
use crate::progress::{Cancel, Progress, ProgressFn};
use crate::reference::Reference;
use crate::registry::{Access, Client};

/// Layers fetched and unpacked at once.
const AT_ONCE: usize = 3;

/// How to pull.
#[derive(Debug, Clone, Default)]
pub struct PullOptions {
    /// Which image of a multi-architecture one.
    pub platform: Platform,
    /// How registries are reached.
    pub access: Access,
}

impl ImageStore {
    /// Pulls an image. Asks the registry what the name stands for even if an image of that name is here; layers and
    /// filesystem are only fetched and built if they are not.
    ///
    /// Dropping the future stops the work soon; what was downloaded is kept for the next pull.
    pub async fn pull(&self, name: &Reference, options: &PullOptions, progress: ProgressFn) -> Result<Image, Error> {
        self.pull_kind(name, options, progress).await.map_err(|kind| kind.of(name))
    }

    async fn pull_kind(
        &self,
        name: &Reference,
        options: &PullOptions,
        progress: ProgressFn,
    ) -> Result<Image, ErrorKind> {
        let limits = &self.inner.limits;
        let client = Client::connect(name, &options.access).await?;
        let manifest = client.manifest(name, &options.platform, limits).await?;
        let _building = self.inner.images.lock(&manifest.id).await;
        if let Some(image) = self.adopt(name, &manifest.id)? {
            return Ok(image);
        }
        let config = client.small_blob("config", &manifest.config, limits).await?;
        let plan = Arc::new(Plan::new(name.clone(), manifest, config, options.platform.clone(), limits)?);
        plan.announce(&progress);
        let cancel = Cancel::default();
        let _guard = cancel.guard();
        let built = self.fetch_and_build(&client, &plan, &cancel, &progress).await;
        if built.as_ref().is_err_and(ErrorKind::blames_the_image) {
            // Nobody will come back for the sound layers of an image that is not.
            for layer in &plan.layers {
                let _downloading = self.inner.blobs.lock(&layer.digest).await;
                let stem = layer.digest.file_stem();
                let _ = durable::remove(&self.ingest_dir().join(format!("{stem}.partial")));
                let _ = durable::remove(&self.ingest_dir().join(stem));
            }
        }
        built
    }

    async fn fetch_and_build(
        &self,
        client: &Client,
        plan: &Arc<Plan>,
        cancel: &Cancel,
        progress: &ProgressFn,
    ) -> Result<Image, ErrorKind> {
        let used = Arc::new(AtomicU64::new(0));
        let fetching = (0..plan.layers.len()).map(|layer| self.layer(client, layer, plan, &used, cancel, progress));
        let spools: Vec<Spool> = stream::iter(fetching).buffered(AT_ONCE).try_collect().await?;
        let (store, plan, cancel, progress) = (self.clone(), plan.clone(), cancel.clone(), progress.clone());
        blocking(move || {
            let image = store.build(&plan, &spools, &cancel, &progress)?;
            for layer in &plan.layers {
                durable::remove(&store.ingest_dir().join(layer.digest.file_stem()))?;
            }
            Ok(image)
        })
        .await
    }

    async fn layer(
        &self,
        client: &Client,
        layer: usize,
        plan: &Arc<Plan>,
        used: &Arc<AtomicU64>,
        cancel: &Cancel,
        progress: &ProgressFn,
    ) -> Result<Spool, ErrorKind> {
        let expected = plan.layers[layer].clone();
        let blob = Blob { digest: expected.digest.clone(), size: expected.size };
        let file = {
            // Another image's pull may want the same layer, and may delete it when it is done: keep it open.
            let held = self.inner.blobs.lock(&blob.digest).await;
            let tell = |done| progress(Progress::Fetching { layer, done, total: blob.size });
            client.download(&blob, &self.ingest_dir(), held, &tell).await?
        };
        let (store, used, cancel, progress) = (self.clone(), used.clone(), cancel.clone(), progress.clone());
        blocking(move || {
            let dir = store.ingest_dir();
            let mut tell = |done| progress(Progress::Unpacking { layer, done });
            spool(file, &expected, &dir, &used, &store.inner.limits, &cancel, &mut tell).inspect_err(|kind| {
                // A blob that is not what its name says must not be found by the next pull.
                if matches!(kind, ErrorKind::DigestMismatch { .. } | ErrorKind::Truncated { .. }) {
                    let _ = durable::remove(&dir.join(expected.digest.file_stem()));
                }
            })
        })
        .await
    }
}
