//! The engine whole, on the fake world.

mod change;
mod containers;
mod contents;
mod faults;
mod health;
mod kernels;
mod life;
mod outside;
mod stats;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use xenpod_api::state::{JobResult, PodState};

use super::contents::Contents;
use super::fake::Fake;
use super::jobs::{Job, JobKind, Outcome};
use super::pod::Ask;
use super::{Change, CreateRequest, Engine, PodHandle};

/// A world with images, and a place for records. Guests go on when an engine's runtime is dropped.
pub(super) struct Lab {
    pub(super) fake: Fake,
    pub(super) dir: tempfile::TempDir,
    _guests: tokio::runtime::Runtime,
}

pub(super) struct Running {
    pub(super) engine: Arc<Engine>,
    pub(super) changes: mpsc::UnboundedReceiver<Change>,
}

impl Lab {
    pub(super) fn new() -> Self {
        let guests = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let fake = Fake::new(guests.handle().clone());
        fake.add_image("app", &["sleep"]);
        fake.add_image("other", &["sleep"]);
        Self { fake, dir: tempfile::tempdir().unwrap(), _guests: guests }
    }

    /// Runs `work` with an engine of its own; whatever the engine was doing is dropped at the end, as when it crashes.
    pub(super) fn run<T>(&self, work: impl AsyncFnOnce(Running) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let result = runtime.block_on(async {
            let (engine, changes) = Engine::new(self.fake.world(self.dir.path()));
            engine.reconcile().await.unwrap();
            let work = work(Running { engine, changes });
            tokio::time::timeout(Duration::from_secs(20), work).await.expect("the engine hangs")
        });
        // A crash ends every thread; here those at work on the disk are waited for, so that they do not meet the next engine.
        runtime.shutdown_timeout(Duration::from_secs(5));
        result
    }

    /// What is on disk of pods.
    pub(super) fn records(&self) -> usize {
        std::fs::read_dir(self.dir.path().join("pods")).unwrap().count()
    }
}

/// A manifest: `containers` are name, image, command.
pub(super) fn manifest(name: &str, policy: &str, containers: &[(&str, &str, &str)]) -> String {
    let mut text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  restartPolicy: {policy}\n  containers:\n"
    );
    for (name, image, command) in containers {
        let words: Vec<_> = command.split(' ').map(|w| format!("\"{w}\"")).collect();
        let pull = if image.starts_with("pull") || image.contains("missing") { "Always" } else { "IfNotPresent" };
        text += &format!(
            "  - name: {name}\n    image: {image}\n    imagePullPolicy: {pull}\n    command: [{}]\n",
            words.join(", ")
        );
    }
    text
}

pub(super) fn request(manifest: String, owner_uid: u32, start: bool) -> CreateRequest {
    let spec = xenpod_api::manifest::parse(&manifest).unwrap();
    CreateRequest { manifest, spec, owner_uid, start, contents: Contents::default() }
}

impl Running {
    pub(super) async fn create(&self, manifest: String, start: bool) -> (Job, PodHandle) {
        self.engine.create(request(manifest, 0, start)).await.unwrap()
    }

    /// Creates and starts a pod with one container, and waits.
    pub(super) async fn started(&self, name: &str, command: &str) -> PodHandle {
        let (job, pod) = self.create(manifest(name, "Never", &[("main", "app", command)]), true).await;
        assert_eq!(job.wait().await, done(), "{name}");
        pod
    }

    pub(super) async fn ask(&self, pod: &PodHandle, kind: JobKind, ask: impl FnOnce(Job) -> Ask) -> Outcome {
        self.engine.ask(pod, 0, kind, ask).unwrap().wait().await
    }

    pub(super) async fn stop(&self, pod: &PodHandle) -> Outcome {
        self.ask(pod, JobKind::Stop, |job| Ask::Stop { grace_seconds: Some(1), job }).await
    }

    pub(super) async fn start(&self, pod: &PodHandle) -> Outcome {
        self.ask(pod, JobKind::Start, |job| Ask::Start { contents: Contents::default(), job }).await
    }

    pub(super) async fn remove(&self, pod: &PodHandle, force: bool) -> Outcome {
        self.ask(pod, JobKind::Remove, |job| Ask::Remove { force, job }).await
    }
}

pub(super) fn done() -> Outcome {
    Outcome { result: JobResult::Done, error_name: String::new(), message: String::new() }
}

/// Waits until the pod is in `state`; returns its reason and message.
pub(super) async fn until(pod: &PodHandle, state: PodState) -> (String, String) {
    let mut watch = pod.watch();
    let wait = watch.wait_for(|s| s.state() == state);
    let status = tokio::time::timeout(Duration::from_secs(10), wait).await;
    let status = status.unwrap_or_else(|_| panic!("it is {:?}", pod.status().record)).unwrap();
    (status.record.reason.clone(), status.record.message.clone())
}
