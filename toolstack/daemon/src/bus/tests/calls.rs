//! Pods and containers by calls alone, and the errors of calls.

use super::*;

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
