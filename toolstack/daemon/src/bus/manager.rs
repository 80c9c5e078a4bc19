//! Methods of `org.xenpod1.Manager`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use xenpod_api::error::ErrorName;
use xenpod_api::ids::{image_path, job_path};
use zbus::message::{Body, Header};
use zbus::{ObjectPath, OwnedFd, OwnedVariant};

use super::Service;
use super::access::{Action, check};
use super::caller::Caller;
use super::error::BusError;
use super::object::sees_image;
use super::options::Options;
use super::properties::{image_object, job_object, path};
use super::reply::Reply;
use crate::engine::world::ImportKind;
use crate::engine::{CreateRequest, Failure};
use crate::events::{Event, Filter};

type Given = HashMap<String, OwnedVariant>;

/// An event on the wire: number, time, type, object, pod, attributes.
pub(super) type EventEntry = (u64, u64, String, ObjectPath<'static>, String, BTreeMap<String, String>);

pub(super) fn event_entry(event: &Event) -> EventEntry {
    let object = path(event.object.clone()).unwrap_or_default();
    let mut attributes = event.attributes.clone();
    attributes.insert("owner".into(), format!("uid:{}", event.owner));
    (event.number, event.usec, event.kind.clone(), object, event.pod.clone(), attributes)
}

/// Does what `member` says.
pub(super) async fn call(
    service: &Arc<Service>,
    caller: &Caller,
    header: &Header<'_>,
    member: &str,
    body: &Body,
) -> Result<Reply, BusError> {
    match member {
        "CreatePod" => {
            let (manifest, given): (String, Given) = body.deserialize()?;
            let mut options = Options::new(given);
            let start = options.flag("start")?;
            let contents = super::contents::Given::take(&mut options)?;
            options.end()?;
            let spec = xenpod_api::manifest::parse(&manifest).map_err(Failure::from)?;
            check(service, caller, header, Action::CreatePods, "create", &spec.name).await?;
            if let Some(kernel) = &spec.kernel {
                let known = service.engine.world().kernels.find(kernel);
                let name = known.as_ref().map_or(kernel, |k| &k.name);
                check(service, caller, header, Action::ChooseKernels, "choose", name).await?;
            }
            let (state, why) = service.host.state();
            if state == "no-xen" {
                return Err(BusError::new(ErrorName::NoXen, why));
            }
            let contents = contents.read().await?;
            let request = CreateRequest { manifest, spec, owner_uid: caller.uid, start, contents };
            let (job, pod) = service.engine.create(request).await?;
            Reply::with((job_object(job.id())?, path(pod.id.path()).unwrap_or_default()))
        }
        "GetPod" => {
            let name: String = body.deserialize()?;
            let pod = service.engine.find(&name).ok().filter(|p| caller.may_see(p.owner_uid));
            let pod = pod.ok_or_else(|| BusError::from(Failure::NoSuchPod(name)))?;
            Reply::with(path(pod.id.path()).unwrap_or_default())
        }
        "ListPods" => {
            Options::new(body.deserialize()?).end()?;
            let all = service.engine.list();
            let pods: Vec<(String, String, &'static str, ObjectPath<'static>)> = all
                .iter()
                .filter(|p| caller.may_see(p.owner_uid))
                .map(|p| {
                    let path = path(p.id.path()).unwrap_or_default();
                    (p.id.to_string(), p.name.to_string(), p.status().state().as_str(), path)
                })
                .collect();
            Reply::with(pods)
        }
        "PullImage" => {
            let (reference, given): (String, Given) = body.deserialize()?;
            let mut options = Options::new(given);
            let insecure = options.flag("insecure")?;
            options.end()?;
            // Over plain HTTP anybody between may give it any content.
            let action = if insecure { Action::ManageImages } else { Action::PullImages };
            check(service, caller, header, action, "pull", &reference).await?;
            let job = service.engine.pull(caller.uid, reference, insecure)?;
            Reply::with(job_object(job.id())?)
        }
        "ImportImage" => {
            let (transport, source, name, given): (String, OwnedFd, String, Given) = body.deserialize()?;
            Options::new(given).end()?;
            let kind = match transport.as_str() {
                "oci-archive" => ImportKind::OciArchive,
                "docker-archive" => ImportKind::DockerArchive,
                "oci" => ImportKind::OciLayout,
                other => {
                    let text = format!("{other:?} is not a transport; there are oci-archive, docker-archive and oci");
                    return Err(BusError::invalid(text));
                }
            };
            check(service, caller, header, Action::ManageImages, "import", &name).await?;
            let job = service.engine.import(caller.uid, kind, source.into(), name)?;
            Reply::with(job_object(job.id())?)
        }
        "GetImage" => {
            let name: String = body.deserialize()?;
            let image = service.engine.image(&name)?;
            if !sees_image(service, caller, &image) {
                return Err(Failure::NoSuchImage(name).into());
            }
            Reply::with(image_object(&image.digest)?)
        }
        "ListImages" => {
            Options::new(body.deserialize()?).end()?;
            let all = service.engine.world().images.list();
            let images: Vec<(String, Vec<String>, u64, ObjectPath<'static>)> = all
                .iter()
                .filter(|i| sees_image(service, caller, i))
                .map(|i| (i.digest.clone(), i.names.clone(), i.size, path(image_path(&i.digest)).unwrap_or_default()))
                .collect();
            Reply::with(images)
        }
        "ImportKernel" => super::kernel::import(service, caller, header, body).await,
        "GetKernel" => super::kernel::get(service, body),
        "ListKernels" => super::kernel::list(service, body),
        "ListJobs" => {
            Options::new(body.deserialize()?).end()?;
            let all = service.engine.jobs().list();
            let jobs: Vec<(ObjectPath<'static>, &'static str, &'static str)> = all
                .iter()
                .map(crate::engine::jobs::Job::status)
                .filter(|j| caller.may_see(j.owner_uid))
                .map(|j| (path(job_path(j.id)).unwrap_or_default(), j.kind.as_str(), j.state()))
                .collect();
            Reply::with(jobs)
        }
        "ListEvents" => {
            let mut options = Options::new(body.deserialize()?);
            let filter = Filter {
                since: options.take::<u64>("since", "t")?.unwrap_or(0),
                limit: options.take::<u32>("limit", "u")?.unwrap_or(0),
                kind: options.take::<String>("type", "s")?,
                pod: options.take::<String>("pod", "s")?,
                label: options.take::<String>("label", "s")?,
            };
            options.end()?;
            let page = service.events.list(&filter, |owner| caller.may_see(owner));
            let events: Vec<EventEntry> = page.events.iter().map(|e| event_entry(e)).collect();
            Reply::with((events, page.oldest, page.reached))
        }
        "GetStats" => super::stats::of_all(service, caller, body).await,
        "CheckHost" => {
            Options::new(body.deserialize()?).end()?;
            let host = service.host.clone();
            match tokio::task::spawn_blocking(move || host.check()).await {
                Ok(checks) => Reply::with(checks),
                Err(e) => Err(BusError::new(ErrorName::Internal, format!("the check broke off: {e}"))),
            }
        }
        "Subscribe" | "Unsubscribe" => {
            service.callers.subscribe(caller, member == "Subscribe");
            Reply::of(&())
        }
        _ => Err(BusError::unknown_method("org.xenpod1.Manager", member)),
    }
}
