//! Containers one by one, in a running pod.

use tokio::sync::oneshot;
use xenpod_api::error::ErrorName;
use xenpod_api::ids::PodId;
use xenpod_api::state::{ContainerState, ExitReason, JobResult, PodState};

use super::super::PodHandle;
use super::super::exec::{ExecRequest, ExecSpec};
use super::super::failure::Failure;
use super::super::fake::Fault;
use super::super::jobs::{Job, JobKind, Outcome};
use super::super::pod::{Ask, ContainerAsk};
use super::{Lab, Running, done, manifest, until};
use crate::journal::ContainerRecord;

/// A pod that nobody has given a container.
pub(super) const EMPTY: &str =
    "apiVersion: v1\nkind: Pod\nmetadata:\n  name: box\nspec:\n  restartPolicy: Never\n  containers: []\n";

impl Running {
    /// A pod without containers that runs.
    pub(super) async fn empty(&self) -> PodHandle {
        let (job, pod) = self.create(EMPTY.into(), true).await;
        assert_eq!(job.wait().await, done());
        pod
    }

    /// Makes a container and waits.
    pub(super) async fn add(&self, pod: &PodHandle, text: &str, start: bool) -> Outcome {
        let status = pod.status();
        let spec = xenpod_api::manifest::parse_container(text, &status.record.spec, &status.record.manifest).unwrap();
        match self.engine.create_container(pod, 0, spec, start) {
            Ok(job) => job.wait().await,
            Err(failure) => Outcome {
                result: JobResult::Failed,
                error_name: failure.name().to_string(),
                message: failure.to_string(),
            },
        }
    }

    pub(super) async fn act(&self, pod: &PodHandle, ask: impl FnOnce(Job) -> ContainerAsk) -> Outcome {
        self.ask(pod, JobKind::StartContainer, |job| Ask::Container(ask(job))).await
    }

    pub(super) async fn start_one(&self, pod: &PodHandle, name: &str) -> Outcome {
        self.act(pod, |job| ContainerAsk::Start { name: name.into(), job }).await
    }

    pub(super) async fn stop_one(&self, pod: &PodHandle, name: &str, grace: u32) -> Outcome {
        self.act(pod, |job| ContainerAsk::Stop { name: name.into(), grace_seconds: Some(grace), job }).await
    }

    pub(super) async fn remove_one(&self, pod: &PodHandle, name: &str, force: bool) -> Outcome {
        self.act(pod, |job| ContainerAsk::Remove { name: name.into(), force, job }).await
    }

    pub(super) async fn kill_one(&self, pod: &PodHandle, name: &str, signal: u32) -> Result<(), Failure> {
        let (answer, result) = oneshot::channel();
        pod.ask(Ask::Container(ContainerAsk::Kill { name: name.into(), signal, all: false, answer }));
        result.await.unwrap()
    }

    pub(super) async fn rename_one(&self, pod: &PodHandle, name: &str, to: &str) -> Result<(), Failure> {
        let (answer, result) = oneshot::channel();
        pod.ask(Ask::Container(ContainerAsk::Rename { name: name.into(), to: to.into(), answer }));
        result.await.unwrap()
    }
}

pub(super) fn container(pod: &PodHandle, name: &str) -> ContainerRecord {
    pod.status().container(name).unwrap_or_else(|| panic!("no container {name}")).clone()
}

fn sleeper(name: &str, image: &str) -> String {
    format!("name: {name}\nimage: {image}\ncommand: [sleep]\n")
}

