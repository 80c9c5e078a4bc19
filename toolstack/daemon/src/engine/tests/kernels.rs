//! Pods and their kernels.

use xenpod_api::error::ErrorName;
use xenpod_api::state::PodState;

use super::*;
use crate::engine::Failure;
use crate::kernels::testing::{config, fd, import, kernel};
use crate::kernels::{Import, PACKAGED};

fn with(name: &str, annotations: &str) -> String {
    let text = manifest(name, "Never", &[("main", "app", "sleep")]);
    text.replacen("  name: ", &format!("  annotations: {{{annotations}}}\n  name: "), 1)
}

async fn bring(r: &Running, name: &str, default: bool) -> String {
    let job = r.engine.import_kernel(import(name, &kernel("6.1.5-test", name)), default).unwrap();
    assert_eq!(job.wait().await, done(), "{name}");
    r.engine.kernel(name).unwrap().digest.clone()
}

fn digest(pod: &PodHandle) -> String {
    pod.status().record.kernel_digest.clone()
}

#[test]
fn a_pod_pins_its_kernel_whatever_the_default_becomes() {
    let lab = Lab::new();
    let (old, mine) = lab.run(async |r| {
        let old = r.started("old", "sleep").await;
        let packaged = r.engine.kernel(PACKAGED).unwrap().digest.clone();
        assert_eq!((digest(&old), old.status().record.kernel_name.clone()), (packaged.clone(), PACKAGED.to_string()));
        let mine = bring(&r, "mine", true).await;
        assert_eq!((digest(&old), old.status().state()), (packaged.clone(), PodState::Running));
        let new = r.started("new", "sleep").await;
        assert_eq!(digest(&new), mine);
        assert_eq!(r.stop(&old).await, done());
        (packaged, mine)
    });
    // The package brings another kernel, and the daemon is started again.
    std::fs::write(lab.dir.path().join("vmlinux"), kernel("6.1.6-test", "upgraded")).unwrap();
    lab.run(async |r| {
        let pod = r.engine.find("old").unwrap();
        assert_ne!(r.engine.kernel(PACKAGED).unwrap().digest, old);
        assert_eq!(r.start(&pod).await, done());
        assert_eq!(digest(&pod), old);
        assert_eq!(r.engine.users_of_kernel(&old, |_| true), ["old"]);
        assert_eq!(r.engine.users_of_kernel(&mine, |_| true), ["new"]);
        assert_eq!(r.engine.prune_kernels().await, 0, "a pod pins it");
        assert_eq!(r.remove(&pod, true).await, done());
        for _ in 0..100 {
            if r.engine.kernel(&old).is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("nobody pins it, and it stays");
    });
}

#[test]
fn a_kernel_in_use_is_not_removed() {
    let lab = Lab::new();
    lab.run(async |r| {
        let mine = bring(&r, "mine", false).await;
        let (job, pod) = r.create(with("web", "xenpod.org/kernel: mine"), false).await;
        assert_eq!(job.wait().await, done());
        assert_eq!((digest(&pod), pod.status().record.kernel_name.as_str()), (mine.clone(), "mine"));
        let error = r.engine.remove_kernel(&mine).await.unwrap_err();
        assert_eq!(
            (error.name(), error.to_string().as_str()),
            (ErrorName::KernelInUse, "kernel mine is used by web; remove them first")
        );
        assert_eq!(r.remove(&pod, true).await, done());
        r.engine.remove_kernel(&mine).await.unwrap();
        let error = r.engine.remove_kernel(&mine).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::NoSuchKernel);
    });
}

