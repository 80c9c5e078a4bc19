//! The tree: which object a path names, and what a caller sees below a path.
//!
//! ```text
//! /org/xenpod1                              Manager
//! /org/xenpod1/pod/<id>                     Pod
//! /org/xenpod1/pod/<id>/container/<name>    Container
//!                            .../exec/<n>   Exec
//! /org/xenpod1/image/<digest>               Image
//! /org/xenpod1/kernel/<digest>              Kernel
//! /org/xenpod1/job/<n>                      Job
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use xenpod_api::ids::{ROOT_PATH, image_path, job_path, kernel_path, unescape};

use super::Service;
use super::caller::Caller;
use crate::engine::PodHandle;
use crate::engine::exec::Exec;
use crate::engine::jobs::Job;
use crate::engine::world::ImageInfo;
use crate::kernels::KernelInfo;

/// What a path names.
pub(super) enum Object {
    Manager,
    Pod(PodHandle),
    Container(PodHandle, String),
    Exec(Arc<Exec>),
    Image(Arc<ImageInfo>),
    Kernel(Arc<KernelInfo>),
    Job(Job),
}

impl Object {
    /// The object at `path`, if there is one that the caller may see.
    pub(super) fn at(service: &Service, caller: &Caller, path: &str) -> Option<Self> {
        let rest = path.strip_prefix(ROOT_PATH)?;
        let parts: Vec<&str> = rest.split('/').skip(1).collect();
        match parts.as_slice() {
            [] if rest.is_empty() => Some(Self::Manager),
            ["pod", id, below @ ..] => {
                let pod = service.engine.pod(unescape(id)?.parse().ok()?)?;
                if !caller.may_see(pod.owner_uid) {
                    return None;
                }
                let has = |name: &str| pod.status().container(name).is_some();
                match below {
                    [] => Some(Self::Pod(pod)),
                    ["container", name] => {
                        let name = unescape(name).filter(|n| has(n))?;
                        Some(Self::Container(pod, name))
                    }
                    ["container", name, "exec", number] => {
                        let exec = pod.exec(number.parse().ok()?)?;
                        let is_there = unescape(name)? == exec.container && caller.may_see(exec.owner_uid);
                        is_there.then_some(Self::Exec(exec))
                    }
                    _ => None,
                }
            }
            ["image", digest] => {
                let digest = format!("sha256:{}", unescape(digest)?);
                let image = service.engine.image(&digest).ok()?;
                sees_image(service, caller, &image).then_some(Self::Image(image))
            }
            ["kernel", digest] => {
                let digest = format!("sha256:{}", unescape(digest)?);
                service.engine.kernel(&digest).ok().map(Self::Kernel)
            }
            ["job", number] => {
                let job = service.engine.jobs().get(number.parse().ok()?)?;
                caller.may_see(job.status().owner_uid).then_some(Self::Job(job))
            }
            _ => None,
        }
    }

    /// Its interface.
    pub(super) const fn interface(&self) -> &'static str {
        match self {
            Self::Manager => "org.xenpod1.Manager",
            Self::Pod(_) => "org.xenpod1.Pod",
            Self::Container(..) => "org.xenpod1.Container",
            Self::Exec(_) => "org.xenpod1.Exec",
            Self::Image(_) => "org.xenpod1.Image",
            Self::Kernel(_) => "org.xenpod1.Kernel",
            Self::Job(_) => "org.xenpod1.Job",
        }
    }
}

/// Images have no owner: who is not root sees those that its own pods use.
pub(super) fn sees_image(service: &Service, caller: &Caller, image: &ImageInfo) -> bool {
    let uses = |pod: &PodHandle| {
        let status = pod.status();
        status.record.containers.iter().any(|c| c.image.as_ref().is_some_and(|i| i.digest == image.digest))
    };
    caller.uid == 0 || service.engine.list().iter().any(|p| p.owner_uid == caller.uid && uses(p))
}

/// The path of a command.
pub(super) fn exec_path(exec: &Exec) -> String {
    format!("{}/exec/{}", exec.pod.container_path(&exec.container), exec.number)
}

/// The paths of all objects that the caller may see, the Manager's first.
pub(super) fn all(service: &Service, caller: &Caller) -> Vec<String> {
    let mut paths = vec![ROOT_PATH.to_string()];
    for pod in service.engine.list().iter().filter(|p| caller.may_see(p.owner_uid)) {
        paths.push(pod.id.path());
        paths.extend(pod.status().record.containers.iter().map(|c| pod.id.container_path(&c.name)));
        paths.extend(pod.execs().iter().filter(|e| caller.may_see(e.owner_uid)).map(|e| exec_path(e)));
    }
    let images = service.engine.world().images.list();
    paths.extend(images.iter().filter(|i| sees_image(service, caller, i)).map(|i| image_path(&i.digest)));
    paths.extend(service.engine.world().kernels.list().iter().map(|k| kernel_path(&k.digest)));
    let jobs = service.engine.jobs().list();
    paths.extend(jobs.iter().map(Job::status).filter(|j| caller.may_see(j.owner_uid)).map(|j| job_path(j.id)));
    paths
}

/// The names of the nodes right below a path.
pub(super) fn children(service: &Service, caller: &Caller, path: &str) -> BTreeSet<String> {
    let prefix = if path == "/" { "/".to_string() } else { format!("{path}/") };
    let below = all(service, caller);
    below.iter().filter_map(|p| p.strip_prefix(&prefix)).filter_map(|r| r.split('/').next()).map(String::from).collect()
}