#[test]
fn a_pod_without_containers_runs_and_gets_them_one_by_one() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (job, pod) = r.create(EMPTY.into(), true).await;
        assert_eq!(job.wait().await, done());
        assert_eq!(pod.status().state(), PodState::Running);
        assert_eq!(lab.fake.disks(pod.id), [0], "the scratch disk");

        assert_eq!(r.add(&pod, &sleeper("a", "app"), false).await, done());
        assert_eq!(container(&pod, "a").state, ContainerState::Created);
        assert_eq!(lab.fake.disks(pod.id), [0, 1]);
        assert_eq!(r.start_one(&pod, "a").await, done());
        assert_eq!((container(&pod, "a").state, container(&pod, "a").pid), (ContainerState::Running, 42));
        assert_eq!(r.start_one(&pod, "a").await, done(), "it runs already");
        // A second of the same image has the same disk, one of another image a disk of its own.
        assert_eq!(r.add(&pod, &sleeper("b", "app"), true).await, done());
        assert_eq!(lab.fake.disks(pod.id), [0, 1]);
        assert_eq!(r.add(&pod, &sleeper("c", "pull-me"), true).await, done());
        assert_eq!((lab.fake.pulls(), lab.fake.disks(pod.id)), (1, vec![0, 1, 2]));

        assert_eq!(r.stop_one(&pod, "a", 5).await, done());
        let a = container(&pod, "a");
        assert_eq!((a.state, a.exit_code, a.reason), (ContainerState::Exited, 143, Some(ExitReason::Signal)));
        assert_eq!(r.start_one(&pod, "a").await, done(), "and again");
        assert_eq!(container(&pod, "a").state, ContainerState::Running);

        assert_eq!(r.remove_one(&pod, "c", true).await, done());
        assert!(pod.status().container("c").is_none());
        assert_eq!(lab.fake.disks(pod.id), [0, 1], "nobody uses that image any more");
        // The free place is taken again.
        assert_eq!(r.add(&pod, &sleeper("d", "other"), true).await, done());
        assert_eq!(lab.fake.disks(pod.id), [0, 1, 2]);
        for name in ["a", "b", "d"] {
            assert_eq!(r.remove_one(&pod, name, true).await, done());
        }
        assert_eq!((pod.status().state(), lab.fake.disks(pod.id)), (PodState::Running, vec![0]));
        assert_eq!(r.stop(&pod).await, done());
        assert_eq!(lab.fake.inventory(), [format!("lease {}", pod.id)]);
        assert_eq!(r.start(&pod).await, done(), "an empty pod starts again");
        assert_eq!(r.remove(&pod, true).await, done());
    });
    assert_eq!(lab.fake.inventory(), Vec::<String>::new());
}

#[test]
fn a_container_that_ignores_its_stop_signal_is_killed_after_the_grace() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.empty().await;
        r.add(&pod, "name: a\nimage: app\ncommand: [stubborn]\n", true).await;
        let began = tokio::time::Instant::now();
        assert_eq!(r.stop_one(&pod, "a", 1).await, done());
        assert!(began.elapsed().as_millis() >= 1000, "{:?}", began.elapsed());
        assert_eq!((container(&pod, "a").exit_code, container(&pod, "a").signal), (137, 9));
        // A second request makes the first one faster.
        r.start_one(&pod, "a").await;
        let slow = r.engine.ask(&pod, 0, JobKind::StopContainer, |job| {
            Ask::Container(ContainerAsk::Stop { name: "a".into(), grace_seconds: Some(1000), job })
        });
        assert_eq!(r.stop_one(&pod, "a", 0).await, done());
        assert_eq!(slow.unwrap().wait().await, done());
    });
}

#[test]
fn the_end_of_a_container_can_be_cancelled_until_it_is_killed() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.empty().await;
        r.add(&pod, "name: a\nimage: app\ncommand: [stubborn]\n", true).await;
        let stop = |grace| {
            r.engine.ask(&pod, 0, JobKind::StopContainer, |job| {
                Ask::Container(ContainerAsk::Stop { name: "a".into(), grace_seconds: Some(grace), job })
            })
        };
        let signalled = async |times: usize| {
            while lab.fake.commands().iter().filter(|c| *c == "a signal 15").count() < times {
                tokio::task::yield_now().await;
            }
        };
        let first = stop(1000).unwrap();
        signalled(1).await;
        let second = stop(1).unwrap();
        first.cancel().unwrap();
        let outcome = first.wait().await;
        assert_eq!(
            (outcome.result, &*outcome.message),
            (JobResult::Cancelled, "ending container a of pod box was cancelled")
        );
        assert_eq!(second.wait().await, done(), "another wanted its end still");
        assert_eq!(container(&pod, "a").signal, 9);

        r.start_one(&pod, "a").await;
        let only = stop(1).unwrap();
        signalled(2).await;
        only.cancel().unwrap();
        assert_eq!(only.wait().await.result, JobResult::Cancelled);
        tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
        let a = container(&pod, "a");
        assert_eq!((a.state, a.held), (ContainerState::Running, false), "it is neither killed nor held");
        assert_eq!(r.stop_one(&pod, "a", 0).await, done());
    });
}

