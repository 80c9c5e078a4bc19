//! Two users who are not root, and root: each reaches, sees and hears what is his own. What there is to reach comes from the XML.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xenpod_api::proxy::{ContainerProxy, JobProxy, ManagerProxy, PodProxy};
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedVariant, Variant};

use super::introspect::FILES;
use super::tests::{Place, described, done, error, manifest, none, signals_to, with_service};
use super::*;

const A: u32 = 4001;
const B: u32 = 4002;
const UNKNOWN: &str = "org.freedesktop.DBus.Error.UnknownObject";
const DENIED: &str = "org.freedesktop.DBus.Error.AccessDenied";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A connection that passes for a user's.
pub(super) async fn user(place: &Place, uid: u32) -> (Connection, ManagerProxy<'static>) {
    let (connection, manager) = place.client().await;
    let name = connection.unique_name().unwrap().to_string();
    place.running.service.callers.masks.lock().unwrap().insert(name, uid);
    (connection, manager)
}

/// polkit as far as it is asked here: grants all but some actions, and keeps what it was asked.
#[derive(Default)]
pub(super) struct Authority {
    pub(super) refused: Mutex<BTreeSet<&'static str>>,
    pub(super) asked: Mutex<Vec<(String, BTreeMap<String, String>)>>,
}

type Check<'a> = ((String, HashMap<String, OwnedVariant>), String, BTreeMap<String, String>, u32, &'a str);

pub(super) async fn authority(place: &Place) -> Arc<Authority> {
    let authority = Arc::new(Authority::default());
    let connection = place.bus.connect().await;
    connection.request_name("org.freedesktop.PolicyKit1").await.unwrap();
    let (this, mut calls) = (authority.clone(), MessageStream::from(&connection));
    tokio::spawn(async move {
        while let Some(Ok(call)) = calls.next().await {
            if call.message_type() != Type::MethodCall {
                continue;
            }
            let body = call.body();
            let (_, action, details, _, _): Check<'_> = body.deserialize().unwrap();
            let granted = !this.refused.lock().unwrap().contains(action.as_str());
            this.asked.lock().unwrap().push((action, details));
            let answer = (granted, false, BTreeMap::<String, String>::new());
            connection.reply(&call.header(), &(answer,)).await.unwrap();
        }
    });
    authority
}

/// A pod that runs, with its job.
async fn pod_of(connection: &Connection, manager: &ManagerProxy<'_>, name: &str) -> [String; 2] {
    let start = HashMap::from([("start", Variant::from(true))]);
    let (job, pod) = manager.create_pod(&manifest(name), start).await.unwrap();
    done(connection, &job).await;
    [job.to_string(), pod.to_string()]
}

async fn introspect(connection: &Connection, path: &str) -> Result<String, String> {
    let called = connection.call_method(Some("org.xenpod1"), path, Some(INTROSPECTABLE), "Introspect", &()).await;
    called.map(|reply| reply.body().deserialize().unwrap()).map_err(|e| error::<()>(Err(e)).0)
}

/// Every path that introspection leads to.
async fn walk(connection: &Connection) -> BTreeSet<String> {
    let (mut found, mut next) = (BTreeSet::new(), vec!["/".to_string()]);
    while let Some(path) = next.pop() {
        let xml = introspect(connection, &path).await.unwrap();
        for line in xml.lines() {
            if let Some(name) = line.trim().strip_prefix("<node name=\"").and_then(|r| r.strip_suffix("\"/>")) {
                next.push(format!("{}/{name}", path.trim_end_matches('/')));
            }
        }
        found.insert(path);
    }
    found
}

fn interface_of(path: &str) -> &'static str {
    let parts: Vec<&str> = path.split('/').skip(3).collect();
    match parts.as_slice() {
        ["pod", _] => "org.xenpod1.Pod",
        ["pod", _, "container", _] => "org.xenpod1.Container",
        ["pod", _, "container", _, "exec", _] => "org.xenpod1.Exec",
        ["job", _] => "org.xenpod1.Job",
        _ => panic!("say here what {path} is"),
    }
}

