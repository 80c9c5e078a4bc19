//! Every step of a pod's life fails once, and the daemon dies before and after each: nothing is lost, nothing left over.

use xenpod_api::state::{JobResult, PodState};

use super::super::fake::Fault;
use super::{Lab, Running, manifest};

fn pod() -> String {
    manifest("web", "Never", &[("main", "app", "sleep"), ("second", "other", "sleep")])
}

/// Start to finish: created and started, stopped, started again, removed.
async fn life(r: &Running) -> Vec<JobResult> {
    let (job, pod) = r.create(pod(), true).await;
    let mut results = vec![job.wait().await.result];
    results.push(r.stop(&pod).await.result);
    results.push(r.start(&pod).await.result);
    results.push(r.remove(&pod, true).await.result);
    results
}

/// The steps of that life when nothing goes wrong.
fn steps() -> Vec<&'static str> {
    let lab = Lab::new();
    lab.run(async |r| {
        lab.fake.plan(None);
        assert_eq!(life(&r).await, [JobResult::Done; 4]);
    });
    lab.fake.steps()
}

fn assert_clean(lab: &Lab, what: &str) {
    assert_eq!(lab.fake.inventory(), Vec::<String>::new(), "{what}");
    assert_eq!(lab.records(), 0, "{what}");
}

#[test]
fn the_steps_are_those_we_think() {
    let steps = steps();
    for step in [
        "disks.attach_image",
        "disks.attach_scratch",
        "domains.build",
        "domains.publish",
        "domains.unpause",
        "net.attach",
        "domains.connect",
        "domains.destroy",
        "net.detach",
        "disks.release",
    ] {
        assert!(steps.iter().filter(|s| **s == step).count() >= 2, "{step} in {steps:?}");
    }
}

#[test]
fn every_step_may_fail() {
    for (number, step) in steps().into_iter().enumerate() {
        let what = format!("step {number}, {step}, fails");
        let lab = Lab::new();
        lab.run(async |r| {
            lab.fake.plan(Some(Fault::Fail(number)));
            let results = life(&r).await;
            assert!(results.contains(&JobResult::Failed), "{what}: {results:?}");
            // Whatever state that left it in, it can be listed and removed.
            while let Some(pod) = r.engine.list().first() {
                assert!(!pod.status().record.message.is_empty() || pod.status().state() == PodState::Created, "{what}");
                r.remove(pod, true).await;
            }
        });
        assert_clean(&lab, &what);
    }
}

#[test]
fn the_daemon_may_die_at_every_step() {
    let count = steps().len();
    for number in 0..count {
        for fault in [Fault::CrashBefore(number), Fault::CrashAfter(number)] {
            let lab = Lab::new();
            let crashed = lab.run(async |r| {
                lab.fake.plan(Some(fault));
                tokio::select! {
                    biased;
                    () = lab.fake.crash() => true,
                    _ = life(&r) => false,
                }
            });
            let what = format!("{fault:?} of {:?}", lab.fake.steps());
            assert!(crashed, "{what}");
            lab.fake.plan(None);
            lab.run(async |r| {
                for pod in r.engine.list() {
                    let status = pod.status();
                    let domain = format!("domain {}", pod.id);
                    let has = lab.fake.inventory().contains(&domain);
                    match status.state() {
                        PodState::Running => assert!(has, "{what}: it is said to run"),
                        PodState::Stopped | PodState::Failed => {
                            assert!(!has, "{what}: it is said not to run");
                            assert!(!status.record.reason.is_empty(), "{what}: it does not say why");
                        }
                        other => panic!("{what}: it is {other}"),
                    }
                    assert_eq!(r.remove(&pod, true).await.result, JobResult::Done, "{what}");
                }
            });
            assert_clean(&lab, &what);
        }
    }
}
