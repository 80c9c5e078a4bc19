//! A pod's life as its owner wants it.

use std::io::Read;

use xenpod_api::error::ErrorName;
use xenpod_api::state::{ContainerState, ExitReason, JobResult, PodState};

use super::super::exec::{ExecRequest, ExecSpec};
use super::super::jobs::JobKind;
use super::super::pod::Ask;
use super::super::{Change, Failure};
use super::{Lab, done, manifest, until};
use crate::logs::{Follow, Since};

#[test]
fn created_started_stopped_started_again_removed() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (job, pod) = r.create(manifest("web", "Never", &[("main", "app", "sleep")]), false).await;
        assert_eq!(job.wait().await, done());
        assert_eq!(pod.status().state(), PodState::Created);
        assert!(pod.status().domid.is_some());

        assert_eq!(r.start(&pod).await, done());
        let status = pod.status();
        assert_eq!(status.state(), PodState::Running);
        assert_eq!(status.container("main").unwrap().state, ContainerState::Running);
        assert_eq!(status.container("main").unwrap().pid, 42);
        let phases: Vec<_> = status.phases.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(phases, ["channel", "hello", "containers"]);

        assert_eq!(r.stop(&pod).await, done());
        let status = pod.status();
        assert_eq!((status.state(), status.record.reason.as_str()), (PodState::Stopped, "Stopped"));
        let main = status.container("main").unwrap();
        assert_eq!((main.state, main.exit_code, main.signal), (ContainerState::Exited, 143, 15));
        assert_eq!(lab.fake.inventory(), [format!("lease {}", pod.id)], "a stopped pod holds its address alone");

        assert_eq!(r.start(&pod).await, done());
        assert_eq!(pod.status().state(), PodState::Running);
        assert_eq!(r.remove(&pod, false).await.error_name, ErrorName::BadState.as_str());
        assert_eq!(r.remove(&pod, true).await, done());
        assert!(matches!(r.engine.find("web"), Err(Failure::NoSuchPod(_))));
    });
    assert_eq!(lab.fake.inventory(), Vec::<String>::new());
    assert_eq!(lab.records(), 0);
}

#[test]
fn a_pod_ends_with_its_last_container_and_says_how() {
    for (command, code, reason) in [
        ("exit 0", 0, ExitReason::Completed),
        ("exit 3", 3, ExitReason::Error),
        ("kill 11", 139, ExitReason::Signal),
        ("oom", 137, ExitReason::OomKilled),
    ] {
        let lab = Lab::new();
        lab.run(async |r| {
            let containers = [("main", "app", command), ("second", "other", "exit 0")];
            let (_, pod) = r.create(manifest("job", "Never", &containers), true).await;
            let (why, message) = until(&pod, PodState::Stopped).await;
            assert_eq!((why.as_str(), message.as_str()), (reason.as_str(), "every container has ended"), "{command}");
            let status = pod.status();
            assert_eq!(status.exit_code(), code, "{command}");
            assert_eq!(status.container("main").unwrap().reason, Some(reason));
            assert_eq!(status.container("second").unwrap().reason, Some(ExitReason::Completed));
        });
        assert_eq!(lab.fake.inventory().len(), 1, "{command}: {:?}", lab.fake.inventory());
    }
}

#[test]
fn output_is_in_the_log_before_the_end_is_told() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (_, pod) = r.create(manifest("talk", "Never", &[("main", "app", "print hello")]), true).await;
        let mut watch = pod.watch();
        watch.wait_for(|s| s.container("main").unwrap().state == ContainerState::Exited).await.unwrap();
        let mut follow = Follow::new(&pod.log("main").unwrap(), Since::Start, false, false).unwrap();
        assert_eq!(follow.next().await.unwrap().unwrap().1, b"hello");
        until(&pod, PodState::Stopped).await;
    });
    // And it is still there for the next daemon.
    lab.run(async |r| {
        let pod = r.engine.find("talk").unwrap();
        let mut follow = Follow::new(&pod.log("main").unwrap(), Since::Start, true, false).unwrap();
        assert_eq!(follow.next().await.unwrap().unwrap().1, b"hello");
        assert_eq!(follow.next().await.unwrap(), None, "a log of a stopped pod has an end");
    });
}

