//! Logs, streams and secrets: what travels as descriptors.

use super::*;

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
