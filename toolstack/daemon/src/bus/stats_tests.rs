//! Samples on the bus.

use std::io::{BufRead, BufReader, Read};

use xenpod_api::proxy::{ManagerProxy, PodProxy};
use zbus::fdo::PropertiesProxy;
use zbus::names::InterfaceName;
use zbus::proxy::CacheProperties;
use zbus::{Connection, OwnedObjectPath, OwnedVariant};

use super::tests::{Place, done, error, manifest, none, with_service};
use super::*;

async fn pod(connection: &Connection, manager: &ManagerProxy<'_>, name: &str) -> (OwnedObjectPath, PodProxy<'static>) {
    let start = HashMap::from([("start", zbus::Variant::from(true))]);
    let (job, path) = manager.create_pod(&manifest(name), start).await.unwrap();
    done(connection, &job).await;
    let proxy = PodProxy::builder(connection).path(path.clone()).cache_properties(CacheProperties::No);
    (path, proxy.build().await.unwrap())
}

type Dict = HashMap<String, OwnedVariant>;

fn dict(value: &OwnedVariant) -> Dict {
    Dict::try_from(value.try_clone().unwrap()).unwrap()
}

fn number(dict: &Dict, key: &str) -> u64 {
    assert_eq!(dict[key].value_signature().to_string(), "t", "{key}");
    u64::try_from(dict[key].try_clone().unwrap()).unwrap()
}

#[test]
fn a_sample_is_typed_all_through() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let (path, web) = pod(&connection, &manager, "web").await;
        let sample = web.get_stats(none()).await.unwrap();
        assert_eq!(number(&dict(&sample["cpu"]), "usage_ns"), 1_500_000_000);
        assert_eq!(number(&dict(&sample["memory"]), "domain_bytes"), 64 << 20);
        assert!(number(&sample, "time_usec") > number(&sample, "monotonic_usec"));
        for list in ["containers", "disks", "interfaces"] {
            assert_eq!(sample[list].value_signature().to_string(), "aa{sv}", "{list}");
        }
        let containers = Vec::<Dict>::try_from(sample["containers"].try_clone().unwrap()).unwrap();
        assert_eq!(number(&containers[0], "memory_working_set_bytes"), 3 << 20);
        assert!(!containers[0].contains_key("memory_limit_bytes"));
        assert!(dict(&sample["missing"]).is_empty());
        let unasked = web.get_stats(HashMap::from([("guest", false.into())])).await.unwrap();
        assert!(!unasked.contains_key("containers"));
        assert_eq!(dict(&unasked["missing"])["guest"], OwnedVariant::from(zbus::Str::from("it was not asked")));
        let (name, _) = error(web.get_stats(HashMap::from([("colour", 1u32.into())])).await);
        assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");

        let properties = PropertiesProxy::builder(&connection).destination("org.xenpod1");
        let properties = properties.path(path).build().await.unwrap();
        let interface = InterfaceName::from_static_str_unchecked("org.xenpod1.Pod");
        let property = properties.get(interface.clone(), "Stats").await.unwrap();
        assert_eq!(number(&dict(&dict(&property)["cpu"]), "online"), 1);
        assert!(dict(&properties.get_all(interface).await.unwrap()["Stats"]).contains_key("disks"));
    });
}

#[test]
fn all_pods_at_once_or_those_that_are_named() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        pod(&connection, &manager, "one").await;
        pod(&connection, &manager, "two").await;
        let names = |samples: Vec<Dict>| -> Vec<String> {
            samples.iter().map(|s| String::try_from(s["name"].try_clone().unwrap()).unwrap()).collect()
        };
        assert_eq!(names(manager.get_stats(none()).await.unwrap()), ["one", "two"]);
        let named = HashMap::from([("pods", vec!["two", "one"].into())]);
        assert_eq!(names(manager.get_stats(named).await.unwrap()), ["two", "one"]);
        let missing = HashMap::from([("pods", vec!["two", "three"].into())]);
        assert_eq!(error(manager.get_stats(missing).await).0, "org.xenpod1.Error.NoSuchPod");
    });
}