#[test]
fn an_unknown_kernel_and_parameters_that_are_not_allowed_are_told_with_their_place() {
    let lab = Lab::new();
    lab.run(async |r| {
        for (annotations, want) in [
            ("xenpod.org/kernel: mine", "metadata.annotations.xenpod.org/kernel: no kernel has the name or digest \"mine\""),
            (
                "xenpod.org/kernel-args: quiet init=/bin/sh",
                "metadata.annotations.xenpod.org/kernel-args: \"init=/bin/sh\" is not allowed on this host; allowed are quiet, debug, ",
            ),
        ] {
            let refused = r.engine.create(request(with("web", annotations), 0, false)).await;
            let Err(Failure::Manifest(error)) = refused else { panic!("{annotations}: not refused") };
            let text = error.to_string();
            assert!(text.starts_with(&format!("the manifest was refused: line 4: {want}")), "{text}");
            assert_eq!(error.name(), ErrorName::ManifestInvalid);
        }
        assert!(r.engine.list().is_empty() && lab.records() == 0 && lab.fake.inventory().is_empty());
        let (job, pod) = r.create(with("web", "xenpod.org/kernel-args: quiet loglevel=3"), false).await;
        assert_eq!((job.wait().await, pod.status().record.spec.kernel_args.join(" ")), (done(), "quiet loglevel=3".into()));
    });
}

#[test]
fn a_pod_of_an_older_daemon_gets_the_default_when_it_starts_again() {
    let lab = Lab::new();
    let id = lab.run(async |r| {
        let pod = r.started("web", "sleep").await;
        assert_eq!(r.stop(&pod).await, done());
        pod.id
    });
    let file = lab.dir.path().join("pods").join(id.to_string()).join("record.json");
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    record["kernel_digest"] = "00".repeat(32).into();
    record.as_object_mut().unwrap().remove("kernel_name");
    std::fs::write(&file, record.to_string()).unwrap();
    lab.run(async |r| {
        let pod = r.engine.find("web").unwrap();
        assert_eq!(r.start(&pod).await, done());
        assert_eq!(digest(&pod), r.engine.kernel(PACKAGED).unwrap().digest);
        assert_eq!(r.stop(&pod).await, done());
    });
    // One that pins what is not here says so.
    record["kernel_digest"] = format!("sha256:{}", "00".repeat(32)).into();
    std::fs::write(&file, record.to_string()).unwrap();
    lab.run(async |r| {
        let outcome = r.start(&r.engine.find("web").unwrap()).await;
        assert_eq!(outcome.error_name, ErrorName::NoSuchKernel.as_str());
        assert!(outcome.message.contains("is not here any more; import the same bytes again"), "{}", outcome.message);
    });
}

#[test]
fn an_import_is_a_job_that_fails_with_names() {
    let lab = Lab::new();
    lab.run(async |mut r| {
        let lacking =
            Import { config: Some(fd(config("6.1.5", &["CONFIG_INET=n"]))), ..import("bad", &kernel("6.1.5", "x")) };
        let outcome = r.engine.import_kernel(lacking, false).unwrap().wait().await;
        assert_eq!(outcome.error_name, ErrorName::KernelInvalid.as_str());
        assert!(outcome.message.contains("CONFIG_INET=y (the network)"), "{}", outcome.message);
        let job = r.engine.import_kernel(import("late", &kernel("6.1.5", "x")), false).unwrap();
        job.cancel().unwrap();
        assert_eq!(job.wait().await.result, JobResult::Cancelled);
        assert!(r.engine.kernel("late").is_err());
        let error = r.engine.import_kernel(import("a b", b"x"), false).err().unwrap();
        assert_eq!(error.name(), ErrorName::InvalidArgs);
        while r.changes.try_recv().is_ok() {}
        let mine = bring(&r, "mine", true).await;
        let packaged = r.engine.kernel(PACKAGED).unwrap().digest.clone();
        let mut told = Vec::new();
        while let Ok(change) = r.changes.try_recv() {
            told.extend(
                matches!(change, Change::KernelNew(_) | Change::Kernel(_) | Change::KernelGone(_)).then_some(change),
            );
        }
        assert_eq!(told, [Change::KernelNew(mine.clone()), Change::Kernel(packaged), Change::Kernel(mine)]);
    });
}
