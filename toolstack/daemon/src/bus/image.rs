//! Methods of `org.xenpod1.Image`.

use std::sync::Arc;

use zbus::message::{Body, Header};

use super::Service;
use super::access::{Action, check};
use super::caller::Caller;
use super::error::BusError;
use super::options::Options;
use super::reply::Reply;
use crate::engine::world::ImageInfo;

/// Does what `member` says.
pub(super) async fn call(
    service: &Arc<Service>,
    caller: &Caller,
    header: &Header<'_>,
    image: &Arc<ImageInfo>,
    member: &str,
    body: &Body,
) -> Result<Reply, BusError> {
    match member {
        "Remove" => {
            let mut options = Options::new(body.deserialize()?);
            let name = options.take::<String>("name", "s")?;
            options.end()?;
            let what = name.as_deref().unwrap_or(&image.digest);
            check(service, caller, header, Action::ManageImages, "remove", what).await?;
            match name {
                Some(name) => service.engine.remove_image_name(&image.digest, &name).await?,
                None => service.engine.remove_image(&image.digest).await?,
            }
            Reply::of(&())
        }
        _ => Err(BusError::unknown_method("org.xenpod1.Image", member)),
    }
}
