//! From changes of the engine to events: what is new in a picture of a pod, and what began and ended.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use xenpod_api::ids::{PodId, image_path, job_path, kernel_path};
use xenpod_api::state::{ContainerState, PodState};

use super::Event;
use crate::engine::{Change, Engine, PodStatus};
use crate::journal::ContainerRecord;

/// What was last seen of a pod.
struct Pod {
    name: String,
    owner: u32,
    labels: Arc<BTreeMap<String, String>>,
    annotations: BTreeMap<String, String>,
    /// MiB and vCPUs.
    size: (u64, u32),
    state: PodState,
    containers: HashMap<String, (ContainerState, u32)>,
    execs: HashSet<u32>,
}

/// What was last seen of everything.
#[derive(Default)]
pub(super) struct Observer {
    pods: HashMap<PodId, Pod>,
    /// The digests of the images, once anything has happened.
    images: Option<HashSet<String>>,
    /// Of what happened before this daemon ran: by path, the last word on a state.
    before: HashMap<String, String>,
}

type Attributes = BTreeMap<String, String>;

fn attributes<const N: usize>(pairs: [(&str, String); N]) -> Attributes {
    pairs.into_iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| (k.to_string(), v)).collect()
}

/// The type of the event that a container is in a state.
fn container_kind(state: ContainerState) -> &'static str {
    match state {
        ContainerState::Created => "container-created",
        ContainerState::Running => "container-started",
        ContainerState::Waiting => "container-waiting",
        ContainerState::Exited => "container-exited",
    }
}

impl Observer {
    /// One that knows what was told before.
    pub(super) fn after(events: &VecDeque<Event>) -> Self {
        let mut before = HashMap::new();
        for event in events {
            match event.kind.as_str() {
                "pod-state" => {
                    before.insert(event.object.clone(), event.attributes.get("state").cloned().unwrap_or_default());
                }
                kind if kind.starts_with("container-") => {
                    before.insert(event.object.clone(), kind.to_string());
                }
                _ => {}
            }
        }
        Self { before, ..Self::default() }
    }

    /// What a change is, in events without number and time.
    pub(super) fn events(&mut self, engine: &Engine, change: &Change) -> Vec<Event> {
        let list = || engine.world().images.list().iter().map(|i| i.digest.clone()).collect();
        let images = self.images.get_or_insert_with(list);
        match change {
            Change::PodNew(picture) => {
                self.pods.insert(picture.record.id, seen(picture));
                vec![of_pod(picture, "pod-created", picture.record.id.path(), Attributes::new())]
            }
            Change::Pod(picture) => self.picture(picture),
            Change::PodGone(id) => {
                self.pods.remove(id).map(|p| p.event("pod-removed", id.path())).into_iter().collect()
            }
            Change::Exec(id, number) => self.exec(engine, *id, *number).into_iter().collect(),
            Change::ExecGone(id, number) => {
                if let Some(pod) = self.pods.get_mut(id) {
                    pod.execs.remove(number);
                }
                Vec::new()
            }
            Change::ImageNew(digest) => {
                if !images.insert(digest.clone()) {
                    return Vec::new();
                }
                let names = engine.image(digest).map(|i| i.names.join(" ")).unwrap_or_default();
                vec![of_root(
                    "image-added",
                    image_path(digest),
                    attributes([("digest", digest.clone()), ("names", names)]),
                )]
            }
            Change::ImageGone(digest) => {
                images.remove(digest);
                vec![of_root("image-removed", image_path(digest), attributes([("digest", digest.clone())]))]
            }
            Change::KernelNew(digest) => kernel_event(engine, "kernel-added", digest).into_iter().collect(),
            // It is told of the one before as well, which is the default no more.
            Change::Kernel(digest) if engine.world().kernels.is_default(digest) => {
                kernel_event(engine, "kernel-default", digest).into_iter().collect()
            }
            Change::KernelGone(digest) => {
                vec![of_root("kernel-removed", kernel_path(digest), attributes([("digest", digest.clone())]))]
            }
            Change::JobEnded(id) => self.job(engine, *id).into_iter().collect(),
            Change::Image(_) | Change::Kernel(_) | Change::JobNew(_) | Change::Job(_) => Vec::new(),
        }
    }

    fn picture(&mut self, picture: &PodStatus) -> Vec<Event> {
        let record = &picture.record;
        let now = seen(picture);
        let mut events = Vec::new();
        let old = self.pods.remove(&record.id);
        let (path, state) = (record.id.path(), record.state);
        let told_before = |path: &str, word: &str| self.before.get(path).is_none_or(|b| b == word);
        let state_is_new = match &old {
            Some(old) => old.state != state,
            None => !told_before(&path, state.as_str()),
        };
        if state_is_new {
            let said = attributes([
                ("state", state.to_string()),
                ("reason", record.reason.clone()),
                ("message", record.message.clone()),
            ]);
            events.push(of_pod(picture, "pod-state", path.clone(), said));
        }
        for container in &record.containers {
            let (path, kind) = (record.id.container_path(&container.name), container_kind(container.state));
            let is_new = match &old {
                Some(old) => old.containers.get(&container.name) != now.containers.get(&container.name),
                None => !told_before(&path, kind),
            };
            if is_new {
                events.push(of_pod(picture, kind, path, of_container(container)));
            }
        }
        if let Some(old) = &old {
            events.extend(changed(old, &now).map(|(kind, said)| of_pod(picture, kind, path.clone(), said)));
        }
        let execs = old.map_or_else(HashSet::new, |old| {
            let gone = old.containers.keys().filter(|name| !now.containers.contains_key(*name));
            for name in gone {
                let said = attributes([("container", name.clone())]);
                events.push(of_pod(picture, "container-removed", record.id.container_path(name), said));
            }
            old.execs
        });
        self.pods.insert(record.id, Pod { execs, ..now });
        events
    }

