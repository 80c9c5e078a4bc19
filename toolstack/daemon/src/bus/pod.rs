//! Methods of `org.xenpod1.Pod`.

use std::sync::Arc;

use tokio::sync::oneshot;
use xenpod_api::state::PodState;
use zbus::message::{Body, Header};

use super::Service;
use super::access::{Action, check};
use super::caller::Caller;
use super::error::BusError;
use super::options::Options;
use super::properties::{job_object, path};
use super::reply::Reply;
use crate::engine::jobs::JobKind;
use crate::engine::pod::Ask;
use crate::engine::streams::ForwardRequest;
use crate::engine::{Failure, PodHandle};

/// Does what `member` says.
pub(super) async fn call(
    service: &Arc<Service>,
    caller: &Caller,
    header: &Header<'_>,
    pod: &PodHandle,
    member: &str,
    body: &Body,
) -> Result<Reply, BusError> {
    let may = async |verb| check(service, caller, header, Action::ManagePods, verb, &pod.name).await;
    let engine = &service.engine;
    match member {
        "Start" => {
            let mut options = Options::new(body.deserialize()?);
            let contents = super::contents::Given::take(&mut options)?;
            options.end()?;
            may("start").await?;
            let contents = contents.read().await?;
            let job = engine.ask(pod, caller.uid, JobKind::Start, |job| Ask::Start { contents, job })?;
            Reply::with(job_object(job.id())?)
        }
        "Stop" => {
            let mut options = Options::new(body.deserialize()?);
            let grace_seconds = options.take::<u32>("grace_seconds", "u")?;
            options.end()?;
            may("stop").await?;
            let job = engine.ask(pod, caller.uid, JobKind::Stop, |job| Ask::Stop { grace_seconds, job })?;
            Reply::with(job_object(job.id())?)
        }
        "Remove" => {
            let mut options = Options::new(body.deserialize()?);
            let force = options.flag("force")?;
            options.end()?;
            may("remove").await?;
            let job = engine.ask(pod, caller.uid, JobKind::Remove, |job| Ask::Remove { force, job })?;
            Reply::with(job_object(job.id())?)
        }
        "CreateContainer" => {
            let (text, given): (String, _) = body.deserialize()?;
            let mut options = Options::new(given);
            let start = options.flag("start")?;
            let policy = options.take::<String>("restart_policy", "s")?;
            options.end()?;
            let status = pod.status();
            let record = &status.record;
            let mut spec =
                xenpod_api::manifest::parse_container(&text, &record.spec, &record.manifest).map_err(Failure::from)?;
            if let Some(word) = policy {
                spec.restart_policy =
                    Some(word.parse().map_err(|e| BusError::invalid(format!("option restart_policy: {e}")))?);
            }
            may("create-container").await?;
            let path = path(pod.id.container_path(&spec.name)).unwrap_or_default();
            let job = engine.create_container(pod, caller.uid, spec, start)?;
            Reply::with((job_object(job.id())?, path))
        }
        "Pause" => {
            Options::new(body.deserialize()?).end()?;
            may("pause").await?;
            answered(pod, Ask::Pause).await
        }
        "Resume" => {
            Options::new(body.deserialize()?).end()?;
            may("resume").await?;
            answered(pod, Ask::Resume).await
        }
        "Resize" | "Rename" | "SetLabels" | "SetAnnotations" => {
            super::pod_change::call(service, caller, header, pod, member, body).await
        }
        "PortForward" => {
            let (port, given): (u16, _) = body.deserialize()?;
            Options::new(given).end()?;
            if port == 0 {
                return Err(BusError::invalid("0 is not a port: 1 to 65535"));
            }
            check(service, caller, header, Action::EnterPods, "port-forward", &pod.name).await?;
            let (answer, answered) = oneshot::channel();
            pod.ask(Ask::Forward(ForwardRequest { port, answer }));
            let socket = answered.await.map_err(|_| Failure::Removed(pod.name.to_string()))??;
            Reply::with(zbus::OwnedFd::from(socket))
        }
        "GetStats" => super::stats::of_pod(service, pod, body).await,
        "StreamStats" => super::stats::stream(service, caller, pod, body),
        "Wait" => {
            Options::new(body.deserialize()?).end()?;
            let mut status = pod.watch();
            let over =
                |s: &crate::engine::PodStatus| s.removed || matches!(s.state(), PodState::Stopped | PodState::Failed);
            match status.wait_for(|s| over(s)).await {
                Ok(s) => Reply::with((s.state().as_str(), s.exit_code())),
                Err(_) => Err(Failure::Removed(pod.name.to_string()).into()),
            }
        }
        _ => Err(BusError::unknown_method("org.xenpod1.Pod", member)),
    }
}

/// Sends a request that is answered when it is done.
pub(super) async fn answered(
    pod: &PodHandle,
    ask: impl FnOnce(oneshot::Sender<Result<(), Failure>>) -> Ask,
) -> Result<Reply, BusError> {
    let (answer, done) = oneshot::channel();
    pod.ask(ask(answer));
    match done.await {
        Ok(result) => result?,
        Err(_) => return Err(Failure::Removed(pod.name.to_string()).into()),
    }
    Reply::of(&())
}