/// Tries everything that the XML says of an object. Without arguments a call reaches the object but does nothing.
async fn try_all(connection: &Connection, path: &str, reached: bool) {
    let interface = interface_of(path);
    let file = FILES.iter().find(|(n, _)| *n == interface).unwrap().1;
    let (methods, properties) = described(file);
    let check = |what: &str, result: zbus::Result<Message>| match result {
        Ok(_) => assert!(reached, "{what} of {path} was answered"),
        Err(e) => {
            let name = error::<()>(Err(e)).0;
            assert_eq!(name != UNKNOWN && name != DENIED, reached, "{what} of {path}: {name}");
        }
    };
    for (method, signature) in &methods {
        // One that takes nothing would be carried out.
        if !reached || !signature.is_empty() {
            let called = connection.call_method(Some("org.xenpod1"), path, Some(interface), method.as_str(), &()).await;
            check(method, called);
            check(
                method,
                connection.call_method(Some("org.xenpod1"), path, None::<&str>, method.as_str(), &(42u8,)).await,
            );
        }
    }
    for (property, _) in &properties {
        let body = (interface, property.as_str());
        check(property, connection.call_method(Some("org.xenpod1"), path, Some(PROPERTIES), "Get", &body).await);
        let body = (interface, property.as_str(), Variant::from(1u32));
        check(property, connection.call_method(Some("org.xenpod1"), path, Some(PROPERTIES), "Set", &body).await);
    }
    check("GetAll", connection.call_method(Some("org.xenpod1"), path, Some(PROPERTIES), "GetAll", &(interface,)).await);
    assert_eq!(introspect(connection, path).await.is_ok(), reached, "introspection of {path}");
}

#[test]
fn nobody_reaches_what_is_anothers() {
    with_service(async |place| {
        let _polkit = authority(&place).await;
        let mut people = Vec::new();
        for (uid, name) in [(0, "of-root"), (A, "of-a"), (B, "of-b")] {
            let (connection, manager) = user(&place, uid).await;
            let mut paths = pod_of(&connection, &manager, name).await.to_vec();
            paths.push(format!("{}/container/main_2d1", paths[1]));
            let container = ContainerProxy::builder(&connection).path(paths[2].clone()).build().await.unwrap();
            paths.push(container.exec(&["sleep"], none()).await.unwrap().0.to_string());
            people.push((uid, name, connection, manager, paths));
        }
        for (uid, _, connection, manager, own) in &people {
            let tree = walk(connection).await;
            let listed: Vec<String> =
                manager.list_pods(none()).await.unwrap().into_iter().map(|(_, name, ..)| name).collect();
            let jobs: Vec<String> =
                manager.list_jobs(none()).await.unwrap().into_iter().map(|(path, ..)| path.to_string()).collect();
            let reply = connection
                .call_method(
                    Some("org.xenpod1"),
                    "/org/xenpod1",
                    Some("org.freedesktop.DBus.ObjectManager"),
                    "GetManagedObjects",
                    &(),
                )
                .await
                .unwrap();
            let managed: HashMap<zbus::OwnedObjectPath, HashMap<String, HashMap<String, OwnedVariant>>> =
                reply.body().deserialize().unwrap();
            for (owner, name, _, _, paths) in &people {
                let may = *uid == 0 || uid == owner;
                assert_eq!(listed.iter().any(|n| n == name), may, "{uid} lists {name}");
                assert_eq!(jobs.contains(&paths[0]), may, "{uid} lists the job of {name}");
                for path in paths {
                    assert_eq!(tree.contains(path), may, "{uid} walks to {path}");
                    assert_eq!(managed.keys().any(|p| p.as_str() == path), may, "{uid} is told of {path}");
                    try_all(connection, path, may).await;
                }
                let (_, nothing) = error(manager.get_pod("nothing").await);
                match manager.get_pod(name).await {
                    Ok(path) => assert!(may, "{uid} finds {path}"),
                    // As if it were not there.
                    Err(e) => assert_eq!((error::<()>(Err(e)).1, may), (nothing.replace("nothing", name), false)),
                }
            }
            // The image is that of each one's pod.
            assert!(manager.get_image("app").await.is_ok());
            assert!(own.iter().all(|p| tree.contains(p)));
        }
        // Who has no pods sees no images.
        let (_connection, manager) = user(&place, 4003).await;
        assert_eq!(error(manager.get_image("app").await).0, "org.xenpod1.Error.NoSuchImage");
        assert!(manager.list_images(none()).await.unwrap().is_empty());
    });
}

/// What a connection is sent, whatever it asked for.
fn everything(connection: &Connection) -> Arc<Mutex<Vec<(String, String)>>> {
    let (heard, mut stream) = (Arc::new(Mutex::new(Vec::new())), MessageStream::from(connection));
    let sink = heard.clone();
    tokio::spawn(async move {
        while let Some(Ok(message)) = stream.next().await {
            let header = message.header();
            let ours = header.interface().is_some_and(|i| i.as_str() != "org.freedesktop.DBus");
            if message.message_type() == Type::Signal && ours {
                let member = header.member().unwrap().to_string();
                sink.lock().unwrap().push((header.path().unwrap().to_string(), member));
            }
        }
    });
    heard
}

