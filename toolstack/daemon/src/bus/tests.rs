//! The service on a bus of its own: dbus-daemon in a folder of the test, the engine on the fake world.

mod calls;
mod change;
mod served;
mod streams;
mod told;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use xenpod_api::proxy::{ContainerProxy, JobProxy, ManagerProxy, Options, PodProxy};
use zbus::fdo::{ObjectManagerProxy, PropertiesProxy};
use zbus::names::InterfaceName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, Variant};

use super::introspect::FILES;
use super::*;
use crate::engine::fake::Fake;

/// A bus that ends with the test.
pub(super) struct Bus {
    daemon: Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Bus {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("bus.conf");
        let socket = dir.path().join("bus");
        std::fs::write(
            &config,
            format!(
                "<busconfig><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\"><allow user=\"*\"/>\
                 <allow own=\"*\"/><allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>",
                socket.display()
            ),
        )
        .unwrap();
        let mut daemon = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config.display()))
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon, of Debian's package dbus-daemon, is needed");
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { daemon, address: address.trim().into(), _dir: dir }
    }

    pub(super) async fn connect(&self) -> Connection {
        zbus::connection::Builder::address(self.address.as_str()).build().await.unwrap()
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// A host whose state a test can change.
pub(super) struct Facts(watch::Sender<(&'static str, &'static str)>, watch::Sender<()>);

impl Facts {
    fn become_(&self, state: &'static str, why: &'static str) {
        self.0.send_replace((state, why));
        self.1.send_replace(());
    }
}

impl HostFacts for Facts {
    fn xen_version(&self) -> String {
        "4.17.5".into()
    }
    fn xenstored(&self) -> String {
        "oxenstored".into()
    }
    fn state(&self) -> (&'static str, String) {
        let (state, why) = *self.0.borrow();
        (state, why.into())
    }
    fn changes(&self) -> watch::Receiver<()> {
        self.1.subscribe()
    }
    fn check(&self) -> Vec<(String, String, String, String)> {
        vec![("xen".into(), "ok".into(), "4.17.5".into(), String::new())]
    }
}

/// Everything that a test needs.
pub(super) struct Place {
    pub(super) bus: Bus,
    pub(super) engine: Arc<Engine>,
    pub(super) events: Arc<Events>,
    pub(super) facts: Arc<Facts>,
    pub(super) running: Running,
}

impl Place {
    pub(super) async fn client(&self) -> (Connection, ManagerProxy<'static>) {
        let connection = self.bus.connect().await;
        let manager = ManagerProxy::builder(&connection).cache_properties(CacheProperties::No).build().await.unwrap();
        (connection, manager)
    }
}

/// Runs a test with a service. Guests run on a runtime of their own.
pub(super) fn with_service(work: impl AsyncFnOnce(Place)) {
    with_late_service(async |place, mut changes, told| {
        let (engine, events) = (place.engine.clone(), place.events.clone());
        tokio::spawn(async move {
            while let Some(change) = changes.recv().await {
                events.observe(&engine, &change);
                let _ = told.send(change);
            }
        });
        work(place).await;
    });
}

/// The same with a service that is told what changes only when the test passes it on.
fn with_late_service(work: impl AsyncFnOnce(Place, mpsc::UnboundedReceiver<Change>, mpsc::UnboundedSender<Change>)) {
    let guests = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fake = Fake::new(guests.handle().clone());
    fake.add_image("app", &["sleep"]);
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bus = Bus::start();
        let (engine, changes) = Engine::new(fake.world(dir.path()));
        engine.reconcile().await.unwrap();
        let events = Arc::new(Events::in_memory(1000));
        let facts = Arc::new(Facts(watch::Sender::new(("ready", "")), watch::Sender::new(())));
        let (told, to_tell) = mpsc::unbounded_channel();
        let setup = Setup {
            engine: engine.clone(),
            changes: to_tell,
            address: Some(bus.address.clone()),
            host: facts.clone(),
            events: events.clone(),
        };
        let running = serve(setup).await.unwrap();
        let place = Place { bus, engine, events, facts, running };
        tokio::time::timeout(Duration::from_secs(60), work(place, changes, told)).await.expect("the test hangs");
    });
    runtime.shutdown_background();
}

