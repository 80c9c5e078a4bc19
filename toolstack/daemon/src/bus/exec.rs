//! Methods of `org.xenpod1.Exec`.

use std::collections::HashMap;
use std::sync::Arc;

use xenpod_api::error::ErrorName;
use zbus::OwnedVariant;
use zbus::message::Body;

use super::Service;
use super::error::BusError;
use super::options::Options;
use super::reply::Reply;
use crate::engine::exec::Exec;

/// Does what `member` says.
pub(super) async fn call(
    service: &Arc<Service>,
    exec: &Arc<Exec>,
    member: &str,
    body: &Body,
) -> Result<Reply, BusError> {
    let within = service.engine.world().settings.answer_timeout;
    let failed = |e: crate::guest::GuestError| BusError::new(ErrorName::GuestFailed, e.to_string());
    match member {
        "Wait" => {
            Options::new(body.deserialize()?).end()?;
            let (code, reason) = exec.wait().await;
            Reply::with((code, reason.as_str()))
        }
        "Resize" => {
            let (rows, columns, given): (u32, u32, HashMap<String, OwnedVariant>) = body.deserialize()?;
            Options::new(given).end()?;
            exec.resize(rows, columns, within).await.map_err(failed)?;
            Reply::of(&())
        }
        "Signal" => {
            let (signal, given): (u32, HashMap<String, OwnedVariant>) = body.deserialize()?;
            Options::new(given).end()?;
            // _NSIG of x86-64: signals are 1 to 64.
            if !(1..=64).contains(&signal) {
                return Err(BusError::invalid(format!("{signal} is not a signal: 1 to 64")));
            }
            exec.signal(signal, within).await.map_err(failed)?;
            Reply::of(&())
        }
        "Detach" => {
            Options::new(body.deserialize()?).end()?;
            exec.detach();
            Reply::of(&())
        }
        _ => Err(BusError::unknown_method("org.xenpod1.Exec", member)),
    }
}
