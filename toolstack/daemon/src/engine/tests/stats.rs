//! Samples: what is known in which state, and what is said of the rest.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use xenpod_api::state::PodState;

use super::super::pod::Ask;
use super::super::stats::GUEST_WITHIN;
use super::super::stats::sample::Sample;
use super::super::{Failure, PodHandle};
use super::{Lab, Running, done, manifest, until};

async fn sample(r: &Running, pod: &PodHandle) -> Sample {
    r.engine.stats(std::slice::from_ref(pod), true).await.remove(0)
}

async fn answered(pod: &PodHandle, ask: impl FnOnce(oneshot::Sender<Result<(), Failure>>) -> Ask) {
    let (answer, result) = oneshot::channel();
    pod.ask(ask(answer));
    result.await.unwrap().unwrap();
}

#[test]
fn a_running_pod_is_known_from_both_sides() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        let before = crate::clock::now_usec();
        let found = sample(&r, &pod).await;
        assert!(found.time_usec >= before && found.time_usec <= crate::clock::now_usec());
        assert_eq!((found.name.as_str(), found.owner.as_str(), found.state), ("web", "uid:0", "running"));
        assert_eq!(found.id, pod.id.to_string());
        assert_eq!(found.cpu.unwrap().vcpus[0].usage_ns, 1_500_000_000);
        assert_eq!(found.memory.unwrap().domain_bytes, 64 << 20);
        let digest = pod.status().container("main").unwrap().image.as_ref().unwrap().digest.clone();
        let disks: Vec<(String, String)> = found.disks.unwrap().into_iter().map(|d| (d.name, d.holds)).collect();
        assert_eq!(disks, [("xvda".into(), format!("image {digest}")), ("xvdb".into(), "scratch".into())]);
        assert_eq!(found.interfaces.unwrap()[0].sent_bytes, 300);
        assert_eq!(found.guest.unwrap().working_set_bytes, Some(5 << 20));
        let [main] = &found.containers.unwrap()[..] else { panic!("one container") };
        assert_eq!((main.name.as_str(), main.cpu_ns, main.memory_working_set_bytes), ("main", 7_000_000, 3 << 20));
        assert_eq!((main.memory_limit_bytes, main.cpu_throttled_ns), (None, None), "the guest did not say");
        assert!(found.missing.is_empty(), "{:?}", found.missing);
    });
}

#[test]
fn what_cannot_be_known_is_left_out_with_the_reason() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (job, pod) = r.create(manifest("web", "Never", &[("main", "app", "sleep")]), false).await;
        assert_eq!(job.wait().await, done());
        let created = sample(&r, &pod).await;
        assert_eq!((created.cpu.is_some(), created.missing["guest"].as_str()), (true, "the pod is created"));
        r.start(&pod).await;
        answered(&pod, Ask::Pause).await;
        let began = Instant::now();
        let paused = sample(&r, &pod).await;
        assert!(began.elapsed() < GUEST_WITHIN / 2, "a paused guest is not waited for");
        assert_eq!((paused.memory.is_some(), paused.guest, paused.containers), (true, None, None));
        assert_eq!(paused.missing["guest"], "the pod is paused");
        answered(&pod, Ask::Resume).await;
        r.stop(&pod).await;
        until(&pod, PodState::Stopped).await;
        let stopped = sample(&r, &pod).await;
        assert_eq!((stopped.cpu, stopped.disks, stopped.guest), (None, None, None));
        assert_eq!(stopped.missing["domain"], "it has no domain");
        assert_eq!(stopped.missing["guest"], "the pod is stopped");
        assert_eq!(stopped.storage.unwrap().disks_bytes, 8192, "its disk is there");
    });
}

#[test]
fn a_silent_guest_is_not_waited_for_long() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pods = [r.started("web", "sleep").await, r.started("db", "sleep").await];
        lab.fake.mute(true);
        let began = Instant::now();
        let found = r.engine.stats(&pods, true).await;
        assert!(began.elapsed() < GUEST_WITHIN + Duration::from_secs(1), "both are waited for at the same time");
        for sample in found {
            assert_eq!(sample.missing["guest"], "the guest did not answer GetStats within 2 s");
            assert!(sample.cpu.is_some(), "Xen knows all the same");
        }
        lab.fake.mute(false);
        let began = Instant::now();
        let unasked = r.engine.stats(&pods, false).await;
        assert!(began.elapsed() < GUEST_WITHIN / 2);
        assert_eq!(unasked[0].missing["guest"], "it was not asked");
    });
}

#[test]
fn nobody_looks_when_nobody_asks() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        r.stop(&pod).await;
        assert_eq!(lab.fake.measured(), 0);
        sample(&r, &pod).await;
        assert_eq!(lab.fake.measured(), 1);
    });
}

#[test]
fn a_guest_is_asked_by_the_next_daemon_too() {
    let lab = Lab::new();
    lab.run(async |r| drop(r.started("web", "sleep").await));
    lab.run(async |r| {
        let found = sample(&r, &r.engine.find("web").unwrap()).await;
        assert_eq!(found.containers.unwrap()[0].name, "main", "{:?}", found.missing);
    });
}
