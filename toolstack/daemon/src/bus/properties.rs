//! Properties: what each object shows, and the calls that read them.

use std::collections::{BTreeMap, HashMap};

use xenpod_api::error::ErrorName;
use xenpod_api::ids::{image_path, job_path};
use xenpod_api::spec::Resources;
use zbus::message::Body;
use zbus::{ObjectPath, Variant};

use super::Service;
use super::caller::Caller;
use super::error::BusError;
use super::object::{self, Object};
use super::reply::Reply;
use crate::engine::PodStatus;
use crate::engine::exec::Exec;
use crate::engine::jobs::JobStatus;
use crate::engine::world::ImageInfo;
use crate::journal::ContainerRecord;
use crate::kernels::KernelInfo;

/// The properties of an object, by name.
pub(super) type Properties = BTreeMap<&'static str, Variant<'static>>;

/// No domain.
const NO_DOMID: u32 = u32::MAX;

/// Answers a call of `org.freedesktop.DBus.Properties`.
pub(super) async fn answer(
    service: &Service,
    caller: &Caller,
    object: &Object,
    member: &str,
    body: &Body,
) -> Result<Reply, BusError> {
    let own = object.interface();
    let known = |asked: &str| asked == own || asked.is_empty();
    match member {
        "Get" => {
            let (interface, name): (String, String) = body.deserialize()?;
            if !known(&interface) {
                return Err(BusError::unknown_interface(&interface, own));
            }
            let mut all = of(service, caller, object);
            if let (Object::Pod(pod), "Stats") = (object, name.as_str()) {
                super::stats::add_property(service, pod, &mut all).await;
            }
            let value = all.remove(name.as_str());
            Reply::with(value.ok_or_else(|| BusError::unknown_property(own, &name))?)
        }
        "GetAll" => {
            let interface: String = body.deserialize()?;
            // The standard interfaces have none.
            let mut all = if known(&interface) { of(service, caller, object) } else { Properties::new() };
            if let (Object::Pod(pod), true) = (object, known(&interface)) {
                super::stats::add_property(service, pod, &mut all).await;
            }
            Reply::with(all)
        }
        _ => {
            let (interface, name, _): (String, String, Variant<'_>) = body.deserialize()?;
            let text = format!("property {name} of {interface} is read-only");
            Err(BusError { name: "org.freedesktop.DBus.Error.PropertyReadOnly", message: text })
        }
    }
}

/// All objects below the root with their properties, as far as the caller may see them.
pub(super) fn managed(
    service: &Service,
    caller: &Caller,
) -> HashMap<ObjectPath<'static>, HashMap<&'static str, Properties>> {
    let mut out = HashMap::new();
    for path in object::all(service, caller) {
        if let Some(object) = Object::at(service, caller, &path)
            && !matches!(object, Object::Manager)
            && let Ok(path) = ObjectPath::try_from(path)
        {
            out.insert(path, HashMap::from([(object.interface(), of(service, caller, &object))]));
        }
    }
    out
}

/// The properties of an object.
pub(super) fn of(service: &Service, caller: &Caller, object: &Object) -> Properties {
    match object {
        Object::Manager => manager(service, caller),
        Object::Pod(pod) => of_pod(&pod.status()),
        Object::Container(pod, name) => {
            let status = pod.status();
            status.container(name).map(|c| container(&status, c)).unwrap_or_default()
        }
        Object::Exec(exec) => of_exec(exec),
        Object::Image(image) => of_image(image),
        Object::Kernel(kernel) => {
            let mut all = super::kernel::properties(service, kernel);
            all.insert("UsedBy", super::kernel::used_by(service, caller, kernel).into());
            all
        }
        Object::Job(job) => of_job(&job.status()),
    }
}

fn manager(service: &Service, caller: &Caller) -> Properties {
    let own = service.engine.list().iter().filter(|p| caller.may_see(p.owner_uid)).count();
    let mut all = of_host(service);
    all.insert("Version", env!("CARGO_PKG_VERSION").into());
    all.insert("NPods", u32::try_from(own).unwrap_or(u32::MAX).into());
    all
}

/// Those of the Manager that are the same for everybody and may change.
pub(super) fn of_host(service: &Service) -> Properties {
    let (state, message) = service.host.state();
    let kernel = service.engine.world().kernels.default().ok();
    let of_kernel = |read: fn(&KernelInfo) -> &String| kernel.as_deref().map(read).cloned().unwrap_or_default();
    BTreeMap::from([
        ("XenVersion", service.host.xen_version().into()),
        ("Xenstored", service.host.xenstored().into()),
        ("HostState", state.into()),
        ("HostMessage", message.into()),
        ("KernelDigest", of_kernel(|k| &k.digest).into()),
        ("DefaultKernel", of_kernel(|k| &k.name).into()),
    ])
}

/// Of a pod.
pub(super) fn of_pod(status: &PodStatus) -> Properties {
    let record = &status.record;
    let spec = &record.spec;
    let addresses: Vec<String> = status.addresses().iter().map(ToString::to_string).collect();
    let mac = record.lease.map(|l| l.mac.map(|b| format!("{b:02x}")).join(":")).unwrap_or_default();
    let containers: Vec<ObjectPath<'static>> =
        record.containers.iter().filter_map(|c| path(record.id.container_path(&c.name))).collect();
    BTreeMap::from([
        ("Id", record.id.to_string().into()),
        ("Name", spec.name.clone().into()),
        ("Namespace", spec.namespace.clone().into()),
        ("Owner", format!("uid:{}", record.owner_uid).into()),
        ("State", record.state.as_str().into()),
        ("Reason", record.reason.clone().into()),
        ("Message", record.message.clone().into()),
        ("Ready", status.ready().into()),
        ("Domid", status.domid.map_or(NO_DOMID, u32::from).into()),
        ("MemoryKib", (spec.memory_mib * 1024).into()),
        ("Vcpus", spec.vcpus.into()),
        ("MaxVcpus", spec.max_vcpus().into()),
        ("Hostname", spec.hostname.clone().into()),
        ("Addresses", addresses.into()),
        ("Mac", mac.into()),
        ("Labels", spec.labels.clone().into()),
        ("Annotations", spec.annotations.clone().into()),
        ("Created", record.created_usec.into()),
        ("Started", record.started_usec.into()),
        ("Stopped", record.stopped_usec.into()),
        ("RestartPolicy", spec.restart_policy.as_str().into()),
        ("Containers", containers.into()),
        ("Kernel", record.kernel_name.clone().into()),
        ("KernelDigest", record.kernel_digest.clone().into()),
        ("Manifest", record.manifest.clone().into()),
        ("StartPhases", status.phases.clone().into()),
    ])
}

/// Of a container.
pub(super) fn container(status: &PodStatus, c: &ContainerRecord) -> Properties {
    let spec = status.record.spec.containers.iter().find(|s| s.name == c.name);
    let image = spec.map(|s| s.image.clone()).unwrap_or_default();
    let limit = |of: fn(&Resources) -> Option<u64>| spec.and_then(|s| of(&s.resources)).unwrap_or(0).into();
    let role = spec.map(|s| s.role.as_str()).unwrap_or_default();
    BTreeMap::from([
        ("Name", c.name.clone().into()),
        ("Pod", path(status.record.id.path()).unwrap_or_default().into()),
        ("Role", role.into()),
        ("Ready", c.ready.into()),
        ("State", c.state.as_str().into()),
        ("Image", image.into()),
        ("ImageDigest", c.image.as_ref().map(|i| i.digest.clone()).unwrap_or_default().into()),
        ("ExitCode", c.exit_code.into()),
        ("Signal", c.signal.into()),
        ("Reason", c.reason.map_or("", |r| r.as_str()).into()),
        ("Message", c.message.clone().into()),
        ("TerminationMessage", c.termination.clone().into()),
        ("Started", c.started_usec.into()),
        ("Finished", c.finished_usec.into()),
        ("Pid", c.pid.into()),
        ("RestartCount", c.restarts.into()),
        ("Command", c.command.clone().into()),
        ("MemoryLimit", limit(|r| r.memory_limit)),
        ("MemoryRequest", limit(|r| r.memory_request)),
        ("CpuLimitMilli", limit(|r| r.cpu_limit_milli)),
        ("CpuRequestMilli", limit(|r| r.cpu_request_milli)),
        ("Tty", spec.is_some_and(|s| s.tty).into()),
        ("Stdin", spec.is_some_and(|s| s.stdin).into()),
    ])
}

/// Of a command.
pub(super) fn of_exec(exec: &Exec) -> Properties {
    let ended = exec.status().ended;
    BTreeMap::from([
        ("Command", exec.command.clone().into()),
        ("State", if ended.is_some() { "exited" } else { "running" }.into()),
        ("ExitCode", ended.map_or(0, |(code, _)| code).into()),
        ("Reason", ended.map_or("", |(_, reason)| reason.as_str()).into()),
    ])
}

/// Of an image.
pub(super) fn of_image(image: &ImageInfo) -> Properties {
    BTreeMap::from([
        ("Id", image.digest.clone().into()),
        ("Names", image.names.clone().into()),
        ("Size", image.size.into()),
        ("Created", image.created_usec.into()),
        ("Layers", image.layers.clone().into()),
        ("Architecture", image.architecture.clone().into()),
        ("Labels", image.labels.clone().into()),
        ("Entrypoint", image.entrypoint.clone().into()),
        ("Cmd", image.cmd.clone().into()),
        ("Env", image.env.clone().into()),
        ("WorkingDir", image.working_dir.clone().into()),
        ("User", image.user.clone().into()),
        ("StopSignal", image.stop_signal.clone().into()),
    ])
}

/// Of a job.
pub(super) fn of_job(job: &JobStatus) -> Properties {
    let objects: Vec<ObjectPath<'static>> = job.objects.iter().cloned().filter_map(path).collect();
    let outcome = job.outcome.clone();
    let (result, name, message) = outcome.map(|o| (o.result.as_str(), o.error_name, o.message)).unwrap_or_default();
    BTreeMap::from([
        ("Id", job.id.into()),
        ("Type", job.kind.as_str().into()),
        ("State", job.state().into()),
        ("Progress", job.progress().into()),
        ("ProgressDetail", job.items.clone().into()),
        ("Objects", objects.into()),
        ("Reached", job.came_to.clone().into()),
        ("Result", result.into()),
        ("ErrorName", name.into()),
        ("ErrorMessage", message.into()),
    ])
}

/// A path on the wire. Ours are made of escaped labels, so they all are.
pub(super) fn path(text: String) -> Option<ObjectPath<'static>> {
    ObjectPath::try_from(text).ok()
}

/// The path of a job, or why not.
pub(super) fn job_object(id: u32) -> Result<ObjectPath<'static>, BusError> {
    path(job_path(id)).ok_or_else(|| BusError::new(ErrorName::Internal, "a job has no path"))
}

/// The path of an image, or why not.
pub(super) fn image_object(digest: &str) -> Result<ObjectPath<'static>, BusError> {
    path(image_path(digest)).ok_or_else(|| BusError::new(ErrorName::Internal, format!("image {digest} has no path")))
}
