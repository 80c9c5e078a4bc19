//! The service on a bus of its own: dbus-daemon in a folder of the test, the engine on the fake world.

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
    fn kernel_digest(&self) -> String {
        "00".into()
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

#[test]
fn a_pods_life_by_calls_alone() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        let pod =
            PodProxy::builder(&connection).path(&path).cache_properties(CacheProperties::No).build().await.unwrap();
        assert_eq!((pod.name().await.unwrap(), pod.state().await.unwrap()), ("web".into(), "running".into()));
        assert_eq!(manager.get_pod("web").await.unwrap(), path);
        let id = pod.id().await.unwrap();
        assert_eq!(manager.get_pod(&id).await.unwrap(), path);
        let list = manager.list_pods(none()).await.unwrap();
        assert_eq!(list, [(id, "web".to_string(), "running".to_string(), path.clone())]);
        let container = pod.containers().await.unwrap().remove(0);
        assert_eq!(container.as_str(), format!("{}/container/main_2d1", path.as_str()));
        let container = ContainerProxy::builder(&connection).path(container).build().await.unwrap();
        assert_eq!(container.state().await.unwrap(), "running");
        done(&connection, &pod.stop(none()).await.unwrap()).await;
        assert_eq!(pod.wait(none()).await.unwrap().0, "stopped");
        done(&connection, &pod.remove(none()).await.unwrap()).await;
        assert!(manager.list_pods(none()).await.unwrap().is_empty());
        assert_eq!(error(pod.start(none()).await).0, "org.freedesktop.DBus.Error.UnknownObject");
    });
}

#[test]
fn containers_come_and_go_on_the_bus() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start.clone()).await.unwrap();
        done(&connection, &job).await;
        let pod =
            PodProxy::builder(&connection).path(&path).cache_properties(CacheProperties::No).build().await.unwrap();
        let objects = ObjectManagerProxy::builder(&connection)
            .destination("org.xenpod1")
            .path("/org/xenpod1")
            .build()
            .await
            .unwrap();
        let mut added = objects.receive_interfaces_added().await.unwrap();
        let mut removed = objects.receive_interfaces_removed().await.unwrap();
        let text = "name: tool\nimage: app\ncommand: [sleep]\n";
        let (job, tool) = pod.create_container(text, start.clone()).await.unwrap();
        done(&connection, &job).await;
        assert_eq!(tool.as_str(), format!("{}/container/tool", path.as_str()));
        while added.next().await.unwrap().args().unwrap().object_path().as_str() != tool.as_str() {}
        let container = async |path: &str| {
            let builder = ContainerProxy::builder(&connection).path(path.to_string());
            builder.cache_properties(CacheProperties::No).build().await.unwrap()
        };
        let proxy = container(tool.as_str()).await;
        assert_eq!(proxy.state().await.unwrap(), "running");
        let (name, text) = error(proxy.kill(65, none()).await);
        assert_eq!(
            (name.as_str(), text.as_str()),
            ("org.freedesktop.DBus.Error.InvalidArgs", "65 is not a signal: 1 to 64")
        );
        let (name, _) = error(proxy.rename("Not A Name", none()).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");
        proxy.kill(9, none()).await.unwrap();
        assert_eq!(proxy.wait(none()).await.unwrap(), (137, "Signal".to_string()));
        proxy.rename("hammer", none()).await.unwrap();
        while removed.next().await.unwrap().args().unwrap().object_path().as_str() != tool.as_str() {}
        assert_eq!(error(proxy.stop(none()).await).0, "org.freedesktop.DBus.Error.UnknownObject");
        let hammer = container(&format!("{}/container/hammer", path.as_str())).await;
        done(&connection, &hammer.start(none()).await.unwrap()).await;
        let grace = HashMap::from([("grace_seconds", Variant::from(5u32))]);
        done(&connection, &hammer.stop(grace).await.unwrap()).await;
        done(&connection, &hammer.remove(none()).await.unwrap()).await;
        assert_eq!(pod.containers().await.unwrap().len(), 1);
        let wrong = HashMap::from([("restart_policy", Variant::from("Sometimes"))]);
        let (name, text) = error(pod.create_container("name: a\nimage: app\n", wrong).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");
        assert_eq!(text, "option restart_policy: \"Sometimes\" is not a restart policy");
        let (name, text) = error(pod.create_container("name: a\nimagee: app\n", none()).await);
        assert_eq!(name, "org.xenpod1.Error.ManifestInvalid");
        assert!(text.contains("line 2: imagee"), "{text}");
    });
}

