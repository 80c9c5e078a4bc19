//! Init containers, sidecars, probes and hooks.

use std::time::Duration;

use xenpod_api::error::ErrorName;
use xenpod_api::state::{ContainerState, JobResult, PodState};

use super::super::contents::Contents;
use super::containers::container;
use super::{Lab, done, until};

/// A pod of `inits` and `containers`: each a name, a command, and further fields.
fn pod(policy: &str, inits: &[(&str, &str, &str)], containers: &[(&str, &str, &str)]) -> String {
    let list = |all: &[(&str, &str, &str)]| -> String {
        let line = |(name, command, more): &(&str, &str, &str)| {
            let words: Vec<_> = command.split(' ').map(|w| format!("\"{w}\"")).collect();
            format!(
                "  - {{name: {name}, image: app, command: [{}]{}{more}}}\n",
                words.join(", "),
                if more.is_empty() { "" } else { ", " }
            )
        };
        all.iter().map(line).collect()
    };
    let inits = if inits.is_empty() { String::new() } else { format!("  initContainers:\n{}", list(inits)) };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n  restartPolicy: {policy}\n  terminationGracePeriodSeconds: \
         2\n{inits}  containers:\n{}",
        list(containers)
    )
}

/// Waits until what was run in containers is as wanted.
async fn commanded(lab: &Lab, wanted: impl Fn(&[String]) -> bool) {
    while !wanted(&lab.fake.commands()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const SIDE: &str = "restartPolicy: Always";

#[test]
fn init_containers_run_to_their_end_in_order_and_sidecars_stay() {
    let lab = Lab::new();
    lab.run(async |r| {
        let inits = [("one", "print a", ""), ("side", "sleep", SIDE), ("two", "exit 0", "")];
        let (job, pod) =
            r.create(self::pod("Never", &inits, &[("main", "sleep", ""), ("more", "sleep", "")]), true).await;
        assert_eq!(job.wait().await, done());
        assert_eq!(pod.status().state(), PodState::Running);
        let state = |name: &str| container(&pod, name).state;
        assert_eq!((state("one"), state("two")), (ContainerState::Exited, ContainerState::Exited));
        assert_eq!(
            (state("side"), state("main"), state("more")),
            (ContainerState::Running, ContainerState::Running, ContainerState::Running)
        );
        assert!(pod.status().ready());
        // A sidecar comes back whatever the policy says.
        r.kill_one(&pod, "side", 11).await.unwrap();
        pod.watch().wait_for(|s| s.container("side").unwrap().restarts == 1).await.unwrap();
        assert_eq!(r.start_one(&pod, "one").await.error_name, ErrorName::BadState.as_str());
        // When the last of the others has ended, the pod is over: the sidecar ends after them and does not count.
        r.kill_one(&pod, "main", 9).await.unwrap();
        r.kill_one(&pod, "more", 9).await.unwrap();
        until(&pod, PodState::Stopped).await;
        assert_eq!(lab.fake.commands().last().unwrap(), "side signal 15");
        assert_eq!((pod.status().exit_code(), container(&pod, "side").exit_code), (137, 143));
        assert_eq!(r.start(&pod).await, done(), "and all of it again");
        assert_eq!(r.remove(&pod, true).await, done());
    });
    assert_eq!(lab.fake.inventory(), Vec::<String>::new());
}

#[test]
fn an_init_container_that_fails_is_run_again_or_fails_the_pod() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (job, pod) =
            r.create(self::pod("Never", &[("prepare", "exit 3", "")], &[("main", "sleep", "")]), true).await;
        let outcome = job.wait().await;
        assert_eq!(outcome.error_name, ErrorName::InitFailed.as_str());
        assert!(outcome.message.starts_with("pod web: init container prepare ended with 3; "), "{}", outcome.message);
        assert_eq!(until(&pod, PodState::Failed).await.0, "InitFailed");
        assert_eq!(container(&pod, "main").state, ContainerState::Created);
        assert_eq!(r.remove(&pod, false).await, done());
    });
    let lab = Lab::new();
    lab.run(async |r| {
        let text = self::pod("Always", &[("prepare", "exit 3", "")], &[("main", "sleep", "")]);
        let (job, pod) = r.create(text, true).await;
        pod.watch().wait_for(|s| s.container("prepare").unwrap().restarts >= 2).await.unwrap();
        assert_eq!(
            (pod.status().state(), container(&pod, "main").state),
            (PodState::Starting, ContainerState::Created)
        );
        // It can be given up.
        job.cancel().unwrap();
        assert_eq!(job.wait().await.result, JobResult::Cancelled);
        assert_eq!(until(&pod, PodState::Failed).await.0, "Cancelled");
    });
}