#[test]
fn each_hears_of_his_own_with_and_without_subscribe() {
    with_service(async |place| {
        let _polkit = authority(&place).await;
        let (a, manager) = user(&place, A).await;
        let mut ears = Vec::new();
        for (uid, subscribes, rules) in
            [(A, true, false), (A, false, true), (A, false, false), (B, true, true), (B, false, true), (0, false, true)]
        {
            let (connection, manager) = user(&place, uid).await;
            let heard = everything(&connection);
            if subscribes {
                manager.subscribe().await.unwrap();
            }
            let stream = if rules { Some(signals_to(&connection).await) } else { None };
            ears.push((uid, subscribes || rules, heard, connection, stream));
        }
        // Asks for one thing, which is all that it gets.
        let (narrow, _) = user(&place, A).await;
        let only = everything(&narrow);
        let rule = zbus::MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.xenpod1")
            .member("PodRemoved")
            .build()
            .unwrap();
        let _stream = MessageStream::for_match_rule(rule, &narrow, None).await.unwrap();

        let [_, path] = pod_of(&a, &manager, "of-a").await;
        let pod = PodProxy::builder(&a).path(path.clone()).cache_properties(CacheProperties::No).build().await.unwrap();
        done(&a, &pod.stop(none()).await.unwrap()).await;
        done(&a, &pod.remove(none()).await.unwrap()).await;
        let count = |heard: &Mutex<Vec<(String, String)>>, member: &str| {
            heard.lock().unwrap().iter().filter(|(_, m)| m == member).count()
        };
        for _ in 0..100 {
            let over = |heard: &Mutex<_>| count(heard, "PodRemoved") == 1 && count(heard, "JobRemoved") == 3;
            let all = ears.iter().all(|(uid, asks, heard, ..)| !asks || *uid == B || over(heard));
            if all && count(&only, "PodRemoved") == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut first = None;
        for (uid, asks, heard, ..) in &ears {
            let heard = heard.lock().unwrap().clone();
            if *asks && *uid != B {
                // All the same, in the same order, and nothing twice.
                assert_eq!(first.get_or_insert_with(|| heard.clone()), &heard);
                assert_eq!(heard.iter().filter(|(p, m)| *p == path && m == "StateChanged").count(), 5, "{heard:?}");
            } else {
                assert_eq!(heard, [], "user {uid}");
            }
        }
        assert_eq!(*only.lock().unwrap(), [("/org/xenpod1".to_string(), "PodRemoved".to_string())]);
    });
}

#[test]
fn polkit_is_told_who_does_what_to_which_pod() {
    with_service(async |place| {
        let polkit = authority(&place).await;
        let (a, manager) = user(&place, A).await;
        let [_, path] = pod_of(&a, &manager, "mine").await;
        let pod = PodProxy::builder(&a).path(path).cache_properties(CacheProperties::No).build().await.unwrap();
        let container = pod.containers().await.unwrap().remove(0);
        let container = ContainerProxy::builder(&a).path(container).build().await.unwrap();
        container.logs(none()).await.unwrap();
        polkit.refused.lock().unwrap().insert("org.xenpod1.manage-pods");
        let (name, text) = error(pod.stop(none()).await);
        assert_eq!(name, DENIED);
        assert!(text.contains("user 4001 may not stop mine") && text.contains("org.xenpod1.manage-pods"), "{text}");
        polkit.refused.lock().unwrap().clear();
        done(&a, &pod.remove(HashMap::from([("force", Variant::from(true))])).await.unwrap()).await;
        let asked = std::mem::take(&mut *polkit.asked.lock().unwrap());
        let asked: Vec<(&str, Vec<(&str, &str)>)> = asked
            .iter()
            .map(|(action, details)| (action.as_str(), details.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()))
            .collect();
        let details = |verb| vec![("owner", "uid:4001"), ("pod", "mine"), ("verb", verb)];
        let wanted = [
            ("org.xenpod1.create-pods", details("create")),
            ("org.xenpod1.enter-pods", details("logs")),
            ("org.xenpod1.manage-pods", details("stop")),
            ("org.xenpod1.manage-pods", details("remove")),
        ];
        assert_eq!(asked, wanted);
        // Arguments are looked at first, and root is not asked about.
        assert_eq!(error(manager.create_pod("kind: Job", none()).await).0, "org.xenpod1.Error.ManifestInvalid");
        let (root, manager) = user(&place, 0).await;
        pod_of(&root, &manager, "roots").await;
        assert!(polkit.asked.lock().unwrap().is_empty());
    });
}

#[test]
fn without_polkit_only_root_may() {
    with_service(async |place| {
        let (_a, manager) = user(&place, A).await;
        let (name, text) = error(manager.create_pod(&manifest("x"), none()).await);
        assert_eq!(name, DENIED);
        assert!(text.contains("polkit cannot be asked"), "{text}");
        assert!(place.engine.list().is_empty());
        let (_root, manager) = user(&place, 0).await;
        let (job, _) = manager.create_pod(&manifest("x"), none()).await.unwrap();
        let job = JobProxy::builder(&_root).path(job).build().await.unwrap();
        assert_eq!(job.wait(none()).await.unwrap().0, "done");
    });
}