#[test]
fn errors_have_their_names_and_texts() {
    with_service(async |place| {
        let (_connection, manager) = place.client().await;
        let (name, text) = error(manager.get_pod("nothing").await);
        assert_eq!(name, "org.xenpod1.Error.NoSuchPod");
        assert!(text.contains("\"nothing\""), "{text}");
        let (name, text) = error(manager.create_pod("kind: Job\napiVersion: v1", none()).await);
        assert_eq!(
            (name.as_str(), text.as_str()),
            ("org.xenpod1.Error.ManifestInvalid", "the manifest is not a Pod: kind is Job; it must be Pod")
        );
        let unsupported = manifest("x").replace("spec:", "spec:\n  hostNetwork: true");
        assert_eq!(error(manager.create_pod(&unsupported, none()).await).0, "org.xenpod1.Error.ManifestUnsupported");
        let colour = HashMap::from([("colour", Variant::from("red"))]);
        let (name, text) = error(manager.create_pod(&manifest("x"), colour).await);
        assert_eq!(
            (name.as_str(), text.as_str()),
            ("org.freedesktop.DBus.Error.InvalidArgs", "there is no option colour")
        );
        let wrong = HashMap::from([("start", Variant::from("yes"))]);
        let (name, text) = error(manager.create_pod(&manifest("x"), wrong).await);
        assert_eq!(
            (name.as_str(), text.as_str()),
            ("org.freedesktop.DBus.Error.InvalidArgs", "option start must be of type b")
        );
        assert_eq!(error(manager.get_image("no").await).0, "org.xenpod1.Error.NoSuchImage");
        assert!(place.engine.list().is_empty(), "something was left behind");
        manager.create_pod(&manifest("twice"), none()).await.unwrap();
        assert_eq!(error(manager.create_pod(&manifest("twice"), none()).await).0, "org.xenpod1.Error.PodExists");
        assert_eq!(place.engine.list().len(), 1);
    });
}

/// A started pod `web` and its only container.
async fn started(
    connection: &Connection,
    manager: &ManagerProxy<'_>,
    manifest: &str,
) -> (PodProxy<'static>, ContainerProxy<'static>) {
    let start = HashMap::from([("start", Variant::from(true))]);
    let (job, path) = manager.create_pod(manifest, start).await.unwrap();
    done(connection, &job).await;
    let pod = PodProxy::builder(connection).path(path).cache_properties(CacheProperties::No).build().await.unwrap();
    let container = pod.containers().await.unwrap().remove(0);
    let container = ContainerProxy::builder(connection).path(container).cache_properties(CacheProperties::No);
    (pod, container.build().await.unwrap())
}

/// All that comes out of a pipe.
async fn read(pipe: zbus::OwnedFd) -> String {
    let read = || std::io::read_to_string(std::fs::File::from(std::os::fd::OwnedFd::from(pipe))).unwrap();
    tokio::task::spawn_blocking(read).await.unwrap()
}