#[test]
fn a_pods_end_cannot_be_cancelled_and_says_so() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.empty().await;
        r.add(&pod, "name: a\nimage: app\ncommand: [stubborn]\n", true).await;
        let stop = r.engine.ask(&pod, 0, JobKind::Stop, |job| Ask::Stop { grace_seconds: Some(1), job }).unwrap();
        let refusal = stop.cancel().unwrap_err();
        assert_eq!(refusal.name(), ErrorName::BadState);
        let text =
            format!("job {} (stop) cannot be cancelled: what it ends cannot be taken back; wait for it", stop.id());
        assert_eq!(refusal.to_string(), text);
        assert_eq!(stop.wait().await, done());
        stop.cancel().unwrap();
        assert_eq!(stop.wait().await, done(), "it is over");
    });
}

#[test]
fn the_pod_answers_while_a_container_is_being_stopped() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.empty().await;
        r.add(&pod, "name: a\nimage: app\ncommand: [stubborn]\n", true).await;
        r.add(&pod, &sleeper("b", "app"), true).await;
        let slow = r.engine.ask(&pod, 0, JobKind::StopContainer, |job| {
            Ask::Container(ContainerAsk::Stop { name: "a".into(), grace_seconds: Some(1000), job })
        });
        let (answer, result) = oneshot::channel();
        let spec = ExecSpec { command: vec!["echo".into()], ..ExecSpec::default() };
        pod.ask(Ask::Exec(ExecRequest { container: "b".into(), by_uid: 0, spec, answer }));
        assert!(result.await.unwrap().is_ok());
        assert_eq!(r.stop(&pod).await, done());
        assert_eq!(slow.unwrap().wait().await, done(), "it ended with its pod");
    });
}

#[test]
fn what_cannot_be_done_is_refused_by_name_and_changes_nothing() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        assert_eq!(r.add(&pod, &sleeper("a", "app"), false).await, done());
        let before = pod.status();
        let names = |o: Outcome| (o.error_name, o.message);
        let said = |name: ErrorName, text: &str| (name.to_string(), text.to_string());
        assert_eq!(
            names(r.add(&pod, &sleeper("a", "app"), false).await),
            said(ErrorName::ContainerExists, "pod web has a container \"a\" already; remove it or choose another name")
        );
        assert_eq!(names(r.add(&pod, &sleeper("b", "missing"), false).await).0, ErrorName::ImageUnavailable.as_str());
        assert_eq!(
            names(r.remove_one(&pod, "main", false).await),
            said(
                ErrorName::BadState,
                "container main of pod web: cannot remove it while it is running: stop it first, or remove it by force"
            )
        );
        let error = r.kill_one(&pod, "a", 15).await.unwrap_err();
        assert_eq!(error.to_string(), "container a of pod web: cannot signal it while it is created: start it first");
        assert_eq!(names(r.start_one(&pod, "no").await).0, ErrorName::NoSuchContainer.as_str());
        assert_eq!(r.kill_one(&pod, "no", 9).await.unwrap_err().name(), ErrorName::NoSuchContainer);
        assert_eq!(r.rename_one(&pod, "a", "main").await.unwrap_err().name(), ErrorName::ContainerExists);
        assert_eq!(r.rename_one(&pod, "a", "A_b").await.unwrap_err().name(), ErrorName::ManifestInvalid);
        assert_eq!(pod.status().record.containers, before.record.containers);
        r.stop(&pod).await;
        let refused = r.add(&pod, &sleeper("b", "app"), false).await;
        assert_eq!(refused.message, "pod web: cannot change the containers of it while it is stopped: start it first");
    });
}

