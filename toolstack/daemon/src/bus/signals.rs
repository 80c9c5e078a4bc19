//! What changes, told to those who may hear it.
//!
//! What is sent is the difference between what was last told of an object and what it shows, so a property that did not change is not
//! sent. Of a pod every state is told, in order, however short it was: its changes bring pictures, which wait in the [`Queue`].

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use xenpod_api::ids::{ROOT_PATH, image_path, job_path, kernel_path};
use zbus::{DynamicType, Message, ObjectPath};

use super::Service;
use super::listeners::{EVERYBODY, Listeners, Make};
use super::manager::event_entry;
use super::object::exec_path;
use super::properties::{self, Properties, path};
use super::queue::Queue;
use super::rules::Head;
use crate::engine::exec;
use crate::engine::jobs;
use crate::engine::{Change, PodStatus};
use crate::events::Event;
use crate::kernels::KernelInfo;

const MANAGER: &str = "org.xenpod1.Manager";
/// Who owns images.
const ROOT: u32 = 0;

/// What was last told of an object.
struct Told {
    interface: &'static str,
    owner_uid: u32,
    properties: Properties,
}

struct Publisher {
    service: Arc<Service>,
    told: HashMap<String, Told>,
    listeners: Listeners,
}

/// Publishes until the engine ends.
pub(super) async fn publish(service: Arc<Service>, mut changes: mpsc::UnboundedReceiver<Change>) {
    let mut publisher = Publisher { service, told: HashMap::new(), listeners: Listeners::new() };
    // What start-up did is seen in what there is now.
    while changes.try_recv().is_ok() {}
    publisher.begin();
    let queue = Queue::default();
    let mut events = publisher.service.events.listen();
    let mut host = publisher.service.host.changes();
    let fill = async {
        while let Some(change) = changes.recv().await {
            queue.push(change);
        }
    };
    let drain = async {
        loop {
            tokio::select! {
                change = queue.next() => publisher.change(change).await,
                Ok(()) = host.changed() => publisher.host().await,
                event = events.recv() => match event {
                    Ok(event) => publisher.event(&event).await,
                    // Who listens sees a gap in the numbers, and can list what is missing.
                    Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "the bus is slow: {missed} events were not told"),
                    Err(RecvError::Closed) => return,
                },
                () = publisher.listeners.due() => publisher.listeners.look(&publisher.service).await,
            }
        }
    };
    tokio::select! {
        () = fill => {}
        () = drain => {}
    }
}

impl Publisher {
    /// What was there before anybody could listen needs no telling.
    fn begin(&mut self) {
        self.told.insert(ROOT_PATH.to_string(), self.host_as_told());
        for pod in self.service.engine.list() {
            self.told.extend(pictured(&pod.status()));
        }
        for image in self.service.engine.world().images.list() {
            let properties = properties::of_image(&image);
            let told = Told { interface: "org.xenpod1.Image", owner_uid: ROOT, properties };
            self.told.insert(image_path(&image.digest), told);
        }
        for kernel in self.service.engine.world().kernels.list() {
            self.told.insert(kernel_path(&kernel.digest), self.kernel_as_told(&kernel));
        }
    }

