//! Kernels on the bus: what root may do with them, and what others may.

use xenpod_api::proxy::{JobProxy, KernelProxy, ManagerProxy, Options};
use zbus::proxy::CacheProperties;
use zbus::{Connection, Fd, OwnedObjectPath, Variant};

use super::owners_tests::{authority, user};
use super::tests::{Place, done, error, manifest, none, signals_to, with_service};
use super::*;
use crate::kernels::testing::{config, fd, kernel};

const A: u32 = 4001;
const B: u32 = 4002;

fn options(config: &str) -> Options<'static> {
    HashMap::from([("config", Variant::Fd(Fd::from(fd(config))))])
}

async fn import(
    (connection, manager): &(Connection, ManagerProxy<'static>),
    name: &str,
    options: Options<'_>,
) -> (String, String, String) {
    let job = manager.import_kernel(fd(kernel("6.1.5", name)).into(), name, options).await.unwrap();
    let job = JobProxy::builder(connection).path(job).cache_properties(CacheProperties::No).build().await.unwrap();
    job.wait(none()).await.unwrap()
}

async fn at(connection: &Connection, path: OwnedObjectPath) -> KernelProxy<'static> {
    KernelProxy::builder(connection).path(path).cache_properties(CacheProperties::No).build().await.unwrap()
}

/// The property of a kernel that depends on who looks.
async fn used_by(connection: &Connection, path: &OwnedObjectPath) -> Vec<String> {
    let body = ("org.xenpod1.Kernel", "UsedBy");
    let interface = Some("org.freedesktop.DBus.Properties");
    let reply = connection.call_method(Some("org.xenpod1"), path, interface, "Get", &body).await.unwrap();
    let value: zbus::OwnedVariant = reply.body().deserialize().unwrap();
    value.try_into().unwrap()
}

fn on(name: &str, kernel: &str) -> String {
    manifest(name).replacen("{name: ", &format!("{{annotations: {{xenpod.org/kernel: '{kernel}'}}, name: "), 1)
}

#[test]
fn a_kernels_life_by_calls_alone() {
    with_service(async |place: Place| {
        let root = user(&place, 0).await;
        let mut signals = signals_to(&root.0).await;
        let manager = &root.1;
        assert_eq!(manager.default_kernel().await.unwrap(), "packaged");
        assert_eq!(import(&root, "mine", options(&config("6.1.5", &[]))).await.0, "done");
        let path = manager.get_kernel("mine").await.unwrap();
        let mine = at(&root.0, path.clone()).await;
        let digest = mine.digest().await.unwrap();
        assert_eq!(path.as_str(), xenpod_api::ids::kernel_path(&digest));
        assert_eq!(manager.get_kernel(&digest).await.unwrap(), path);
        let listed = manager.list_kernels(none()).await.unwrap();
        let listed: Vec<_> =
            listed.iter().map(|(_, name, version, _, default, _)| (&**name, &**version, *default)).collect();
        assert_eq!(listed, [("mine", "6.1.5", false), ("packaged", "6.1.5-test", true)]);
        mine.set_default(none()).await.unwrap();
        assert_eq!(manager.default_kernel().await.unwrap(), "mine");
        assert_eq!(manager.kernel_digest().await.unwrap(), digest);
        let (name, text) = error(mine.remove(none()).await);
        assert_eq!(name, "org.xenpod1.Error.KernelInUse", "{text}");
        let packaged = at(&root.0, manager.get_kernel("packaged").await.unwrap()).await;
        packaged.set_default(none()).await.unwrap();
        mine.remove(none()).await.unwrap();
        assert_eq!(error(mine.remove(none()).await).0, "org.freedesktop.DBus.Error.UnknownObject");
        assert_eq!(error(manager.get_kernel("mine").await).0, "org.xenpod1.Error.NoSuchKernel");

        let mut heard = Vec::new();
        while !heard.iter().any(|(_, member): &(String, String)| member == "KernelRemoved") {
            let message = signals.next().await.unwrap().unwrap();
            let header = message.header();
            let (path, member) = (header.path().unwrap().to_string(), header.member().unwrap().to_string());
            heard.push((path, member));
        }
        let count = |path: &str, member: &str| heard.iter().filter(|(p, m)| p == path && m == member).count();
        assert_eq!(
            (count("/org/xenpod1", "KernelNew"), count(path.as_str(), "PropertiesChanged")),
            (1, 2),
            "{heard:?}"
        );
        assert_eq!(count("/org/xenpod1", "PropertiesChanged"), 2, "DefaultKernel, there and back: {heard:?}");
        let filter = crate::events::Filter::default();
        let events: Vec<String> = place.events.list(&filter, |_| true).events.iter().map(|e| e.kind.clone()).collect();
        assert_eq!(events, ["kernel-added", "job-ended", "kernel-default", "kernel-default", "kernel-removed"]);
    });
}