#[test]
fn logs_of_this_run_and_of_the_one_before() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let (pod, container) =
            started(&connection, &manager, &manifest("web").replace("[sleep]", "[print, hello]")).await;
        assert_eq!(pod.wait(none()).await.unwrap().0, "stopped");
        let logs = async |options: &[(&'static str, Variant<'static>)]| {
            let options = options.iter().map(|(k, v)| (*k, v.try_clone().unwrap())).collect();
            container.logs(options).await
        };
        let flag = |name| (name, Variant::from(true));
        let (name, text) = error(logs(&[flag("previous")]).await);
        assert_eq!(
            (name.as_str(), text.as_str()),
            (
                "org.xenpod1.Error.NoSuchLog",
                "pod web: container main-1 has no previous run: it was not started again yet"
            )
        );
        let (name, text) = error(logs(&[flag("previous"), flag("follow")]).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");
        assert!(text.starts_with("options follow and previous exclude each other"), "{text}");
        let (_, text) = error(logs(&[("tail", Variant::from(-1i32))]).await);
        assert_eq!(text, "option tail must be of type t");
        done(&connection, &pod.start(none()).await.unwrap()).await;
        assert_eq!(pod.wait(none()).await.unwrap().0, "stopped");
        assert_eq!(read(logs(&[flag("previous")]).await.unwrap().0).await, "hello");
        assert_eq!(read(logs(&[flag("follow")]).await.unwrap().0).await, "hello");
        let nothing = logs(&[("tail", Variant::from(5u64)), ("since", Variant::from(u64::MAX))]).await;
        assert_eq!(read(nothing.unwrap().0).await, "");
        let stamped = read(logs(&[flag("timestamps"), ("tail", Variant::from(1u64))]).await.unwrap().0).await;
        assert!(stamped.ends_with("Z hello") && stamped.starts_with("20"), "{stamped}");
    });
}

#[test]
fn streams_travel_as_descriptors() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let text = manifest("web").replace("[sleep]", "[cat], stdin: true, stdinOnce: true");
        let (pod, container) = started(&connection, &manager, &text).await;
        assert!(container.stdin().await.unwrap() && !container.tty().await.unwrap());
        let flag = |name: &'static str| HashMap::from([(name, Variant::from(true))]);

        let (name, text) = error(container.attach(flag("colour")).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");
        assert_eq!(text, "there is no option colour");
        let (name, text) = error(container.resize(5, 5, none()).await);
        assert_eq!(name, "org.xenpod1.Error.BadState");
        assert_eq!(text, "container main-1 of pod web has no terminal: its manifest does not say `tty: true`");

        let (exec, stdin, ..) = container.exec(&["cat"], flag("stdin")).await.unwrap();
        let exec = xenpod_api::proxy::ExecProxy::builder(&connection).path(exec).build().await.unwrap();
        exec.detach(none()).await.unwrap();
        drop(stdin);

        let (name, text) = error(pod.port_forward(0, none()).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");
        assert_eq!(text, "0 is not a port: 1 to 65535");
        let (name, text) = error(pod.port_forward(81, none()).await);
        assert_eq!(name, "org.xenpod1.Error.ConnectionRefused");
        assert_eq!(text, "pod web: cannot connect to port 81 of the pod: connection refused");
        let socket = pod.port_forward(7, none()).await.unwrap();
        let talk = move || {
            use std::io::{Read, Write};
            let mut socket = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(socket));
            socket.write_all(b"there and back").unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let mut back = String::new();
            socket.read_to_string(&mut back).unwrap();
            back
        };
        assert_eq!(tokio::task::spawn_blocking(talk).await.unwrap(), "there and back");

        // The second is there from the beginning, and neither is needed by the other.
        let (stdin, stdout, _) = container.attach(flag("stdin")).await.unwrap();
        let (_, watched, _) = container.attach(flag("logs")).await.unwrap();
        let write = move || {
            use std::io::Write;
            std::fs::File::from(std::os::fd::OwnedFd::from(stdin)).write_all(b"hello\n").unwrap();
        };
        tokio::task::spawn_blocking(write).await.unwrap();
        assert_eq!(read(stdout).await, "hello\n", "its end of input has ended it");
        assert_eq!(read(watched).await, "hello\n");
        let (state, code) = pod.wait(none()).await.unwrap();
        assert_eq!((state.as_str(), code), ("stopped", 0));
        let (name, text) = error(container.attach(flag("stdin")).await);
        assert_eq!(name, "org.xenpod1.Error.BadState");
        assert_eq!(text, "pod web: cannot attach to it while it is stopped: start it first");
    });
}