    async fn change(&mut self, change: Change) {
        match change {
            Change::PodNew(picture) => {
                let id = picture.record.id;
                for (path, told) in pictured(&picture) {
                    self.added(path, told).await;
                }
                self.manager_signal(picture.record.owner_uid, "PodNew", (id.to_string(), object(&id.path()))).await;
            }
            Change::Pod(picture) => self.pod(&picture).await,
            Change::PodGone(id) => {
                let prefix = format!("{}/", id.path());
                let below: Vec<String> = self.told.keys().filter(|p| p.starts_with(&prefix)).cloned().collect();
                for path in below {
                    self.removed(&path).await;
                }
                if let Some(owner) = self.removed(&id.path()).await {
                    self.manager_signal(owner, "PodRemoved", (id.to_string(), object(&id.path()))).await;
                }
            }
            Change::Exec(pod, number) => {
                let Some(exec) = self.service.engine.pod(pod).and_then(|p| p.exec(number)) else { return };
                let properties = properties::of_exec(&exec);
                let told = Told { interface: "org.xenpod1.Exec", owner_uid: exec.owner_uid, properties };
                let path = exec_path(&exec);
                if self.told.contains_key(&path) { self.update(path, told).await } else { self.added(path, told).await }
            }
            Change::ExecGone(pod, number) => {
                let (prefix, suffix) = (format!("{}/", pod.path()), format!("/exec/{number}"));
                let path = self.told.keys().find(|p| p.starts_with(&prefix) && p.ends_with(&suffix)).cloned();
                if let Some(path) = path {
                    self.removed(&path).await;
                }
            }
            Change::ImageNew(digest) | Change::Image(digest) => {
                let Ok(image) = self.service.engine.image(&digest) else { return };
                let properties = properties::of_image(&image);
                let told = Told { interface: "org.xenpod1.Image", owner_uid: ROOT, properties };
                self.is_there(image_path(&digest), told, "ImageNew", digest).await;
            }
            Change::ImageGone(digest) => self.is_gone(&image_path(&digest), ROOT, "ImageRemoved", digest).await,
            Change::KernelNew(digest) | Change::Kernel(digest) => {
                let Ok(kernel) = self.service.engine.kernel(&digest) else { return };
                let told = self.kernel_as_told(&kernel);
                self.is_there(kernel_path(&digest), told, "KernelNew", digest).await;
                // Which is the default is said by the Manager as well.
                self.host().await;
            }
            Change::KernelGone(digest) => self.is_gone(&kernel_path(&digest), EVERYBODY, "KernelRemoved", digest).await,
            Change::JobNew(id) => self.job(id).await,
            Change::Job(id) => self.job(id).await,
            Change::JobEnded(id) => self.job_ended(id).await,
        }
    }

    async fn pod(&mut self, picture: &PodStatus) {
        let now = pictured(picture);
        // Containers come and go; what runs in them does so by itself.
        let prefix = format!("{}/container/", picture.record.id.path());
        let is_container = |p: &String| p.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
        let gone: Vec<String> =
            self.told.keys().filter(|p| is_container(p) && now.iter().all(|(path, _)| path != *p)).cloned().collect();
        for path in gone {
            self.removed(&path).await;
        }
        for (path, told) in now {
            if self.told.contains_key(&path) { self.update(path, told).await } else { self.added(path, told).await }
        }
    }

    async fn event(&mut self, event: &Event) {
        self.manager_signal(event.owner, "Event", event_entry(event)).await;
    }

    async fn host(&mut self) {
        let told = self.host_as_told();
        self.update(ROOT_PATH.to_string(), told).await;
    }

    /// What is known by a digest is there, or is not what it was.
    async fn is_there(&mut self, path: String, told: Told, new: &'static str, digest: String) {
        if self.told.contains_key(&path) {
            return self.update(path, told).await;
        }
        let owner = told.owner_uid;
        self.added(path.clone(), told).await;
        self.manager_signal(owner, new, (digest, object(&path))).await;
    }

    async fn is_gone(&mut self, path: &str, owner: u32, gone: &'static str, digest: String) {
        if self.removed(path).await.is_some() {
            self.manager_signal(owner, gone, (digest, object(path))).await;
        }
    }

    /// Kernels are everybody's to see.
    fn kernel_as_told(&self, kernel: &KernelInfo) -> Told {
        let properties = super::kernel::properties(&self.service, kernel);
        Told { interface: "org.xenpod1.Kernel", owner_uid: EVERYBODY, properties }
    }

    fn host_as_told(&self) -> Told {
        let properties = properties::of_host(&self.service);
        Told { interface: MANAGER, owner_uid: EVERYBODY, properties }
    }

    async fn job(&mut self, id: u32) {
        let Some(status) = self.service.engine.jobs().get(id).map(|j| j.status()) else { return };
        let told =
            Told { interface: "org.xenpod1.Job", owner_uid: status.owner_uid, properties: properties::of_job(&status) };
        let path = job_path(id);
        if self.told.contains_key(&path) {
            self.update(path, told).await;
        } else {
            self.added(path.clone(), told).await;
            self.manager_signal(status.owner_uid, "JobNew", (id, object(&path))).await;
        }
    }

