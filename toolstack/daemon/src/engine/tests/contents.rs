//! What is given beside a manifest, from the call to the guest.

use std::sync::Arc;

use xenpod_api::error::ErrorName;
use xenpod_api::spec::{SourceKind, SourceRef};
use xenpod_api::state::{JobResult, PodState};

use super::super::contents::{Contents, Keys};
use super::super::jobs::JobKind;
use super::super::pod::Ask;
use super::{Lab, done, request};

const HUSH: &[u8] = b"a-word-that-stands-nowhere-else";

fn manifest() -> String {
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  restartPolicy: Never\n  \
     volumes: [{name: keys, secret: {secretName: db, defaultMode: 0400}}, {name: big, emptyDir: {sizeLimit: 8Mi}}]\n  containers:\n  \
     - name: main\n    image: app\n    command: [sleep]\n    volumeMounts: [{name: keys, mountPath: /keys}]\n    \
     env: [{name: PW, valueFrom: {secretKeyRef: {name: db, key: pw}}}]\n"
        .into()
}

fn secret() -> Contents {
    let mut contents = Contents::default();
    let source = SourceRef { kind: SourceKind::Secret, name: "db".into() };
    contents.add(source, Keys::from([("pw".to_string(), Arc::from(HUSH))])).unwrap();
    contents
}

#[test]
fn a_pod_without_what_it_needs_is_not_made() {
    let lab = Lab::new();
    lab.run(async |r| {
        let failure = r.engine.create(request(manifest(), 0, true)).await.err().unwrap();
        assert_eq!(failure.name(), ErrorName::ContentMissing);
        assert!(failure.to_string().contains("volume \"keys\" needs secret \"db\""), "{failure}");
        assert!(r.engine.list().is_empty());
    });
    assert_eq!((lab.records(), lab.fake.inventory()), (0, Vec::new()));
}

#[test]
fn the_guest_gets_it_once_and_nothing_of_it_is_kept() {
    let lab = Lab::new();
    lab.run(async |r| {
        let with = super::super::CreateRequest { contents: secret(), ..request(manifest(), 0, false) };
        let (job, pod) = r.engine.create(with).await.unwrap();
        assert_eq!(job.wait().await, done());
        assert!(lab.fake.files().is_empty(), "nothing before the start");
        assert_eq!(r.start(&pod).await, done());
        let files = lab.fake.files();
        assert_eq!(files.iter().map(|(p, _)| p.as_str()).collect::<Vec<_>>(), ["_env/secret/db/pw", "keys/pw"]);
        assert!(files.iter().all(|(_, data)| data == HUSH));
        let folder = lab.dir.path().join("pods").join(pod.id.to_string());
        assert!(folder.join("volume-big.img").exists(), "a disk for the limit");

        assert_eq!(r.stop(&pod).await, done());
        assert!(!folder.join("volume-big.img").exists());
        let again = r.start(&pod).await;
        assert_eq!((again.result, again.error_name.as_str()), (JobResult::Failed, ErrorName::ContentMissing.as_str()));
        assert_eq!(pod.status().state(), PodState::Stopped, "nothing was done");
        let wrong = r.ask(&pod, JobKind::Start, |job| {
            let mut contents = Contents::default();
            let source = SourceRef { kind: SourceKind::ConfigMap, name: "db".into() };
            contents.add(source, Keys::new()).unwrap();
            Ask::Start { contents, job }
        });
        assert_eq!(wrong.await.error_name, ErrorName::ContentMissing.as_str());
        let given = r.ask(&pod, JobKind::Start, |job| Ask::Start { contents: secret(), job });
        assert_eq!(given.await, done());
        assert_eq!(pod.status().state(), PodState::Running);

        let mut left = vec![lab.dir.path().to_owned()];
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(std::fs::read_dir(&path).unwrap().map(|e| e.unwrap().path()));
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(!bytes.windows(HUSH.len()).any(|w| w == HUSH), "{} holds it", path.display());
            }
        }
        let shown = format!("{:?}", pod.status().record);
        assert!(!shown.contains("a-word-that"), "{shown}");
        assert_eq!(r.remove(&pod, true).await, done());
    });
    assert_eq!(lab.fake.inventory(), Vec::<String>::new());
}