#[test]
fn secrets_are_descriptors_and_config_maps_may_be_texts() {
    with_service(async |place| {
        use std::io::Write;
        let (connection, manager) = place.client().await;
        let text = manifest("web").replace(
            "  containers:",
            "  volumes: [{name: k, secret: {secretName: db}}, {name: c, configMap: {name: app}}]\n  containers:",
        );
        let (name, said) = error(manager.create_pod(&text, none()).await);
        assert_eq!(name, "org.xenpod1.Error.ContentMissing");
        assert!(said.contains("volume \"k\" needs secret \"db\""), "{said}");

        let maps = |value: &'static str| HashMap::from([("app", HashMap::from([("a.conf", value)]))]);
        let as_text =
            HashMap::from([("secrets", Variant::from(HashMap::from([("db", HashMap::from([("pw", "hush")]))])))]);
        let (name, said) = error(manager.create_pod(&text, as_text).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");
        assert_eq!(said, "option secrets must be of type a{sa{sh}}: names, keys, and a file descriptor for each");

        let secret = |file: std::os::fd::OwnedFd| {
            Variant::from(HashMap::from([("db", HashMap::from([("pw", zbus::Fd::from(file))]))]))
        };
        let (pipe, _other) = rustix::pipe::pipe().unwrap();
        let piped = HashMap::from([("secrets", secret(pipe)), ("config_maps", Variant::from(maps("x")))]);
        let (name, said) = error(manager.create_pod(&text, piped).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");
        assert_eq!(said, "secret \"db\", key \"pw\": the descriptor must be of a regular file or a memfd, not on FUSE");
        assert!(place.engine.list().is_empty(), "something was left behind");

        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hush").unwrap();
        let given = HashMap::from([("secrets", secret(file.into())), ("config_maps", Variant::from(maps("x=1")))]);
        let (job, path) = manager.create_pod(&text, given).await.unwrap();
        done(&connection, &job).await;
        let pod =
            PodProxy::builder(&connection).path(&path).cache_properties(CacheProperties::No).build().await.unwrap();
        done(&connection, &pod.start(none()).await.unwrap()).await;
        let properties =
            PropertiesProxy::builder(&connection).destination("org.xenpod1").path(&path).build().await.unwrap();
        let all = properties.get_all(InterfaceName::try_from("org.xenpod1.Pod").unwrap()).await.unwrap();
        assert!(!format!("{all:?}").contains("hush"), "{all:?}");
    });
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
fn what_is_served_is_what_the_installed_xml_says() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, pod) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        let image = manager.get_image("app").await.unwrap();
        let container = format!("{}/container/main_2d1", pod.as_str());
        let objects = [
            ("org.xenpod1.Manager", "/org/xenpod1"),
            ("org.xenpod1.Pod", pod.as_str()),
            ("org.xenpod1.Container", &container),
            ("org.xenpod1.Image", image.as_str()),
            ("org.xenpod1.Job", job.as_str()),
        ];
        for (interface, path) in objects {
            let (_, file) = FILES.iter().find(|(n, _)| *n == interface).unwrap();
            let (methods, mut wanted) = described(file);
            let properties =
                PropertiesProxy::builder(&connection).destination("org.xenpod1").path(path).build().await.unwrap();
            let all = properties.get_all(InterfaceName::try_from(interface).unwrap()).await.unwrap();
            let mut served: Vec<(String, String)> =
                all.iter().map(|(name, value)| (name.clone(), value.value_signature().to_string())).collect();
            served.sort();
            wanted.sort();
            assert_eq!(served, wanted, "{interface}");
            for (method, _) in methods {
                // Without arguments it cannot do anything, but it must be known.
                let reply =
                    connection.call_method(Some("org.xenpod1"), path, Some(interface), method.as_str(), &()).await;
                if let Err(zbus::Error::MethodError(name, text, _)) = reply {
                    assert_ne!(name.as_str(), "org.freedesktop.DBus.Error.UnknownMethod", "{text:?}");
                }
            }
            let reply = connection.call_method(Some("org.xenpod1"), path, Some(interface), "NoSuchMethod", &()).await;
            assert_eq!(error(reply).0, "org.freedesktop.DBus.Error.UnknownMethod");
            let xml: String = connection
                .call_method(Some("org.xenpod1"), path, Some("org.freedesktop.DBus.Introspectable"), "Introspect", &())
                .await
                .unwrap()
                .body()
                .deserialize()
                .unwrap();
            assert_eq!(described(&introspect::interface(interface)), described(file));
            assert!(xml.contains(&introspect::interface(interface)), "{xml}");
        }
    });
}