#[test]
fn containers_are_started_again_as_the_policy_says() {
    for (policy, command, again) in [
        ("Always", "exit 0", true),
        ("OnFailure", "exit 1", true),
        ("OnFailure", "exit 0", false),
        ("Never", "exit 1", false),
    ] {
        let lab = Lab::new();
        lab.run(async |r| {
            let (_, pod) = r.create(manifest("again", policy, &[("main", "app", command)]), true).await;
            if again {
                let mut watch = pod.watch();
                watch.wait_for(|s| s.container("main").unwrap().restarts >= 2).await.unwrap();
                assert_eq!(r.stop(&pod).await, done());
            }
            until(&pod, PodState::Stopped).await;
            let restarts = pod.status().container("main").unwrap().restarts;
            assert_eq!(restarts > 0, again, "{policy} {command}: {restarts}");
        });
    }
}

#[test]
fn a_command_that_does_not_exist_fails_the_start_and_holds_nothing() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (job, pod) = r.create(manifest("bad", "Never", &[("main", "app", "nosuch")]), true).await;
        let outcome = job.wait().await;
        assert_eq!(outcome.result, JobResult::Failed);
        assert_eq!(outcome.error_name, ErrorName::CommandNotFound.as_str());
        assert_eq!(outcome.message, "pod bad: main: command \"nosuch\" not found in container main");
        let (reason, message) = until(&pod, PodState::Failed).await;
        assert_eq!((reason.as_str(), message), ("CommandNotFound", outcome.message));
        assert_eq!(lab.fake.inventory(), [format!("lease {}", pod.id)]);
        assert_eq!(r.remove(&pod, false).await, done());
    });
    assert_eq!(lab.fake.inventory(), Vec::<String>::new());
    assert_eq!(lab.records(), 0);
}

#[test]
fn an_image_that_cannot_be_had_leaves_not_even_a_record() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (job, _) = r.create(manifest("bad", "Never", &[("main", "missing", "sleep")]), true).await;
        let outcome = job.wait().await;
        assert_eq!(outcome.error_name, ErrorName::ImageUnavailable.as_str());
        assert!(outcome.message.starts_with("bad: image missing is not here"), "{}", outcome.message);
        assert!(r.engine.list().is_empty());
    });
    assert_eq!(lab.fake.inventory(), Vec::<String>::new());
    assert_eq!(lab.records(), 0);
}

#[test]
fn an_image_of_two_containers_is_fetched_once_and_then_used() {
    let lab = Lab::new();
    lab.run(async |r| {
        let both = [("a", "pull-me", "sleep"), ("b", "pull-me", "sleep")];
        let (job, pod) = r.create(manifest("two", "Never", &both), true).await;
        assert_eq!(job.wait().await, done());
        assert_eq!(lab.fake.pulls(), 1);
        let digest = pod.status().container("a").unwrap().image.clone().unwrap().digest;
        assert_eq!(r.engine.users_of(&digest), ["two"]);
        let error = r.engine.remove_image(&digest).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::ImageInUse);
        assert!(error.to_string().contains("is used by two"), "{error}");
        r.remove(&pod, true).await;
        r.engine.remove_image(&digest).await.unwrap();
        assert!(matches!(r.engine.image("pull-me"), Err(Failure::NoSuchImage(_))));
    });
}

#[test]
fn images_without_a_name_go_unless_a_pod_uses_them() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (_, pod) = r.create(manifest("user", "Never", &[("main", "app", "sleep")]), false).await;
        let used = pod.status().container("main").unwrap().image.clone().unwrap().digest;
        lab.fake.untag("app");
        lab.fake.untag("other");
        lab.fake.add_image("named", &["sleep"]);
        assert_eq!(r.engine.prune_images().await, 1);
        let mut left: Vec<String> = r.engine.world().images.list().iter().map(|i| i.digest.clone()).collect();
        left.sort();
        let mut wanted = vec![used, r.engine.image("named").unwrap().digest.clone()];
        wanted.sort();
        assert_eq!(left, wanted);
        r.remove(&pod, true).await;
        assert_eq!(r.engine.prune_images().await, 1);
    });
}

#[test]
fn names_and_numbers_are_limited() {
    let lab = Lab::new();
    lab.run(async |r| {
        let request = |name: &str, owner_uid| {
            super::request(manifest(name, "Never", &[("main", "app", "sleep")]), owner_uid, false)
        };
        let name = async |request| r.engine.create(request).await.map(|_| ()).unwrap_err().name();
        r.engine.create(request("a", 0)).await.unwrap();
        assert_eq!(name(request("a", 0)).await, ErrorName::PodExists);
        r.engine.create(request("b", 1000)).await.unwrap();
        r.engine.create(request("c", 1000)).await.unwrap();
        assert_eq!(name(request("d", 1000)).await, ErrorName::LimitsExceeded);
        r.engine.create(request("e", 0)).await.unwrap();
        assert_eq!(name(request("f", 0)).await, ErrorName::LimitsExceeded);
    });
    assert_eq!(lab.records(), 4);
}