#[test]
fn a_start_that_waits_can_be_stopped_and_outlives_the_daemon() {
    let lab = Lab::new();
    let id = lab.run(async |r| {
        let inits = [("wait", "sleep", ""), ("then", "exit 0", "")];
        let (_, pod) = r.create(self::pod("Never", &inits, &[("main", "sleep", "")]), true).await;
        pod.watch().wait_for(|s| s.container("wait").unwrap().state == ContainerState::Running).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        pod.id
    });
    lab.run(async |r| {
        let pod = r.engine.pod(id).unwrap();
        assert_eq!(pod.status().state(), PodState::Starting);
        // Ended by request is not ended well.
        assert_eq!(r.stop_one(&pod, "wait", 5).await, done());
        assert_eq!(until(&pod, PodState::Failed).await.0, "InitFailed");
        let job = r
            .engine
            .ask(&pod, 0, super::JobKind::Start, |job| super::Ask::Start { contents: Contents::default(), job })
            .unwrap();
        pod.watch().wait_for(|s| s.container("wait").unwrap().state == ContainerState::Running).await.unwrap();
        assert_eq!(r.stop(&pod).await, done());
        assert_eq!(job.wait().await.result, JobResult::Cancelled);
        assert_eq!(pod.status().state(), PodState::Stopped);
    });
}

const FAST: &str = "periodSeconds: 1, failureThreshold: 1";

#[test]
fn a_liveness_probe_that_fails_ends_the_container_which_is_started_again() {
    let lab = Lab::new();
    lab.run(async |r| {
        let probe = format!("livenessProbe: {{exec: {{command: [health]}}, {FAST}}}");
        let (job, pod) = r.create(self::pod("OnFailure", &[], &[("main", "sleep", &probe)]), true).await;
        assert_eq!(job.wait().await, done());
        commanded(&lab, |all| all.iter().filter(|c| *c == "main health").count() >= 2).await;
        assert_eq!(container(&pod, "main").restarts, 0);
        lab.fake.set_health(1);
        pod.watch().wait_for(|s| s.container("main").unwrap().restarts == 1).await.unwrap();
        assert!(lab.fake.commands().contains(&"main signal 15".to_string()));
        lab.fake.set_health(0);
    });
    let lab = Lab::new();
    lab.run(async |r| {
        let probe = format!("livenessProbe: {{exec: {{command: [hang]}}, terminationGracePeriodSeconds: 1, {FAST}}}");
        let (_, pod) = r.create(self::pod("Never", &[], &[("main", "stubborn", &probe)]), true).await;
        until(&pod, PodState::Stopped).await;
        let main = container(&pod, "main");
        assert_eq!(main.exit_code, 137);
        assert_eq!(main.message, "its liveness probe failed: \"hang\" took longer than 1 s");
    });
}