    async fn job_ended(&mut self, id: u32) {
        self.job(id).await;
        let Some(status) = self.service.engine.jobs().get(id).map(|j| j.status()) else { return };
        if let Some(outcome) = status.outcome {
            let told = (id, object(&job_path(id)), outcome.result.as_str(), outcome.error_name, outcome.message);
            self.manager_signal(status.owner_uid, "JobRemoved", told).await;
        }
        // It can still be looked at for a while.
        let service = self.service.clone();
        self.told.remove(&job_path(id));
        tokio::spawn(async move {
            tokio::time::sleep(jobs::LINGER).await;
            service.engine.jobs().forget(id);
        });
        debug_assert!(exec::LINGER < jobs::LINGER);
    }

    /// Sends what is not as it was last told.
    async fn update(&mut self, path: String, now: Told) {
        let Some(before) = self.told.get(&path) else {
            self.told.insert(path, now);
            return;
        };
        let changed: Properties = now
            .properties
            .iter()
            .filter(|(name, value)| before.properties.get(*name) != Some(*value))
            .filter_map(|(name, value)| Some((*name, value.try_clone().ok()?)))
            .collect();
        if changed.is_empty() {
            return;
        }
        let state = (now.interface == "org.xenpod1.Pod" && changed.contains_key("State"))
            .then(|| (text(&now.properties, "State"), text(&now.properties, "Reason")));
        let body = (now.interface, changed, Vec::<&str>::new());
        let owner = now.owner_uid;
        self.told.insert(path.clone(), now);
        self.send(owner, &path, "org.freedesktop.DBus.Properties", "PropertiesChanged", body).await;
        if let Some(state) = state {
            self.send(owner, &path, "org.xenpod1.Pod", "StateChanged", state).await;
        }
    }

    async fn added(&mut self, path: String, told: Told) {
        let owner = told.owner_uid;
        let properties: Properties =
            told.properties.iter().filter_map(|(name, value)| Some((*name, value.try_clone().ok()?))).collect();
        let body = (object(&path), HashMap::from([(told.interface, properties)]));
        self.told.insert(path, told);
        self.send(owner, ROOT_PATH, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded", body).await;
    }

    /// Returns whose it was, if it was known.
    async fn removed(&mut self, path: &str) -> Option<u32> {
        let told = self.told.remove(path)?;
        let body = (object(path), vec![told.interface]);
        let interface = "org.freedesktop.DBus.ObjectManager";
        self.send(told.owner_uid, ROOT_PATH, interface, "InterfacesRemoved", body).await;
        Some(told.owner_uid)
    }

    async fn manager_signal<B: Body>(&mut self, owner_uid: u32, name: &'static str, body: B) {
        self.send(owner_uid, ROOT_PATH, MANAGER, name, body).await;
    }

    async fn send<B: Body>(
        &mut self,
        owner_uid: u32,
        path: &str,
        interface: &'static str,
        member: &'static str,
        body: B,
    ) {
        let head = Head { path: path.to_string(), interface, member };
        let path = head.path.clone();
        let make: Make =
            Box::new(move |to| Message::signal(path.as_str(), interface, member).destination(to.clone()).build(&body));
        self.listeners.send(&self.service, head, owner_uid, make).await;
    }
}

/// What a signal can say.
trait Body: Serialize + DynamicType + Send + Sync + 'static {}
impl<T: Serialize + DynamicType + Send + Sync + 'static> Body for T {}

/// A pod and its containers, by path.
fn pictured(status: &PodStatus) -> Vec<(String, Told)> {
    let (id, owner_uid) = (status.record.id, status.record.owner_uid);
    let mut found =
        vec![(id.path(), Told { interface: "org.xenpod1.Pod", owner_uid, properties: properties::of_pod(status) })];
    found.extend(status.record.containers.iter().map(|c| {
        let properties = properties::container(status, c);
        (id.container_path(&c.name), Told { interface: "org.xenpod1.Container", owner_uid, properties })
    }));
    found
}

fn object(text: &str) -> ObjectPath<'static> {
    path(text.to_string()).unwrap_or_default()
}

fn text(properties: &Properties, name: &str) -> String {
    match properties.get(name) {
        Some(zbus::Variant::Str(s)) => s.to_string(),
        _ => String::new(),
    }
}