#[test]
fn a_job_that_is_cancelled_gives_everything_back() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (job, pod) = r.create(manifest("slow", "Never", &[("main", "slow-pull", "sleep")]), true).await;
        while job.status().items.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(job.status().progress(), 0.1);
        job.cancel().unwrap();
        let outcome = job.wait().await;
        assert_eq!(
            (outcome.result, outcome.error_name.as_str()),
            (JobResult::Cancelled, ErrorName::Cancelled.as_str())
        );
        assert!(r.engine.pod(pod.id).is_none());
    });
    assert_eq!(lab.fake.inventory(), Vec::<String>::new());
    assert_eq!(lab.records(), 0);
}

#[test]
fn removing_by_force_interrupts_what_is_going_on() {
    let lab = Lab::new();
    lab.run(async |r| {
        let (job, pod) = r.create(manifest("slow", "Never", &[("main", "slow-pull", "sleep")]), true).await;
        while job.status().items.is_empty() {
            tokio::task::yield_now().await;
        }
        let refused = r.remove(&pod, false).await;
        assert_eq!(refused.error_name, ErrorName::BadState.as_str());
        assert_eq!(refused.message, "pod slow: cannot remove it while it is creating: wait for its job to end");
        assert_eq!(r.remove(&pod, true).await, done());
        assert_eq!(job.wait().await.result, JobResult::Cancelled);
    });
    assert_eq!(lab.records(), 0);
}

#[test]
fn commands_run_in_a_container_with_pipes_of_their_own() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("shell", "sleep").await;
        let exec = async |container: &str, command: &[&str]| {
            let (answer, result) = tokio::sync::oneshot::channel();
            let command = command.iter().map(ToString::to_string).collect();
            let spec = ExecSpec { command, ..ExecSpec::default() };
            pod.ask(Ask::Exec(ExecRequest { container: container.into(), by_uid: 0, spec, answer }));
            result.await.unwrap()
        };
        let running = exec("main", &["echo", "hi"]).await.unwrap();
        assert_eq!(running.exec.wait().await, (7, ExitReason::Error));
        let [_, stdout, stderr] = running.pipes;
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            std::fs::File::from(stdout).read_to_string(&mut text).unwrap();
            std::fs::File::from(stderr).read_to_string(&mut text).unwrap();
            text
        });
        assert_eq!(read.await.unwrap(), "echo hi");

        let error = exec("main", &["nothing"]).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::CommandNotFound);
        assert_eq!(error.to_string(), "pod shell: main: command \"nothing\" not found");
        assert_eq!(exec("nosuch", &["x"]).await.unwrap_err().name(), ErrorName::NoSuchContainer);
        r.stop(&pod).await;
        let error = exec("main", &["x"]).await.unwrap_err();
        assert_eq!(error.to_string(), "pod shell: cannot execute a command in it while it is stopped: start it first");
    });
}

#[test]
fn what_changes_is_announced() {
    let lab = Lab::new();
    lab.run(async |mut r| {
        let pod = r.started("web", "sleep").await;
        r.ask(&pod, JobKind::Remove, |job| Ask::Remove { force: true, job }).await;
        let mut seen = Vec::new();
        while let Ok(change) = r.changes.try_recv() {
            seen.push(change);
        }
        assert_eq!(seen.iter().filter(|c| matches!(c, Change::PodNew(s) if s.record.id == pod.id)).count(), 1);
        let mut states: Vec<PodState> =
            seen.iter().filter_map(|c| if let Change::Pod(s) = c { Some(s.state()) } else { None }).collect();
        states.dedup();
        use PodState::{Created, Creating, Running, Starting};
        assert_eq!(states, [Creating, Created, Starting, Running], "each as it was at the time");
        assert_eq!(seen.iter().filter(|c| **c == Change::PodGone(pod.id)).count(), 1);
        assert!(seen.contains(&Change::JobNew(1)) && seen.contains(&Change::JobEnded(1)), "{seen:?}");
        assert!(seen.contains(&Change::JobEnded(2)), "{seen:?}");
    });
}
