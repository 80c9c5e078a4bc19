//! What others do to a pod's domain, and what happens while the daemon is away.

use xenpod_api::error::ErrorName;
use xenpod_api::state::{ContainerState, PodState};
use xenpod_xen::hypervisor::ShutdownReason;

use super::super::jobs::JobKind;
use super::super::pod::Ask;
use super::{Lab, done, manifest, until};

#[test]
fn a_domain_destroyed_from_outside_is_noticed_and_told() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        lab.fake.destroy_from_outside(pod.id);
        let (reason, message) = until(&pod, PodState::Failed).await;
        assert_eq!(
            (reason.as_str(), message.as_str()),
            ("DestroyedFromOutside", "its domain was destroyed from outside")
        );
        assert_eq!(pod.status().container("main").unwrap().state, ContainerState::Exited);
        assert_eq!(r.start(&pod).await, done(), "and it can be started again");
    });
}

#[test]
fn a_domain_that_ends_by_itself_says_why() {
    for (reason, state, word) in [
        (ShutdownReason::Crash, PodState::Failed, "KernelCrashed"),
        (ShutdownReason::Poweroff, PodState::Stopped, "PoweredOff"),
    ] {
        let lab = Lab::new();
        lab.run(async |r| {
            let pod = r.started("web", "sleep").await;
            lab.fake.end_domain(pod.id, reason);
            assert_eq!(until(&pod, state).await.0, word);
        });
        assert_eq!(lab.fake.inventory().len(), 1, "{:?}", lab.fake.inventory());
    }
}

#[test]
fn a_pause_from_outside_is_seen_and_so_is_its_end() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        lab.fake.pause_from_outside(pod.id, true);
        assert_eq!(until(&pod, PodState::Paused).await.0, "PausedFromOutside");
        let outcome = r.start(&pod).await;
        assert_eq!(outcome.error_name, ErrorName::BadState.as_str());
        lab.fake.pause_from_outside(pod.id, false);
        until(&pod, PodState::Running).await;
    });
}

#[test]
fn our_own_pause_and_resume() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        let (answer, result) = tokio::sync::oneshot::channel();
        pod.ask(Ask::Pause(answer));
        result.await.unwrap().unwrap();
        assert_eq!(pod.status().record.reason, "Paused");
        let (answer, result) = tokio::sync::oneshot::channel();
        pod.ask(Ask::Resume(answer));
        result.await.unwrap().unwrap();
        assert_eq!(pod.status().state(), PodState::Running);
        // A paused pod can be stopped in order.
        let (answer, result) = tokio::sync::oneshot::channel();
        pod.ask(Ask::Pause(answer));
        result.await.unwrap().unwrap();
        assert_eq!(r.stop(&pod).await, done());
        assert_eq!(pod.status().container("main").unwrap().signal, 15);
    });
}

#[test]
fn a_running_pod_outlives_the_daemon() {
    let lab = Lab::new();
    let (id, domid) = lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        (pod.id, pod.status().domid)
    });
    lab.run(async |r| {
        let pod = r.engine.pod(id).unwrap();
        let status = pod.status();
        assert_eq!((status.state(), status.domid), (PodState::Running, domid));
        assert_eq!(status.container("main").unwrap().state, ContainerState::Running);
        assert_eq!(r.stop(&pod).await, done());
        assert_eq!(pod.status().container("main").unwrap().exit_code, 143);
    });
}

#[test]
fn what_happened_while_the_daemon_was_away_is_told() {
    let lab = Lab::new();
    let (crashed, lost) =
        lab.run(async |r| (r.started("crashed", "sleep").await.id, r.started("lost", "sleep").await.id));
    lab.fake.end_domain(crashed, ShutdownReason::Crash);
    lab.fake.destroy_from_outside(lost);
    lab.run(async |r| {
        let status = |id| r.engine.pod(id).unwrap().status();
        assert_eq!(
            (status(crashed).state(), status(crashed).record.reason.as_str()),
            (PodState::Failed, "KernelCrashed")
        );
        assert_eq!((status(lost).state(), status(lost).record.reason.as_str()), (PodState::Failed, "Lost"));
    });
    assert!(lab.fake.inventory().iter().all(|l| l.starts_with("lease")), "{:?}", lab.fake.inventory());
}

#[test]
fn pods_that_cannot_be_seen_are_left_alone() {
    let lab = Lab::new();
    let (id, domid) = lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        (pod.id, pod.status().domid)
    });
    let orphan = lab.fake.orphan();
    let before = lab.fake.inventory();
    lab.fake.hide(true);
    lab.run(async |r| {
        let status = r.engine.pod(id).unwrap().status();
        assert_eq!(status.state(), PodState::Running);
        assert!(status.record.message.contains("cannot open /dev/xen/privcmd"), "{}", status.record.message);
    });
    assert_eq!(lab.fake.inventory(), before);
    lab.fake.hide(false);
    lab.run(async |r| {
        let status = r.engine.pod(id).unwrap().status();
        assert_eq!((status.state(), status.domid), (PodState::Running, domid));
        assert_eq!(status.record.message, "");
    });
    assert!(!lab.fake.inventory().contains(&format!("domain {orphan}")));
}

#[test]
fn orphans_of_ours_go_and_others_stay() {
    let lab = Lab::new();
    let (ours, others) = (lab.fake.orphan(), lab.fake.foreign());
    lab.run(async |_| {});
    let left = lab.fake.inventory();
    assert_eq!(left, [format!("domain {others}")]);
    assert!(!left.contains(&format!("domain {ours}")));
}

#[test]
fn a_domain_that_bears_our_tag_is_ours_without_a_record_or_a_mark() {
    let lab = Lab::new();
    let tag = crate::journal::Journal::open(lab.dir.path()).unwrap().tag();
    let (_ours, others) = (lab.fake.unmarked(tag), lab.fake.foreign());
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        assert!(pod.id.bears(tag));
        assert_eq!(r.remove(&pod, true).await, done());
    });
    assert_eq!(lab.fake.inventory(), [format!("domain {others}")]);
}

#[test]
fn what_could_not_be_given_back_is_tried_again() {
    use super::super::fake::Fault;
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        lab.fake.plan(Some(Fault::Fail(0)));
        let outcome = r.ask(&pod, JobKind::Stop, |job| Ask::Stop { grace_seconds: Some(1), job }).await;
        assert_ne!(outcome, done());
        let mut watch = pod.watch();
        watch.wait_for(|s| s.state() == PodState::Stopped && s.domid.is_none()).await.unwrap();
        assert_eq!(lab.fake.inventory(), [format!("lease {}", pod.id)]);
        assert!(!pod.status().record.message.contains("given back yet"), "{}", pod.status().record.message);
    });
}

#[test]
fn two_pods_do_not_disturb_each_other() {
    let lab = Lab::new();
    lab.run(async |r| {
        let a = r.started("a", "sleep").await;
        let b = r.started("b", "sleep").await;
        lab.fake.destroy_from_outside(a.id);
        until(&a, PodState::Failed).await;
        assert_eq!(b.status().state(), PodState::Running);
        assert_eq!(r.remove(&a, false).await, done());
        let left = lab.fake.inventory();
        assert!(left.contains(&format!("domain {}", b.id)) && left.contains(&format!("port {}", b.id)), "{left:?}");
        let (job, c) = r.create(manifest("a", "Never", &[("main", "app", "sleep")]), false).await;
        assert_eq!(job.wait().await, done(), "the name is free again");
        assert_ne!(c.id, a.id);
    });
}