    fn exec(&mut self, engine: &Engine, id: PodId, number: u32) -> Option<Event> {
        let exec = engine.pod(id)?.exec(number)?;
        let pod = self.pods.get_mut(&id)?;
        let ended = exec.status().ended;
        let is_new = pod.execs.insert(number);
        let mut said = attributes([("container", exec.container.clone())]);
        let kind = match ended {
            Some((code, reason)) => {
                said.extend(attributes([("exit_code", code.to_string()), ("reason", reason.to_string())]));
                "exec-ended"
            }
            None if is_new => "exec-started",
            None => return None,
        };
        let path = format!("{}/exec/{number}", id.container_path(&exec.container));
        Some(Event { owner: exec.owner_uid, attributes: said, ..pod.event(kind, path) })
    }

    fn job(&self, engine: &Engine, id: u32) -> Option<Event> {
        let job = engine.jobs().get(id)?.status();
        let outcome = job.outcome?;
        let said = attributes([
            ("job", job.kind.as_str().into()),
            ("result", outcome.result.to_string()),
            ("error", outcome.error_name),
            ("message", outcome.message),
            ("about", job.objects.join(" ")),
        ]);
        let about = self.pods.iter().find(|(id, _)| job.objects.contains(&id.path())).map(|(_, pod)| pod);
        let event = of_root("job-ended", job_path(id), said);
        Some(Event {
            owner: job.owner_uid,
            pod: about.map(|p| p.name.clone()).unwrap_or_default(),
            labels: about.map(|p| p.labels.clone()).unwrap_or_default(),
            ..event
        })
    }
}

impl Pod {
    fn event(&self, kind: &str, object: String) -> Event {
        Event {
            number: 0,
            usec: 0,
            kind: kind.into(),
            owner: self.owner,
            object,
            pod: self.name.clone(),
            labels: self.labels.clone(),
            attributes: Attributes::new(),
        }
    }
}

/// What a pod is called, how large it is and what is said of it, where that is not what it was.
fn changed(old: &Pod, now: &Pod) -> impl Iterator<Item = (&'static str, Attributes)> {
    let renamed = (old.name != now.name)
        .then(|| ("pod-renamed", attributes([("from", old.name.clone()), ("to", now.name.clone())])));
    let resized = (old.size != now.size).then(|| {
        let (memory_mib, vcpus) = now.size;
        ("pod-resized", attributes([("memory_mib", memory_mib.to_string()), ("vcpus", vcpus.to_string())]))
    });
    let parts = [("labels", old.labels != now.labels), ("annotations", old.annotations != now.annotations)];
    let parts: Vec<&str> = parts.into_iter().filter(|(_, changed)| *changed).map(|(part, _)| part).collect();
    let updated = (!parts.is_empty()).then(|| ("pod-updated", attributes([("changed", parts.join(" "))])));
    [renamed, resized, updated].into_iter().flatten()
}

fn seen(picture: &PodStatus) -> Pod {
    let record = &picture.record;
    Pod {
        name: record.spec.name.clone(),
        owner: record.owner_uid,
        labels: Arc::new(record.spec.labels.clone()),
        annotations: record.spec.annotations.clone(),
        size: (record.spec.memory_mib, record.spec.vcpus),
        state: record.state,
        containers: record.containers.iter().map(|c| (c.name.clone(), (c.state, c.restarts))).collect(),
        execs: HashSet::new(),
    }
}

fn of_pod(picture: &PodStatus, kind: &str, object: String, attributes: Attributes) -> Event {
    Event { attributes, ..seen(picture).event(kind, object) }
}

fn of_root(kind: &str, object: String, attributes: Attributes) -> Event {
    let (pod, labels) = (String::new(), Arc::default());
    Event { number: 0, usec: 0, kind: kind.into(), owner: 0, object, pod, labels, attributes }
}

fn kernel_event(engine: &Engine, kind: &str, digest: &str) -> Option<Event> {
    let kernel = engine.kernel(digest).ok()?;
    let said = [("digest", kernel.digest.clone()), ("name", kernel.name.clone()), ("version", kernel.version.clone())];
    Some(of_root(kind, kernel_path(digest), attributes(said)))
}

fn of_container(c: &ContainerRecord) -> Attributes {
    let mut said = attributes([("container", c.name.clone())]);
    if matches!(c.state, ContainerState::Exited | ContainerState::Waiting) {
        let reason = c.reason.map(|r| r.to_string()).unwrap_or_default();
        let message = c.message.clone();
        said.extend(attributes([("exit_code", c.exit_code.to_string()), ("reason", reason), ("message", message)]));
    }
    if c.restarts > 0 {
        said.insert("restarts".into(), c.restarts.to_string());
    }
    said
}
