//! Pods that change: their size, their name, what is said of them, their containers' limits.

use std::collections::BTreeMap;

use tokio::sync::oneshot;
use xenpod_api::error::ErrorName;
use xenpod_api::state::{JobResult, PodState};

use super::super::PodHandle;
use super::super::describe::{DescribeRequest, Description};
use super::super::failure::Failure;
use super::super::fake::Fault;
use super::super::jobs::{Job, JobKind, Outcome};
use super::super::pod::{Ask, LimitChange, LimitRequest};
use super::super::resize::SizeRequest;
use super::{Lab, Running, done, until};

/// A pod of 128 MiB that may get up to four vCPUs.
const ROOMY: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: box\n  labels: {app: web, tier: back}\n  annotations: \
                     {xenpod.org/max-cpus: \"4\", note: old}\nspec:\n  restartPolicy: Never\n  containers:\n  - {name: main, image: \
                     app, command: [sleep], resources: {limits: {memory: 64Mi, cpu: 500m}}}\n";

/// What the domain owns, should own and may own, in MiB; its vCPUs.
fn domain(lab: &Lab, pod: &PodHandle) -> ([u64; 3], u32) {
    let (memory, vcpus, _) = lab.fake.domain(pod.id);
    (memory, vcpus)
}

/// What the record says.
fn size(pod: &PodHandle) -> (u64, u32) {
    let spec = &pod.status().record.spec;
    (spec.memory_mib, spec.vcpus)
}

impl Running {
    async fn roomy(&self) -> PodHandle {
        let (job, pod) = self.create(ROOMY.into(), true).await;
        assert_eq!(job.wait().await, done());
        assert_eq!(size(&pod), (88, 1), "the limit and the overhead");
        pod
    }

    async fn resize(&self, pod: &PodHandle, memory_mib: Option<u64>, vcpus: Option<u32>) -> (Outcome, Vec<u64>) {
        let ask = |job: Job| Ask::Resize(SizeRequest { memory_mib, vcpus, wait_seconds: 10, job });
        let job = self.engine.ask(pod, 0, JobKind::Resize, ask).unwrap();
        let outcome = job.wait().await;
        let reached = job.status().came_to;
        assert!(reached.keys().all(|key| key == "memory_kib" || key == "vcpus"), "{reached:?}");
        (outcome, reached.into_values().collect())
    }

    async fn say(&self, pod: &PodHandle, what: Description) -> Result<(), Failure> {
        let (answer, said) = oneshot::channel();
        pod.ask(Ask::Describe(DescribeRequest { what, answer }));
        said.await.unwrap()
    }

    async fn limit(&self, pod: &PodHandle, change: LimitChange) -> Result<(), Failure> {
        let (answer, done) = oneshot::channel();
        pod.ask(Ask::Limit(LimitRequest { container: "main".into(), change, answer }));
        done.await.unwrap()
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

#[test]
fn memory_grows_and_shrinks_and_the_next_start_has_the_size() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.roomy().await;
        lab.fake.plan(None);
        assert_eq!(r.resize(&pod, Some(160), None).await, (done(), vec![160 << 10, 1]));
        assert_eq!((domain(&lab, &pod), size(&pod)), (([160; 3], 1), (160, 1)));
        let steps = lab.fake.steps();
        assert_eq!(steps[0], "domains.set_max_memory", "it may have it before it is told to");
        assert_eq!(r.resize(&pod, Some(40), None).await, (done(), vec![40 << 10, 1]));
        assert_eq!((domain(&lab, &pod), size(&pod)), (([40; 3], 1), (40, 1)));
        assert_eq!(pod.status().record.resize, None);
        assert_eq!(r.stop(&pod).await, done());
        assert_eq!(r.resize(&pod, Some(70), Some(5)).await, (done(), vec![70 << 10, 5]));
        assert_eq!(r.start(&pod).await, done());
        assert_eq!(domain(&lab, &pod), ([70; 3], 5));
        assert_eq!(r.remove(&pod, true).await, done());
    });
}

#[test]
fn what_containers_hold_is_not_taken_from_them() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.roomy().await;
        lab.fake.hold_memory(50 << 10);
        lab.fake.plan(None);
        let (refused, reached) = r.resize(&pod, Some(40), None).await;
        assert_eq!(refused.error_name, ErrorName::MemoryInUse.as_str());
        assert_eq!(
            refused.message,
            "pod box: cannot shrink it to 40 MiB: its containers use the memory; 54 MiB is the least now"
        );
        assert_eq!((reached, lab.fake.steps()), (vec![], vec![]), "nothing was begun");
        assert_eq!(r.resize(&pod, Some(54), None).await, (done(), vec![54 << 10, 1]));
        // The host has no more.
        lab.fake.set_free(9 << 10);
        let (refused, _) = r.resize(&pod, Some(64), None).await;
        assert_eq!(refused.error_name, ErrorName::NotEnoughMemory.as_str());
        assert_eq!((domain(&lab, &pod), size(&pod)), (([54; 3], 1), (54, 1)));
    });
}