async fn stream(pod: &PodProxy<'_>, interval_ms: u32) -> std::fs::File {
    let options = HashMap::from([("interval_ms", interval_ms.into()), ("guest", false.into())]);
    std::fs::File::from(std::os::fd::OwnedFd::from(pod.stream_stats(options).await.unwrap()))
}

/// The next line.
async fn line(mut reader: BufReader<std::fs::File>) -> (serde_json::Value, BufReader<std::fs::File>) {
    let read = move || {
        let mut text = String::new();
        reader.read_line(&mut text).unwrap();
        (serde_json::from_str(&text).unwrap_or_default(), reader)
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

fn streams(place: &Place) -> usize {
    place.running.service.streams.count()
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..200 {
        if condition() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it does not come to be so");
}

#[test]
fn a_stream_has_its_pace_and_ends_with_the_pod() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let (_, web) = pod(&connection, &manager, "web").await;
        let mut reader = BufReader::new(stream(&web, 100).await);
        let mut at = Vec::new();
        for _ in 0..4 {
            let (sample, back) = line(reader).await;
            reader = back;
            assert_eq!(
                (sample["name"].as_str(), sample["cpu"]["usage_ns"].as_u64()),
                (Some("web"), Some(1_500_000_000))
            );
            at.push(sample["monotonic_usec"].as_u64().unwrap());
        }
        // The first may be late.
        assert!((190_000..5_000_000).contains(&(at[3] - at[0])), "{at:?}");
        let job = web.stop(HashMap::from([("grace_seconds", 1u32.into())])).await.unwrap();
        done(&connection, &job).await;
        let rest = tokio::task::spawn_blocking(move || {
            let mut rest = String::new();
            reader.read_to_string(&mut rest).unwrap();
            rest
        });
        let rest = rest.await.unwrap();
        let last: serde_json::Value = serde_json::from_str(rest.lines().last().unwrap()).unwrap();
        assert_eq!(last["state"], "stopped");
        until(|| streams(&place) == 0).await;
        // Of a pod that does not run there is one.
        let mut all = String::new();
        let file = stream(&web, 100).await;
        let read = tokio::task::spawn_blocking(move || {
            BufReader::new(file).read_to_string(&mut all).unwrap();
            all
        });
        assert_eq!(read.await.unwrap().lines().count(), 1);
    });
}

#[test]
fn a_reader_that_does_not_read_costs_nothing_and_one_that_leaves_is_forgotten() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let (_, web) = pod(&connection, &manager, "web").await;
        let file = stream(&web, 100).await;
        rustix::pipe::fcntl_setpipe_size(&file, 4096).unwrap();
        // More than the pipe holds; the service goes on answering.
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        assert_eq!(manager.list_pods(none()).await.unwrap().len(), 1);
        let (mut reader, mut missed) = (BufReader::new(file), 0);
        for _ in 0..12 {
            let (sample, back) = line(reader).await;
            reader = back;
            missed += sample["missed"].as_u64().unwrap();
        }
        assert!(missed >= 3, "{missed} were left out");
        assert_eq!(streams(&place), 1);
        drop(reader);
        until(|| streams(&place) == 0).await;
    });
}

#[test]
fn paces_are_bounded() {
    with_service(async |place| {
        let (connection, manager) = place.client().await;
        let (_, web) = pod(&connection, &manager, "web").await;
        for interval in [0u32, 99, 3_600_001] {
            let (name, text) = error(web.stream_stats(HashMap::from([("interval_ms", interval.into())])).await);
            assert_eq!(name, "org.freedesktop.DBus.Error.InvalidArgs");
            assert_eq!(text, "option interval_ms: it must be 100 to 3600000");
        }
        assert_eq!(streams(&place), 0);
    });
}

#[test]
fn streams_are_counted_by_user() {
    let streams = stats::Streams::default();
    let held: Vec<_> = (0..stats::MAX_STREAMS_PER_USER).map(|_| streams.begin(1000).ok().unwrap()).collect();
    assert_eq!(streams.begin(1000).err().unwrap().name, "org.freedesktop.DBus.Error.LimitsExceeded");
    let _another = streams.begin(1001).ok().unwrap();
    drop(held);
    assert_eq!(streams.count(), 1);
}