#[test]
fn the_tree_can_be_walked() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let (job, pod) = manager.create_pod(&manifest("web"), none()).await.unwrap();
        done(&connection, &job).await;
        let introspect = async |path: &str| -> String {
            let interface = Some("org.freedesktop.DBus.Introspectable");
            let reply = connection.call_method(Some("org.xenpod1"), path, interface, "Introspect", &()).await;
            reply.unwrap().body().deserialize().unwrap()
        };
        assert!(introspect("/").await.contains("<node name=\"org\"/>"));
        let root = introspect("/org/xenpod1").await;
        for child in ["image", "job", "pod"] {
            assert!(root.contains(&format!("<node name=\"{child}\"/>")), "{root}");
        }
        assert!(introspect(pod.as_str()).await.contains("<node name=\"container\"/>"));
        let managed = ObjectManagerProxy::builder(&connection)
            .destination("org.xenpod1")
            .path("/org/xenpod1")
            .build()
            .await
            .unwrap()
            .get_managed_objects()
            .await
            .unwrap();
        assert!(managed.keys().any(|p| p.as_str() == pod.as_str()));
        let nothing = none();
        let gone = connection.call_method(
            Some("org.xenpod1"),
            "/org/xenpod1/pod/x",
            Some("org.xenpod1.Pod"),
            "Start",
            &nothing,
        );
        assert_eq!(error(gone.await).0, "org.freedesktop.DBus.Error.UnknownObject");
    });
}

#[test]
fn changes_are_told() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let mut heard = signals_to(&place.bus.connect().await).await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        let pod = PodProxy::builder(&connection).path(&path).build().await.unwrap();
        let force = HashMap::from([("force", Variant::from(true))]);
        done(&connection, &pod.remove(force).await.unwrap()).await;
        let (mut members, mut states) = (Vec::new(), Vec::new());
        while members.iter().filter(|m| *m == "JobRemoved").count() < 2 {
            let message = heard.next().await.unwrap().unwrap();
            let header = message.header();
            let member = header.member().unwrap().to_string();
            if member == "PropertiesChanged" && header.path().is_some_and(|p| p.as_str() == path.as_str()) {
                let body = message.body();
                let (interface, changed, _): (String, HashMap<String, zbus::OwnedVariant>, Vec<String>) =
                    body.deserialize().unwrap();
                assert_eq!(interface, "org.xenpod1.Pod");
                if let Some(state) = changed.get("State") {
                    states.push(String::try_from(state.clone()).unwrap());
                }
            }
            members.push(member);
        }
        for wanted in
            ["PodNew", "JobNew", "InterfacesAdded", "StateChanged", "JobRemoved", "PodRemoved", "InterfacesRemoved"]
        {
            assert!(members.iter().any(|m| m == wanted), "no {wanted} in {members:?}");
        }
        assert!(states.iter().any(|s| s == "running"), "{states:?}");
    });
}

