use std::collections::BTreeMap;
use std::path::PathBuf;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::engine::CreateRequest;
use crate::engine::contents::Contents;
use crate::engine::fake::Fake;

/// An engine on the fake world with a running pod, and a folder.
fn with_pod(work: impl AsyncFnOnce(Arc<Engine>, Fake, PathBuf)) {
    let guests = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let fake = Fake::new(guests.handle().clone());
    fake.add_image("app", &["sleep"]);
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (engine, _changes) = Engine::new(fake.world(dir.path()));
        engine.reconcile().await.unwrap();
        let manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  \
            - {name: main, image: app, command: [sleep]}\n";
        let spec = xenpod_api::manifest::parse(manifest).unwrap();
        let (manifest, contents) = (manifest.to_owned(), Contents::default());
        let request = CreateRequest { manifest, spec, owner_uid: 0, start: true, contents };
        let (job, _) = engine.create(request).await.unwrap();
        job.wait().await;
        let work = work(engine, fake.clone(), dir.path().to_owned());
        tokio::time::timeout(Duration::from_secs(30), work).await.expect("the test hangs");
    });
    runtime.shutdown_background();
}

/// Sends bytes, and returns what comes until the end.
async fn send(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    // Who is refused is not listened to any more: the connection is reset after the answer.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn at(path: PathBuf) -> MetricsConfig {
    MetricsConfig { socket: Some(path), group: None }
}

#[test]
fn every_family_is_described_and_every_sample_is_one_of_it() {
    with_pod(async |engine, _, _| {
        let text = families::text(&engine).await.unwrap();
        let (mut kinds, mut units) = (BTreeMap::new(), BTreeMap::new());
        let mut current = String::new();
        let mut seen = 0;
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "EOF"] => current = "EOF".into(),
                ["#", "HELP", name, _] => current = name.into(),
                ["#", "TYPE", name, kind] => {
                    assert_eq!(name, current);
                    assert!(kinds.insert(name, kind).is_none(), "{name} twice");
                }
                ["#", "UNIT", name, unit] => {
                    assert!(name == current && name.ends_with(&format!("_{unit}")), "{line}");
                    units.insert(name, unit);
                }
                _ => {
                    let name = line.split(['{', ' ']).next().unwrap();
                    let total = if kinds[current.as_str()] == "counter" { "_total" } else { "" };
                    assert_eq!(name, format!("{current}{total}"));
                    line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap();
                    seen += 1;
                }
            }
        }
        assert!(text.ends_with("\n# EOF\n") && seen > 30, "{text}");
        assert_eq!(kinds["xenpod_pod_cpu_seconds"], "counter");
        assert_eq!(units["xenpod_pod_memory_bytes"], "bytes");
        let id = engine.find("web").unwrap().id;
        for line in [
            format!("xenpod_pod_cpu_seconds_total{{pod=\"web\",id=\"{id}\",vcpu=\"0\"}} 1.5"),
            format!("xenpod_pod_memory_bytes{{pod=\"web\",id=\"{id}\"}} 67108864"),
            format!("xenpod_container_cpu_seconds_total{{pod=\"web\",id=\"{id}\",container=\"main\"}} 0.007"),
            format!("xenpod_pod_network_sent_bytes_total{{pod=\"web\",id=\"{id}\",interface=\"eth0\"}} 300"),
            format!("xenpod_pod_disk_read_bytes_total{{pod=\"web\",id=\"{id}\",disk=\"xvdb\"}} 4096"),
            format!("xenpod_pod_state{{pod=\"web\",id=\"{id}\",owner=\"uid:0\",state=\"running\"}} 1"),
            "xenpod_pods{state=\"running\"} 1".into(),
            "xenpod_pods{state=\"failed\"} 0".into(),
            "xenpod_jobs 0".into(),
        ] {
            assert!(text.lines().any(|l| l == line), "{text}\n{line} is not in it");
        }
        // What nobody knows is not 0.
        assert!(!text.contains("xenpod_container_memory_limit_bytes{"), "{text}");
    });
}

#[test]
fn what_is_asked_for_is_served_and_nothing_else() {
    with_pod(async |engine, fake, dir| {
        let path = dir.join("metrics.sock");
        let _metrics = serve(engine, &at(path.clone())).unwrap().unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "root's alone");
        assert_eq!(fake.measured(), 0, "nobody has asked");
        let answer = send(&path, GET).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.to_lowercase().contains(&format!("content-type: {TEXT}")), "{head}");
        assert!(body.ends_with("# EOF\n"), "{body}");
        assert_eq!(fake.measured(), 1);
        let head = send(&path, &GET.replace("GET", "HEAD")).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        for (request, status) in [
            (GET.replace("/metrics", "/"), "404 Not Found"),
            (GET.replace("/metrics", "/metrics/x"), "404 Not Found"),
            (GET.replace("GET", "POST"), "405 Method Not Allowed"),
            ("GARBAGE\r\n\r\n".into(), "400 Bad Request"),
            (GET.replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(2 * HEAD))), "431 "),
        ] {
            let answer = send(&path, &request).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request:.80}: {answer}");
        }
        // Those who connect and say nothing keep nobody out for good.
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        let began = std::time::Instant::now();
        assert!(send(&path, GET).await.starts_with("HTTP/1.1 200"));
        assert!(began.elapsed() < DEADLINE + Duration::from_secs(5));
    });
}

#[test]
fn the_socket_is_made_anew_and_goes_with_the_daemon() {
    with_pod(async |engine, _, dir| {
        let path = dir.join("metrics.sock");
        // Of a daemon that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let metrics = serve(engine.clone(), &at(path.clone())).unwrap();
        assert!(send(&path, GET).await.starts_with("HTTP/1.1 200"));
        drop(metrics);
        assert!(!path.exists());
        std::fs::write(&path, "somebody's").unwrap();
        let error = serve(engine.clone(), &at(path.clone())).err().unwrap().to_string();
        assert!(error.ends_with("is there and is no socket; remove it, or name another"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's");
        let none = MetricsConfig { socket: None, group: None };
        assert!(serve(engine.clone(), &none).unwrap().is_none());
        let unknown = MetricsConfig { group: Some("no-such-group".into()), ..at(dir.join("other.sock")) };
        let error = serve(engine, &unknown).err().unwrap().to_string();
        assert_eq!(error, "metrics: group no-such-group is not in /etc/group; make it, or name another");
    });
}

#[test]
fn a_group_is_found_by_name_or_number() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("group");
    std::fs::write(&file, "root:x:0:\nmetrics:x:997:prometheus,x\nmetricsx:x:5:\n").unwrap();
    assert_eq!((gid("metrics", &file).unwrap(), gid("12", &file).unwrap()), (997, 12));
    assert!(gid("metric", &file).is_err());
}