#[test]
fn a_command_that_does_not_exist_fails_the_container_and_not_the_pod() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        let outcome = r.add(&pod, "name: a\nimage: app\ncommand: [nosuch]\n", true).await;
        assert_eq!(outcome.error_name, ErrorName::CommandNotFound.as_str());
        let a = container(&pod, "a");
        assert_eq!((a.state, a.exit_code, a.reason), (ContainerState::Exited, 127, Some(ExitReason::Error)));
        assert!(a.message.contains("\"nosuch\" not found"), "{}", a.message);
        assert_eq!(pod.status().state(), PodState::Running);
        assert_eq!(r.remove_one(&pod, "a", false).await, done());
    });
}

#[test]
fn a_pod_outlasts_containers_that_were_stopped_by_request_and_none_else() {
    let lab = Lab::new();
    lab.run(async |r| {
        let both = [("a", "app", "sleep"), ("b", "app", "sleep")];
        let (_, pod) = r.create(manifest("two", "Always", &both), true).await;
        let mut watch = pod.watch();
        watch.wait_for(|s| s.state() == PodState::Running).await.unwrap();
        // The policy lets be what was stopped by request, and brings back what a signal ended.
        assert_eq!(r.stop_one(&pod, "a", 5).await, done());
        r.kill_one(&pod, "b", 9).await.unwrap();
        watch.wait_for(|s| s.container("b").unwrap().restarts == 1).await.unwrap();
        assert_eq!(container(&pod, "a").state, ContainerState::Exited);
        assert_eq!(r.stop_one(&pod, "b", 5).await, done());
        assert_eq!(pod.status().state(), PodState::Running);
        assert_eq!(r.start_one(&pod, "a").await, done());
    });
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        r.add(&pod, &sleeper("helper", "app"), true).await;
        r.add(&pod, &sleeper("spare", "app"), false).await;
        // A helper that runs keeps the pod; one that was never started does not.
        r.kill_one(&pod, "main", 9).await.unwrap();
        let mut watch = pod.watch();
        watch.wait_for(|s| s.container("main").unwrap().state == ContainerState::Exited).await.unwrap();
        assert_eq!(pod.status().state(), PodState::Running);
        r.kill_one(&pod, "helper", 9).await.unwrap();
        assert_eq!(until(&pod, PodState::Stopped).await.0, "Signal");
    });
}

#[test]
fn a_renamed_container_is_the_same_one() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.empty().await;
        r.add(&pod, &sleeper("a", "app"), true).await;
        r.rename_one(&pod, "a", "b").await.unwrap();
        assert!(pod.status().container("a").is_none() && pod.log("a").is_none());
        assert!(pod.log("b").is_some());
        // Its old name is free, to the guest as well.
        assert_eq!(r.add(&pod, &sleeper("a", "app"), true).await, done());
        assert_eq!(r.stop_one(&pod, "b", 5).await, done());
        assert_eq!((container(&pod, "a").state, container(&pod, "b").exit_code), (ContainerState::Running, 143));
        assert_eq!(r.start_one(&pod, "b").await, done());
    });
    // The next daemon finds both.
    lab.run(async |r| {
        let pod = r.engine.find("box").unwrap();
        assert_eq!(pod.status().state(), PodState::Running);
        assert_eq!(r.stop_one(&pod, "b", 5).await, done());
        assert_eq!(r.remove_one(&pod, "b", false).await, done());
        assert_eq!(container(&pod, "a").state, ContainerState::Running);
        assert_eq!(r.remove(&pod, true).await, done());
    });
    assert_eq!(lab.fake.inventory(), Vec::<String>::new());
}