#[test]
fn a_readiness_probe_says_ready_and_ends_nothing() {
    let lab = Lab::new();
    lab.fake.set_health(1);
    lab.run(async |r| {
        let probe = format!("readinessProbe: {{exec: {{command: [health]}}, {FAST}}}");
        let (job, pod) = r.create(self::pod("Never", &[], &[("main", "sleep", &probe)]), true).await;
        assert_eq!(job.wait().await, done());
        let mut watch = pod.watch();
        assert!(!watch.wait_for(|s| s.state() == PodState::Running).await.unwrap().ready());
        lab.fake.set_health(0);
        watch.wait_for(|s| s.ready()).await.unwrap();
        lab.fake.set_health(4);
        watch.wait_for(|s| !s.ready()).await.unwrap();
        let main = container(&pod, "main");
        assert_eq!((main.state, main.restarts), (ContainerState::Running, 0));
        assert_eq!(main.message, "its readiness probe failed: \"health\" ended with 4");
    });
    // The next daemon goes on with it.
    lab.fake.set_health(0);
    lab.run(async |r| {
        let pod = r.engine.find("web").unwrap();
        pod.watch().wait_for(|s| s.ready()).await.unwrap();
    });
}

#[test]
fn the_other_probes_wait_for_the_startup_probe() {
    let lab = Lab::new();
    lab.fake.set_health(1);
    lab.run(async |r| {
        let probes = "startupProbe: {exec: {command: [health]}, periodSeconds: 1}, livenessProbe: {exec: {command: [exit, \"0\"]}}";
        let (job, pod) = r.create(self::pod("Never", &[], &[("main", "sleep", probes)]), true).await;
        assert_eq!(job.wait().await, done());
        commanded(&lab, |all| !all.is_empty()).await;
        assert!(lab.fake.commands().iter().all(|c| c == "main health"));
        assert!(!pod.status().ready());
        lab.fake.set_health(0);
        pod.watch().wait_for(|s| s.ready()).await.unwrap();
        commanded(&lab, |all| all.last().is_some_and(|c| c == "main exit 0")).await;
        // A paused pod is not looked at.
        let (answer, paused) = tokio::sync::oneshot::channel();
        pod.ask(super::Ask::Pause(answer));
        paused.await.unwrap().unwrap();
        assert!(!pod.status().ready());
    });
}

#[test]
fn hooks_come_after_the_start_and_before_the_end() {
    let lab = Lab::new();
    lab.run(async |r| {
        let hooks = "lifecycle: {postStart: {exec: {command: [exit, \"0\"]}}, preStop: {exec: {command: [health]}}}";
        let (job, pod) =
            r.create(self::pod("Never", &[], &[("main", "sleep", hooks), ("next", "sleep", "")]), true).await;
        assert_eq!(job.wait().await, done());
        assert_eq!(lab.fake.commands(), ["main exit 0"]);
        assert_eq!(r.stop_one(&pod, "main", 5).await, done());
        assert_eq!(lab.fake.commands()[1..], ["main health", "main signal 15"]);
        assert_eq!(r.start_one(&pod, "main").await, done());
        assert_eq!(r.stop(&pod).await, done());
        let commands = lab.fake.commands();
        let at = |what: &str| commands.iter().rposition(|c| c == what);
        assert!(at("main health") < at("main signal 15") && at("main exit 0") < at("main health"), "{commands:?}");
    });
    let lab = Lab::new();
    lab.run(async |r| {
        let hooks = "lifecycle: {postStart: {exec: {command: [exit, \"6\"]}}}";
        let (_, pod) = r.create(self::pod("Never", &[], &[("main", "sleep", hooks)]), true).await;
        until(&pod, PodState::Stopped).await;
        assert_eq!(container(&pod, "main").message, "its postStart hook failed: \"exit 6\" ended with 6");
    });
    // A hook that does not end takes the grace and no more.
    let lab = Lab::new();
    lab.run(async |r| {
        let hooks = "lifecycle: {preStop: {exec: {command: [hang]}}}";
        let (job, pod) = r.create(self::pod("Never", &[], &[("main", "sleep", hooks)]), true).await;
        assert_eq!(job.wait().await, done());
        let began = std::time::Instant::now();
        assert_eq!(r.stop_one(&pod, "main", 1).await, done());
        assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
        assert_eq!(container(&pod, "main").exit_code, 143, "it was asked all the same");
    });
}
