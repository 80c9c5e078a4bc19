//! The methods of `org.xenpod1.Pod` and `.Container` that change what a pod is: its size, its name, what is said of it.

use std::collections::HashMap;
use std::sync::Arc;

use xenpod_api::manifest::{check_pod_name, check_size};
use zbus::OwnedVariant;
use zbus::message::{Body, Header};

use super::Service;
use super::access::{Action, check};
use super::caller::Caller;
use super::error::BusError;
use super::options::Options;
use super::pod::answered;
use super::properties::job_object;
use super::reply::Reply;
use crate::engine::PodHandle;
use crate::engine::describe::{DescribeRequest, Description};
use crate::engine::jobs::JobKind;
use crate::engine::pod::{Ask, LimitChange, LimitRequest};
use crate::engine::resize::SizeRequest;

/// How long a resize may take when nothing is said, in seconds.
const WAIT: u32 = 60;
/// How long it may take at most.
const MAX_WAIT: u32 = 3600;

/// What `SetLabels` and `SetAnnotations` take: what is set, what is removed, options.
type Changes = (HashMap<String, String>, Vec<String>, HashMap<String, OwnedVariant>);

/// Does what `member` of a pod says.
pub(super) async fn call(
    service: &Arc<Service>,
    caller: &Caller,
    header: &Header<'_>,
    pod: &PodHandle,
    member: &str,
    body: &Body,
) -> Result<Reply, BusError> {
    let may = async |verb| check(service, caller, header, Action::ManagePods, verb, &pod.name).await;
    match member {
        "Resize" => {
            let mut options = Options::new(body.deserialize()?);
            let memory_mib = options.take::<u64>("memory_mib", "t")?;
            let vcpus = options.take::<u32>("vcpus", "u")?;
            let wait_seconds = options.take::<u32>("wait", "u")?.unwrap_or(WAIT);
            options.end()?;
            if memory_mib.is_none() && vcpus.is_none() {
                return Err(BusError::invalid("nothing is to change: give option memory_mib, vcpus, or both"));
            }
            check_size(memory_mib, vcpus).map_err(BusError::invalid)?;
            if wait_seconds == 0 || wait_seconds > MAX_WAIT {
                return Err(BusError::invalid(format!("option wait must be 1 to {MAX_WAIT} seconds")));
            }
            may("resize").await?;
            let ask = |job| Ask::Resize(SizeRequest { memory_mib, vcpus, wait_seconds, job });
            let job = service.engine.ask(pod, caller.uid, JobKind::Resize, ask)?;
            Reply::with(job_object(job.id())?)
        }
        "Rename" => {
            let (to, given): (String, _) = body.deserialize()?;
            Options::new(given).end()?;
            check_pod_name(&to).map_err(BusError::invalid)?;
            may("rename").await?;
            service.engine.rename(pod, &to).await?;
            Reply::of(&())
        }
        "SetLabels" | "SetAnnotations" => {
            let (set, remove, given): Changes = body.deserialize()?;
            Options::new(given).end()?;
            if let Some(both) = remove.iter().find(|key| set.contains_key(*key)) {
                return Err(BusError::invalid(format!("{both} cannot be both set and removed")));
            }
            let set = set.into_iter().collect();
            let (verb, what) = match member {
                "SetLabels" => ("label", Description::Labels(set, remove)),
                _ => ("annotate", Description::Annotations(set, remove)),
            };
            may(verb).await?;
            answered(pod, |answer| Ask::Describe(DescribeRequest { what, answer })).await
        }
        _ => Err(BusError::unknown_method("org.xenpod1.Pod", member)),
    }
}

/// `Container.Update`.
pub(super) async fn update(
    service: &Arc<Service>,
    caller: &Caller,
    header: &Header<'_>,
    pod: &PodHandle,
    container: &str,
    body: &Body,
) -> Result<Reply, BusError> {
    let mut options = Options::new(body.deserialize()?);
    let change = LimitChange {
        memory_limit: options.take::<u64>("memory_limit", "t")?,
        memory_request: options.take::<u64>("memory_request", "t")?,
        cpu_limit_milli: options.take::<u32>("cpu_limit_milli", "u")?.map(u64::from),
        cpu_request_milli: options.take::<u32>("cpu_request_milli", "u")?.map(u64::from),
    };
    options.end()?;
    if change == LimitChange::default() {
        let text =
            "nothing is to change: give option memory_limit, memory_request, cpu_limit_milli or cpu_request_milli";
        return Err(BusError::invalid(text));
    }
    check(service, caller, header, Action::ManagePods, "update-container", &pod.name).await?;
    let container = container.to_owned();
    answered(pod, |answer| Ask::Limit(LimitRequest { container, change, answer })).await
}