#[test]
fn every_state_is_told_however_late() {
    with_late_service(async |place, mut changes, told| {
        let (connection, manager) = place.client().await;
        let mut heard = signals_to(&place.bus.connect().await).await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        let pod = PodProxy::builder(&connection).path(&path).build().await.unwrap();
        done(&connection, &pod.stop(none()).await.unwrap()).await;
        done(&connection, &pod.remove(none()).await.unwrap()).await;
        assert!(place.engine.list().is_empty());
        while let Ok(change) = changes.try_recv() {
            told.send(change).unwrap();
        }
        let container = format!("{}/container/main_2d1", path.as_str());
        let mut states: HashMap<String, Vec<String>> = HashMap::new();
        let mut order = Vec::new();
        loop {
            let message = heard.next().await.unwrap().unwrap();
            let header = message.header();
            let of = header.path().unwrap().to_string();
            match header.member().unwrap().as_str() {
                "PropertiesChanged" => {
                    let body = message.body();
                    let (_, changed, _): (String, HashMap<String, zbus::OwnedVariant>, Vec<String>) =
                        body.deserialize().unwrap();
                    if let Some(state) = changed.get("State") {
                        states.entry(of).or_default().push(String::try_from(state.clone()).unwrap());
                    }
                }
                "StateChanged" => order.push(message.body().deserialize::<(String, String)>().unwrap().0),
                "PodRemoved" => break,
                _ => {}
            }
        }
        let wanted = ["created", "starting", "running", "stopping", "stopped"];
        assert_eq!(states[path.as_str()], wanted);
        assert_eq!(order, wanted);
        assert_eq!(states[&container], ["running", "exited"]);
    });
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
fn events_are_told_and_listed() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        manager.subscribe().await.unwrap();
        let mut told = manager.receive_event().await.unwrap();
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        let mut heard = Vec::new();
        while heard.last().is_none_or(|(kind, _): &(String, u64)| kind != "job-ended") {
            let event = told.next().await.unwrap();
            let args = event.args().unwrap();
            heard.push((args.kind().clone(), *args.number()));
        }
        let (events, oldest, reached) = manager.list_events(none()).await.unwrap();
        let listed: Vec<(String, u64)> = events.iter().map(|e| (e.2.clone(), e.0)).collect();
        assert_eq!(listed, heard);
        assert_eq!((oldest, reached), (1, heard.len() as u64));
        assert_eq!((events[0].2.as_str(), &events[0].3, events[0].4.as_str()), ("pod-created", &path, "web"));
        assert_eq!(events[0].5["owner"], format!("uid:{}", place.engine.list()[0].owner_uid));
        let only = HashMap::from([("type", Variant::from("container-started")), ("since", Variant::from(1u64))]);
        let (events, ..) = manager.list_events(only).await.unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].3.as_str(), format!("{}/container/main_2d1", path.as_str()));
        let wrong = HashMap::from([("since", Variant::from("yesterday"))]);
        assert_eq!(error(manager.list_events(wrong).await).1, "option since must be of type t");
    });
}

#[test]
fn a_host_that_changes_is_told_to_everybody() {
    with_service(async |place| {
        let (_connection, manager) = place.client().await;
        let stranger = place.bus.connect().await;
        let name = stranger.unique_name().unwrap().to_string();
        place.running.service.callers.masks.lock().unwrap().insert(name, 4001);
        let mut heard = signals_to(&stranger).await;
        assert_eq!(manager.host_state().await.unwrap(), "ready");
        place.facts.become_("degraded", "xenstored does not answer");
        let message = heard.next().await.unwrap().unwrap();
        assert_eq!(message.header().path().unwrap().as_str(), "/org/xenpod1");
        let body = message.body();
        let (interface, changed, _): (String, BTreeMap<String, String>, Vec<String>) = {
            let (interface, changed, gone): (String, HashMap<String, zbus::OwnedVariant>, Vec<String>) =
                body.deserialize().unwrap();
            (interface, changed.into_iter().map(|(k, v)| (k, String::try_from(v).unwrap())).collect(), gone)
        };
        let wanted = [("HostMessage", "xenstored does not answer"), ("HostState", "degraded")];
        assert_eq!(interface, "org.xenpod1.Manager");
        assert_eq!(changed.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), wanted);
        assert_eq!(manager.host_state().await.unwrap(), "degraded");
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
