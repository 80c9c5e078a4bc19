//! Images, from the store of `xenpod-images`.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use async_trait::async_trait;
use xenpod_images::digest::Digest;
use xenpod_images::error::{Error, ErrorKind};
use xenpod_images::limits::Limits;
use xenpod_images::platform::Platform;
use xenpod_images::progress::{Progress as Step, ProgressFn};
use xenpod_images::reference::Reference;
use xenpod_images::registry::Access;
use xenpod_images::source::{Source, SourceKind};
use xenpod_images::store::{Image, ImageStore, PullOptions};

use crate::config::Config;
use crate::engine::jobs::Progress;
use crate::engine::world::{ImageError, ImageInfo, Images, ImportKind};

/// The images of this host.
#[derive(Clone)]
pub struct HostImages {
    store: ImageStore,
    access: Access,
}

impl HostImages {
    /// Opens the store under the state folder and sweeps what a crash left.
    ///
    /// # Errors
    /// The store's.
    pub fn open(config: &Config) -> Result<Self, ImageError> {
        let dir = config.state_dir.join("images");
        let store = ImageStore::open(&dir, Limits::default())
            .map_err(|kind| Error { image: dir.display().to_string(), kind })?;
        let insecure = config.registries.iter().filter(|(_, r)| r.insecure).map(|(host, _)| host.clone()).collect();
        Ok(Self { store, access: Access { insecure, certs_dir: Some(config.certs_dir.clone()) } })
    }
}

fn info(image: Image) -> Arc<ImageInfo> {
    let created_usec = image
        .config
        .created
        .as_deref()
        .and_then(|text| humantime::parse_rfc3339_weak(text).ok())
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
    let config = image.config;
    Arc::new(ImageInfo {
        digest: image.id.to_string(),
        names: image.names,
        erofs: image.erofs,
        size: image.size,
        created_usec,
        layers: image.layers.iter().map(Digest::to_string).collect(),
        architecture: config.architecture,
        env: config.env,
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        working_dir: config.working_dir,
        user: config.user,
        stop_signal: config.stop_signal,
        labels: config.labels,
    })
}

/// Each layer is a part of the job's progress.
fn steps(progress: Progress) -> ProgressFn {
    Arc::new(move |step| match step {
        Step::Resolved { layers, .. } => {
            for (index, (_, size)) in layers.iter().enumerate() {
                progress.set(&format!("layer {index}"), 0, *size);
            }
        }
        Step::Fetching { layer, done, total } => progress.set(&format!("layer {layer}"), done, total),
        Step::Building { done, total } => progress.set("file system", done, total),
        _ => {}
    })
}

fn reference(name: &str) -> Result<Reference, ImageError> {
    name.parse().map_err(|kind: ErrorKind| Error { image: name.into(), kind }.into())
}

#[async_trait]
impl Images for HostImages {
    fn find(&self, reference: &str) -> Result<Option<Arc<ImageInfo>>, ImageError> {
        match self.store.get(reference) {
            Ok(image) => Ok(Some(info(image))),
            Err(Error { kind: ErrorKind::NotFound { .. }, .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self) -> Vec<Arc<ImageInfo>> {
        self.store.list().into_iter().map(info).collect()
    }

    async fn pull(&self, name: &str, insecure: bool, progress: Progress) -> Result<Arc<ImageInfo>, ImageError> {
        let reference = reference(name)?;
        let mut access = self.access.clone();
        if insecure {
            access.insecure.push(reference.host().to_owned());
        }
        let options = PullOptions { access, ..PullOptions::default() };
        Ok(info(self.store.pull(&reference, &options, steps(progress)).await?))
    }

    async fn import(
        &self,
        kind: ImportKind,
        fd: OwnedFd,
        name: &str,
        progress: Progress,
    ) -> Result<Arc<ImageInfo>, ImageError> {
        let kind = match kind {
            ImportKind::OciArchive => SourceKind::OciArchive,
            ImportKind::DockerArchive => SourceKind::DockerArchive,
            ImportKind::OciLayout => SourceKind::OciLayout,
        };
        let source = Source { kind, fd, tag: None };
        Ok(info(self.store.import(source, &reference(name)?, &Platform::default(), steps(progress)).await?))
    }

    async fn remove(&self, digest: &str) -> Result<(), ImageError> {
        // Whether pods use it is the engine's to know.
        Ok(self.store.remove(digest, &|_| None).map(drop)?)
    }
}