#[test]
fn a_guest_that_does_not_react_is_left_as_it_is_and_the_answer_says_so() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.roomy().await;
        lab.fake.stick(true);
        let (stuck, reached) = r.resize(&pod, Some(60), None).await;
        assert_eq!((stuck.result, stuck.error_name.as_str()), (JobResult::Failed, ErrorName::MemoryInUse.as_str()));
        assert_eq!(
            stuck.message,
            "pod box: it has 88 MiB and 1 vCPU, not 60 MiB and 1 vCPU: its guest can give no more back"
        );
        assert_eq!((reached, domain(&lab, &pod), size(&pod)), (vec![88 << 10, 1], ([88; 3], 1), (88, 1)));
        let (stuck, reached) = r.resize(&pod, Some(128), Some(2)).await;
        assert_eq!(stuck.error_name, ErrorName::GuestFailed.as_str());
        assert_eq!((reached, domain(&lab, &pod)), (vec![88 << 10, 1], ([88; 3], 1)), "nothing comes by surprise later");
        lab.fake.stick(false);
        assert_eq!(r.resize(&pod, Some(128), Some(2)).await, (done(), vec![128 << 10, 2]));
    });
}

#[test]
fn containers_that_take_memory_while_it_shrinks_keep_it() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.roomy().await;
        lab.fake.plan(None);
        let ask = |job: Job| Ask::Resize(SizeRequest { memory_mib: Some(30), vcpus: None, wait_seconds: 10, job });
        let job = r.engine.ask(&pod, 0, JobKind::Resize, ask).unwrap();
        while !lab.fake.steps().contains(&"domains.set_memory_target") {
            tokio::task::yield_now().await;
        }
        lab.fake.hold_memory(70 << 10);
        let outcome = job.wait().await;
        assert_eq!(outcome.error_name, ErrorName::MemoryInUse.as_str(), "{}", outcome.message);
        let ([owns, target, most], _) = domain(&lab, &pod);
        assert!(owns >= 70 && owns == target && owns == most, "{owns} {target} {most}");
        assert_eq!(size(&pod), (owns, 1));
    });
}

#[test]
fn vcpus_come_and_go_within_the_room_there_is() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.roomy().await;
        assert_eq!(r.resize(&pod, None, Some(4)).await, (done(), vec![88 << 10, 4]));
        assert_eq!(r.resize(&pod, None, Some(2)).await, (done(), vec![88 << 10, 2]));
        assert_eq!((domain(&lab, &pod).1, size(&pod)), (2, (88, 2)));
        let (refused, _) = r.resize(&pod, None, Some(5)).await;
        assert_eq!(refused.error_name, ErrorName::BadState.as_str());
        assert!(refused.message.contains("built with room for 4; stop it first"), "{}", refused.message);
        // One that says nothing has the room it was built with, and keeps it.
        let (job, plain) = r
            .create(ROOMY.replace("xenpod.org/max-cpus: \"4\"", "xenpod.org/cpus: \"2\"").replace("box", "plain"), true)
            .await;
        assert_eq!(job.wait().await, done());
        assert_eq!(r.resize(&plain, None, Some(1)).await.0, done());
        assert_eq!(r.resize(&plain, None, Some(2)).await.0, done());
        assert_eq!(r.resize(&plain, None, Some(3)).await.0.error_name, ErrorName::BadState.as_str());
    });
}

#[test]
fn a_resize_can_be_cancelled_and_ends_with_its_pod() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.roomy().await;
        lab.fake.stick(true);
        let begin = |mib: u64| {
            let ask = |job: Job| Ask::Resize(SizeRequest { memory_mib: Some(mib), vcpus: None, wait_seconds: 10, job });
            r.engine.ask(&pod, 0, JobKind::Resize, ask).unwrap()
        };
        let first = begin(100);
        let second = begin(110);
        assert_eq!(second.wait().await.error_name, ErrorName::BadState.as_str());
        first.cancel().unwrap();
        assert_eq!(first.wait().await.result, JobResult::Cancelled);
        assert_eq!((domain(&lab, &pod).0, size(&pod)), ([88; 3], (88, 1)));
        let third = begin(100);
        assert_eq!(r.stop(&pod).await, done());
        assert_eq!(third.wait().await.result, JobResult::Cancelled);
        assert_eq!(size(&pod), (100, 1), "the next start has what was wanted");
    });
}

#[test]
fn a_daemon_that_dies_in_a_resize_goes_on_with_it() {
    for number in 0.. {
        let lab = Lab::new();
        let crashed = lab.run(async |r| {
            let pod = r.roomy().await;
            lab.fake.plan(Some(Fault::CrashAfter(number)));
            tokio::select! {
                biased;
                () = lab.fake.crash() => true,
                _ = r.resize(&pod, Some(64), Some(2)) => false,
            }
        });
        lab.fake.plan(None);
        if !crashed {
            assert!(number > 3, "only {number} steps");
            break;
        }
        lab.run(async |r| {
            let pod = r.engine.find("box").unwrap();
            until(&pod, PodState::Running).await;
            let mut watch = pod.watch();
            watch.wait_for(|s| s.record.resize.is_none()).await.unwrap();
            assert_eq!((domain(&lab, &pod), size(&pod)), (([64; 3], 2), (64, 2)), "after step {number}");
            assert_eq!(r.remove(&pod, true).await, done());
        });
    }
}

