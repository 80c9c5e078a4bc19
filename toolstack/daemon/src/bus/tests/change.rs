//! A pod that changes, seen and asked for on the bus.

use super::*;

#[test]
fn a_pod_gets_another_size_name_and_labels_by_calls() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let start = HashMap::from([("start", Variant::from(true))]);
        let (job, path) = manager.create_pod(&manifest("web"), start).await.unwrap();
        done(&connection, &job).await;
        let no = CacheProperties::No;
        let pod = PodProxy::builder(&connection).path(&path).cache_properties(no).build().await.unwrap();
        let mut heard = signals_to(&place.bus.connect().await).await;
        let mut changes = async |name: &str| loop {
            let message = heard.next().await.unwrap().unwrap();
            let is = message.header().member().is_some_and(|m| m.as_str() == "PropertiesChanged");
            if is && message.header().path().is_some_and(|p| p.as_str() == path.as_str()) {
                let body = message.body();
                let (_, mut changed, _): (String, HashMap<String, zbus::OwnedVariant>, Vec<String>) =
                    body.deserialize().unwrap();
                if let Some(value) = changed.remove(name) {
                    return value;
                }
            }
        };

        let size = HashMap::from([("memory_mib", Variant::from(160u64))]);
        let job = pod.resize(size).await.unwrap();
        done(&connection, &job).await;
        let job =
            JobProxy::builder(&connection).path(&job).cache_properties(CacheProperties::No).build().await.unwrap();
        let reached = HashMap::from([("memory_kib".to_string(), 160 << 10), ("vcpus".to_string(), 1)]);
        assert_eq!(job.reached().await.unwrap(), reached);
        assert_eq!(u64::try_from(changes("MemoryKib").await).unwrap(), 160 << 10);

        pod.set_labels(HashMap::from([("app", "shop")]), &["none"], none()).await.unwrap();
        let labels = HashMap::<String, String>::try_from(changes("Labels").await).unwrap();
        assert_eq!(labels["app"], "shop");
        pod.rename("shop", none()).await.unwrap();
        assert_eq!(String::try_from(changes("Name").await).unwrap(), "shop");
        assert_eq!(manager.get_pod("shop").await.unwrap(), path, "its path stays");

        for (options, text) in [
            (none(), "nothing is to change: give option memory_mib, vcpus, or both"),
            (HashMap::from([("memory_mib", Variant::from(3u64))]), "3 MiB is no size of a domain: 20 to 16777216 MiB"),
            (HashMap::from([("vcpus", Variant::from(0u32))]), "a domain has 1 to 128 vCPUs, not 0"),
            (HashMap::from([("memory", Variant::from(64u64))]), "there is no option memory"),
        ] {
            let wrong = error(pod.resize(options).await);
            assert_eq!((wrong.0.as_str(), wrong.1.as_str()), ("org.freedesktop.DBus.Error.InvalidArgs", text));
        }
        let wrong = error(pod.rename("Shop", none()).await);
        assert_eq!(wrong.0, "org.freedesktop.DBus.Error.InvalidArgs");
        let wrong = error(pod.set_labels(HashMap::from([("a", "b")]), &["a"], none()).await);
        assert_eq!(wrong.1, "a cannot be both set and removed");

        let container = pod.containers().await.unwrap().remove(0);
        let container = ContainerProxy::builder(&connection).path(container).build().await.unwrap();
        container.update(HashMap::from([("memory_limit", Variant::from(32u64 << 20))])).await.unwrap();
        let wrong = error(container.update(none()).await);
        assert!(wrong.1.starts_with("nothing is to change"), "{wrong:?}");
        let tight = HashMap::from([("memory_limit", Variant::from(1u64 << 20))]);
        assert_eq!(error(container.update(tight).await).0, "org.xenpod1.Error.MemoryInUse");
    });
}