#[test]
fn the_policy_of_a_made_container_is_never_unless_it_is_said() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (job, pod) = r.create(EMPTY.replace("Never", "Always"), true).await;
        assert_eq!(job.wait().await, done());
        r.add(&pod, "name: once\nimage: app\ncommand: [exit, \"1\"]\n", true).await;
        let mut spec = xenpod_api::manifest::parse_container(
            "name: again\nimage: app\ncommand: [exit, \"1\"]\n",
            &pod.status().record.spec,
            EMPTY,
        )
        .unwrap();
        spec.restart_policy = Some(xenpod_api::spec::RestartPolicy::OnFailure);
        r.engine.create_container(&pod, 0, spec, true).unwrap().wait().await;
        pod.watch().wait_for(|s| s.container("again").is_some_and(|c| c.restarts >= 2)).await.unwrap();
        assert_eq!(container(&pod, "once").restarts, 0);
    });
}

/// A container is made, started and removed in a pod that runs.
async fn life(r: &Running, id: PodId) -> Vec<JobResult> {
    let pod = r.engine.pod(id).unwrap();
    let mut results = vec![r.add(&pod, &sleeper("a", "other"), true).await.result];
    results.push(r.remove_one(&pod, "a", true).await.result);
    results
}

#[test]
fn every_step_of_a_containers_life_may_fail_or_be_the_last() {
    let begin = |lab: &Lab| {
        lab.run(async |r| {
            let (job, pod) = r.create(EMPTY.into(), true).await;
            assert_eq!(job.wait().await, done());
            pod.id
        })
    };
    let steps = {
        let lab = Lab::new();
        let id = begin(&lab);
        lab.fake.plan(None);
        lab.run(async |r| {
            lab.fake.plan(None);
            assert_eq!(life(&r, id).await, [JobResult::Done; 2]);
        });
        lab.fake.steps()
    };
    assert!(steps.contains(&"domains.attach_disk") && steps.contains(&"domains.detach_disk"), "{steps:?}");
    for number in 0..steps.len() {
        for fault in [Fault::Fail(number), Fault::CrashBefore(number), Fault::CrashAfter(number)] {
            let lab = Lab::new();
            let id = begin(&lab);
            lab.run(async |r| {
                lab.fake.plan(Some(fault));
                tokio::select! {
                    biased;
                    () = lab.fake.crash() => {}
                    _ = life(&r, id) => {}
                }
            });
            let what = format!("{fault:?} of {steps:?}");
            lab.fake.plan(None);
            lab.run(async |r| {
                let pod = r.engine.pod(id).unwrap();
                assert_eq!(pod.status().state(), PodState::Running, "{what}");
                if pod.status().container("a").is_some() {
                    assert_eq!(r.remove_one(&pod, "a", true).await.result, JobResult::Done, "{what}");
                }
                // The same name and the same image can be had again.
                assert_eq!(life(&r, id).await, [JobResult::Done; 2], "{what}");
                assert_eq!(r.remove(&pod, true).await.result, JobResult::Done, "{what}");
            });
            assert_eq!(lab.fake.inventory(), Vec::<String>::new(), "{what}");
        }
    }
}

#[test]
fn what_a_container_leaves_behind_is_its_termination_message() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.empty().await;
        for (name, command, policy, want) in [
            ("a", "[leave, \"noNULway\"]", "File", "no\u{fffd}way"),
            ("b", "[fail, \"it broke\\n\"]", "FallbackToLogsOnError", "it broke\n"),
            ("c", "[fail, \"it broke\\n\"]", "File", ""),
            ("d", "[print, fine]", "FallbackToLogsOnError", ""),
            ("e", "[leave, words]", "FallbackToLogsOnError", "words"),
        ] {
            let text = format!("name: {name}\nimage: app\ncommand: {command}\nterminationMessagePolicy: {policy}\n");
            assert_eq!(r.add(&pod, &text, true).await, done());
            let ended = |s: &std::sync::Arc<_>| -> bool {
                let s: &super::super::status::PodStatus = s;
                s.container(name).is_some_and(|c| c.state == ContainerState::Exited)
            };
            pod.watch().wait_for(ended).await.unwrap();
            assert_eq!(container(&pod, name).termination, want, "{name}");
        }
    });
}
