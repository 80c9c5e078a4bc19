//! Methods of `org.xenpod1.Job`.

use zbus::message::Body;

use super::error::BusError;
use super::options::Options;
use super::reply::Reply;
use crate::engine::jobs::Job;

/// Does what `member` says.
pub(super) async fn call(job: &Job, member: &str, body: &Body) -> Result<Reply, BusError> {
    match member {
        "Cancel" => {
            Options::new(body.deserialize()?).end()?;
            job.cancel()?;
            Reply::of(&())
        }
        "Wait" => {
            Options::new(body.deserialize()?).end()?;
            let outcome = job.wait().await;
            Reply::with((outcome.result.as_str(), outcome.error_name, outcome.message))
        }
        _ => Err(BusError::unknown_method("org.xenpod1.Job", member)),
    }
}
