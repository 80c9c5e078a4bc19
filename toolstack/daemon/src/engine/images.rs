//! The image of a container: the one that is here, or the one that its policy has fetched.

use std::sync::Arc;

use tokio::sync::mpsc;
use xenpod_api::spec::{ContainerSpec, PullPolicy};

use super::Change;
use super::failure::Failure;
use super::jobs::{Cancel, Progress};
use super::world::{ImageError, ImageInfo, World};

/// The image that is here, or none: then it is to be fetched. A digest that was settled before counts, whatever the policy.
///
/// # Errors
/// It is not here and must not be fetched.
pub(super) fn here(
    world: &World,
    pod: &str,
    spec: &ContainerSpec,
    known: Option<&str>,
) -> Result<Option<Arc<ImageInfo>>, Failure> {
    let failure = |source| Failure::Image { pod: Some(pod.into()), source };
    let found = match known {
        Some(digest) => world.images.find(digest).map_err(failure)?,
        None if spec.pull_policy == PullPolicy::Always => None,
        None => world.images.find(&spec.image).map_err(failure)?,
    };
    if found.is_none() && spec.pull_policy == PullPolicy::Never {
        return Err(failure(ImageError::NotHere { image: spec.image.clone() }));
    }
    Ok(found)
}

/// Fetches it, and tells that it is there.
///
/// # Errors
/// What the store says; [`Failure::Cancelled`], of `what`.
pub(super) async fn fetch(
    world: &World,
    changes: &mpsc::UnboundedSender<Change>,
    (pod, what): (&str, String),
    spec: &ContainerSpec,
    cancel: &Cancel,
    progress: &Progress,
) -> Result<Arc<ImageInfo>, Failure> {
    let pull = world.images.pull(&spec.image, false, progress.clone());
    let Some(image) = cancel.or(pull).await else { return Err(Failure::Cancelled(what)) };
    let image = image.map_err(|source| Failure::Image { pod: Some(pod.into()), source })?;
    let _ = changes.send(Change::ImageNew(image.digest.clone()));
    Ok(image)
}