pub(super) fn manifest(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  restartPolicy: Never\n  containers:\n  \
         - {{name: main-1, image: app, command: [sleep]}}\n"
    )
}

pub(super) fn none() -> Options<'static> {
    HashMap::new()
}

/// The name of the error of a failed call, and its text.
pub(super) fn error<T: std::fmt::Debug>(result: zbus::Result<T>) -> (String, String) {
    match result.unwrap_err() {
        zbus::Error::MethodError(name, text, _) => (name.to_string(), text.unwrap_or_default()),
        zbus::Error::FDO(e) => {
            use zbus::DBusError;
            (e.name().to_string(), e.description().unwrap_or_default().to_string())
        }
        other => panic!("not an error of the service: {other}"),
    }
}

pub(super) async fn done(connection: &Connection, job: &zbus::OwnedObjectPath) {
    let job = JobProxy::builder(connection).path(job).cache_properties(CacheProperties::No).build().await.unwrap();
    assert_eq!(job.wait(none()).await.unwrap().0, "done");
}

/// The signals that a connection hears with a match rule.
pub(super) async fn signals_to(listener: &Connection) -> MessageStream {
    let rule = zbus::MatchRule::builder().msg_type(Type::Signal).sender("org.xenpod1").build().unwrap();
    MessageStream::for_match_rule(rule, listener, std::num::NonZero::new(1024)).await.unwrap()
}

/// Methods with the signature of their input, or properties with their type.
pub(super) type Members = Vec<(String, String)>;

/// What an interface's XML says: its methods and its properties.
pub(super) fn described(file: &str) -> (Members, Members) {
    let attribute = |line: &str, name: &str| {
        line.split_once(&format!("{name}=\"")).and_then(|(_, r)| r.split_once('"')).map(|(v, _)| v.to_string())
    };
    let (mut methods, mut properties) = (Vec::new(), Vec::new());
    for line in file.lines().map(str::trim) {
        if line.starts_with("<method") {
            methods.push((attribute(line, "name").unwrap(), String::new()));
        } else if line.starts_with("<arg") && line.contains("direction=\"in\"") {
            methods.last_mut().unwrap().1.push_str(&attribute(line, "type").unwrap());
        } else if line.starts_with("<property") {
            properties.push((attribute(line, "name").unwrap(), attribute(line, "type").unwrap()));
        }
    }
    (methods, properties)
}

#[test]
fn a_caller_that_vanishes_leaves_nothing() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        for _ in 0..20 {
            let client = place.bus.connect().await;
            let waiting = PodProxy::builder(&client).path(path.clone()).build().await.unwrap();
            let waiting = tokio::spawn(async move { waiting.wait(none()).await });
            tokio::time::sleep(Duration::from_millis(10)).await;
            waiting.abort();
            client.close().await.unwrap();
        }
        // One stays: this test's client.
        let service = &place.running.service;
        for _ in 0..100 {
            if service.waits.counts().is_empty() && service.callers.count() == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{:?} wait, {} are known", service.waits.counts(), service.callers.count());
    });
}

#[test]
fn waiting_is_bounded_for_each_user() {
    let waits = Waits::default();
    let first: Vec<_> = (0..MAX_WAITING_PER_USER).map(|_| waits.begin(1000).unwrap()).collect();
    let refused = waits.begin(1000).err().unwrap();
    assert_eq!(refused.name, "org.freedesktop.DBus.Error.LimitsExceeded");
    assert!(waits.begin(1001).is_ok());
    let others: Vec<_> = (0..MAX_WAITING - MAX_WAITING_PER_USER).map(|_| waits.begin(0).unwrap()).collect();
    assert!(waits.begin(0).is_err());
    drop(first);
    assert!(waits.begin(1000).is_ok());
    drop(others);
    assert!(waits.counts().is_empty());
}