#[test]
fn labels_and_annotations_change_and_are_kept() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.roomy().await;
        let change = Description::Labels(map(&[("app", "shop"), ("new", "")]), vec!["tier".into(), "none".into()]);
        r.say(&pod, change).await.unwrap();
        r.say(&pod, Description::Annotations(map(&[("note", "any text, at length")]), Vec::new())).await.unwrap();
        let bad = Description::Labels(map(&[("app", "not a word")]), Vec::new());
        let failure = r.say(&pod, bad).await.unwrap_err();
        assert_eq!(failure.name(), ErrorName::InvalidArgs);
        assert!(failure.to_string().starts_with("pod box: label app: \"not a word\" is not"), "{failure}");
        for change in [
            Description::Annotations(map(&[("xenpod.org/memory", "1Gi")]), Vec::new()),
            Description::Annotations(map(&[]), vec!["xenpod.org/max-cpus".into()]),
        ] {
            let failure = r.say(&pod, change).await.unwrap_err();
            assert!(failure.to_string().contains("is decided when a pod is made"), "{failure}");
        }
    });
    lab.run(async |r| {
        let spec = r.engine.find("box").unwrap().status().record.spec.clone();
        assert_eq!(spec.labels, map(&[("app", "shop"), ("new", "")]));
        assert_eq!(spec.annotations, map(&[("note", "any text, at length"), ("xenpod.org/max-cpus", "4")]));
    });
}

#[test]
fn files_that_say_a_pods_labels_say_the_new_ones() {
    let lab = Lab::new();
    lab.run(async |r| {
        let volume = "  volumes:\n  - {name: facts, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}\n";
        let (job, pod) = r.create(format!("{ROOMY}{volume}"), true).await;
        assert_eq!(job.wait().await, done());
        let said = || {
            let file = lab.fake.files().into_iter().find(|(path, _)| path == "facts/labels").unwrap().1;
            String::from_utf8(file).unwrap()
        };
        assert_eq!(said(), "app=\"web\"\ntier=\"back\"");
        r.say(&pod, Description::Labels(map(&[("app", "shop")]), vec!["tier".into()])).await.unwrap();
        assert_eq!(said(), "app=\"shop\"");
    });
}

#[test]
fn a_pod_has_one_name_at_a_time() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.roomy().await;
        let other = r.started("other", "sleep").await;
        assert_eq!(r.engine.rename(&pod, "other").await.unwrap_err().name(), ErrorName::PodExists);
        r.engine.rename(&pod, "shop").await.unwrap();
        assert_eq!(lab.fake.domain(pod.id).2, "shop");
        assert_eq!(&*r.engine.find("shop").unwrap().name, "shop");
        assert!(r.engine.find("box").is_err());
        // The old one is free, and goes to another.
        r.engine.rename(&other, "box").await.unwrap();
        r.engine.rename(&r.engine.find("shop").unwrap(), "shop").await.unwrap();
        // What cannot be done leaves the name.
        lab.fake.plan(Some(Fault::Fail(0)));
        assert_eq!(r.engine.rename(&other, "third").await.unwrap_err().name(), ErrorName::NotEnoughMemory);
        lab.fake.plan(None);
        assert_eq!(r.engine.find("box").unwrap().id, other.id);
        assert!(r.engine.find("third").is_err());
        assert_eq!(r.remove(&other, true).await, done());
        assert!(r.engine.find("box").is_err());
    });
    lab.run(async |r| assert_eq!(r.engine.find("shop").unwrap().status().record.spec.name, "shop"));
}

#[test]
fn limits_change_while_a_container_runs_unless_they_are_too_tight() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = r.roomy().await;
        let resources = || pod.status().record.spec.containers[0].resources.clone();
        let change = LimitChange { memory_limit: Some(32 << 20), cpu_limit_milli: Some(0), ..LimitChange::default() };
        r.limit(&pod, change).await.unwrap();
        assert_eq!((resources().memory_limit, resources().cpu_limit_milli), (Some(32 << 20), None));
        let got = lab.fake.limits("main").unwrap();
        assert_eq!((got.memory_max, got.cpu_quota_us), (32 << 20, 0));
        let tight = LimitChange { memory_limit: Some(1 << 20), ..LimitChange::default() };
        let failure = r.limit(&pod, tight).await.unwrap_err();
        assert_eq!(
            (failure.name(), failure.to_string().as_str()),
            (ErrorName::MemoryInUse, "pod box: container main uses more")
        );
        assert_eq!(resources().memory_limit, Some(32 << 20), "as it was");
        let wrong = LimitChange { memory_request: Some(64 << 20), ..LimitChange::default() };
        assert_eq!(r.limit(&pod, wrong).await.unwrap_err().name(), ErrorName::InvalidArgs);
    });
}
