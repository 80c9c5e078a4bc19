//! What is served is what the XML says.

use super::*;

#[test]
fn what_is_served_is_what_the_installed_xml_says() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let text = manifest("web").replace("{name: web}", "{name: web, namespace: prod}");
        let (job, pod) = manager.create_pod(&text, start).await.unwrap();
        done(&connection, &job).await;
        let image = manager.get_image("app").await.unwrap();
        let kernel = manager.get_kernel("packaged").await.unwrap();
        let container = format!("{}/container/main_2d1", pod.as_str());
        let objects = [
            ("org.xenpod1.Manager", "/org/xenpod1"),
            ("org.xenpod1.Pod", pod.as_str()),
            ("org.xenpod1.Container", &container),
            ("org.xenpod1.Image", image.as_str()),
            ("org.xenpod1.Kernel", kernel.as_str()),
            ("org.xenpod1.Job", job.as_str()),
        ];
        for (interface, path) in objects {
            let (_, file) = FILES.iter().find(|(n, _)| *n == interface).unwrap();
            let (methods, mut wanted) = described(file);
            let properties =
                PropertiesProxy::builder(&connection).destination("org.xenpod1").path(path).build().await.unwrap();
            let all = properties.get_all(InterfaceName::try_from(interface).unwrap()).await.unwrap();
            if let Some(namespace) = all.get("Namespace") {
                assert_eq!(String::try_from(namespace.clone()).unwrap(), "prod");
            }
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