#[test]
fn what_is_wrong_with_an_import_has_a_name() {
    with_service(async |place: Place| {
        let root = user(&place, 0).await;
        let (result, name, text) = import(&root, "bare", none()).await;
        assert_eq!((result.as_str(), name.as_str()), ("failed", "org.xenpod1.Error.KernelInvalid"), "{text}");
        let unchecked = HashMap::from([("unchecked", Variant::from(true)), ("default", Variant::from(true))]);
        assert_eq!(import(&root, "bare", unchecked).await.0, "done");
        assert_eq!(root.1.default_kernel().await.unwrap(), "bare");
        let with = |key: &'static str, value: Variant<'static>| {
            root.1.import_kernel(fd("x").into(), "x", HashMap::from([(key, value)]))
        };
        for (key, value, want) in [
            ("config", Variant::from("text"), "option config must be of type h"),
            ("unchecked", Variant::from("yes"), "option unchecked must be of type b"),
            ("colour", Variant::from("red"), "there is no option colour"),
        ] {
            let (name, text) = error(with(key, value).await);
            assert_eq!((name.as_str(), text.as_str()), ("org.freedesktop.DBus.Error.InvalidArgs", want));
        }
        let (name, text) = error(root.1.import_kernel(fd("x").into(), "packaged", none()).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs", "{text}");
    });
}

#[test]
fn users_see_all_kernels_choose_them_and_do_not_bring_them() {
    with_service(async |place: Place| {
        let polkit = authority(&place).await;
        let (root, a, b) = (user(&place, 0).await, user(&place, A).await, user(&place, B).await);
        assert_eq!(import(&root, "mine", options(&config("6.1.5", &[]))).await.0, "done");
        let path = root.1.get_kernel("mine").await.unwrap();
        assert_eq!(a.1.get_kernel("mine").await.unwrap(), path);
        assert_eq!(a.1.list_kernels(none()).await.unwrap().len(), 2);
        let (job, _) = a.1.create_pod(&on("of-a", "mine"), none()).await.unwrap();
        done(&a.0, &job).await;
        assert_eq!(used_by(&a.0, &path).await, ["of-a"]);
        assert_eq!(used_by(&root.0, &path).await, ["of-a"]);
        assert!(used_by(&b.0, &path).await.is_empty());

        polkit.refused.lock().unwrap().extend(["org.xenpod1.manage-kernels", "org.xenpod1.choose-kernels"]);
        polkit.asked.lock().unwrap().clear();
        let mine = at(&a.0, path).await;
        for (verb, refused) in [
            ("remove", mine.remove(none()).await.map(drop)),
            ("set-default", mine.set_default(none()).await.map(drop)),
            ("import", a.1.import_kernel(fd("x").into(), "mine", none()).await.map(drop)),
        ] {
            let (name, text) = error(refused);
            assert_eq!(name, "org.freedesktop.DBus.Error.AccessDenied");
            assert!(
                text.contains(&format!("user {A} may not {verb} mine")) && text.contains("manage-kernels"),
                "{text}"
            );
        }
        // By its digest it is the same kernel.
        let digest = mine.digest().await.unwrap();
        let (name, text) = error(b.1.create_pod(&on("of-b", &digest), none()).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.AccessDenied");
        assert!(text.contains(&format!("user {B} may not choose mine")) && text.contains("choose-kernels"), "{text}");
        let asked = polkit.asked.lock().unwrap().clone();
        let (action, details) = asked.last().unwrap();
        assert_eq!((action.as_str(), details["kernel"].as_str()), ("org.xenpod1.choose-kernels", "mine"));
        // Who names none is not asked.
        let (job, _) = b.1.create_pod(&manifest("of-b"), none()).await.unwrap();
        done(&b.0, &job).await;
    });
}
