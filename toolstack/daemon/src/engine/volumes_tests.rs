use std::sync::Arc;

use super::*;

fn pod(text: &str) -> PodSpec {
    xenpod_api::manifest::parse(&format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: web, labels: {{app: w}}}}\nspec:\n{text}"
    ))
    .unwrap()
}

/// Kind, name, and keys with their values.
type Source<'a> = (SourceKind, &'a str, &'a [(&'a str, &'a [u8])]);

fn contents(sources: &[Source<'_>]) -> Contents {
    let mut all = Contents::default();
    for (kind, name, keys) in sources {
        let keys = keys.iter().map(|(k, v)| (k.to_string(), Arc::from(*v))).collect();
        all.add(SourceRef { kind: *kind, name: name.to_string() }, keys).unwrap();
    }
    all
}

fn created(op: &Op) -> &message::CreateVolume {
    match op {
        Op::CreateVolume(volume) => volume,
        other => panic!("{other:?}"),
    }
}

#[test]
fn empty_directories_are_where_they_were_asked_for() {
    let pod = pod(
        "  volumes:\n  - {name: a, emptyDir: {}}\n  - {name: b, emptyDir: {medium: Memory, sizeLimit: 2Mi}}\n  \
                   - {name: c, emptyDir: {sizeLimit: 8Mi}}\n  - {name: d, emptyDir: {sizeLimit: 16Mi}}\n  containers: [{name: m, image: i}]\n",
    );
    assert_eq!(own_disks(&pod).collect::<Vec<_>>(), [("c", 8 << 20), ("d", 16 << 20)]);
    let ops = requests(&pod, &Contents::default(), Some(2), 3);
    let sources: Vec<_> = ops.iter().map(|op| created(op).source.clone().unwrap()).collect();
    let scratch = |disk: &str, directory: &str| {
        create_volume::Source::Scratch(message::ScratchDirectory { disk: disk.into(), directory: directory.into() })
    };
    let tmpfs = |size| create_volume::Source::Tmpfs(message::Tmpfs { size, mode: 0 });
    assert_eq!(sources, [scratch("xvdc", "v-a"), tmpfs(2 << 20), scratch("xvdd", "v-c"), scratch("xvde", "v-d")]);
    let ops = requests(&pod, &Contents::default(), None, 2);
    assert_eq!(created(&ops[0]).source, Some(tmpfs(0)), "in memory when the writable layers are");
    assert_eq!(created(&ops[2]).source, Some(scratch("xvdc", "v-c")));
}

#[test]
fn a_group_and_an_owner_are_handed_on() {
    let text = "  securityContext: {fsGroup: 7}\n  volumes:\n  - {name: a, emptyDir: {}}\n  - {name: s, secret: {secretName: db, defaultMode: 0400}}\n  \
                containers: [{name: m, image: i}]\n";
    let db = contents(&[(SourceKind::Secret, "db", &[("pw", b"x")])]);
    let ops = requests(&pod(text), &db, Some(1), 2);
    let volume = created(&ops[0]);
    assert_eq!((volume.uid, volume.gid, volume.mode), (0, 7, 0o2777));
    let Some(create_volume::Source::Files(files)) = &created(&ops[1]).source else { panic!("{ops:?}") };
    assert_eq!((files.files[0].uid, files.files[0].gid, files.files[0].mode), (0, 7, 0o440));
    let mut owned = pod(text);
    owned.volumes[1].owner = Some((33, 34));
    let file = &super::files(&owned, &owned.volumes[1], &db)[0];
    assert_eq!((file.uid, file.gid), (33, 34));
}

#[test]
fn keys_become_files_and_the_later_one_of_a_path_counts() {
    let pod = pod(
        "  volumes:\n  - name: p\n    projected:\n      defaultMode: 0440\n      sources:\n      - configMap: {name: app}\n      \
         - secret: {name: db, items: [{key: pw, path: x/pw, mode: 0400}, {key: a, path: a}]}\n      \
         - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}\n  containers: [{name: m, image: i}]\n",
    );
    let given = contents(&[
        (SourceKind::ConfigMap, "app", &[("a", b"map"), ("b", b"B")]),
        (SourceKind::Secret, "db", &[("pw", b"secret"), ("a", b"later")]),
    ]);
    let files = super::files(&pod, &pod.volumes[0], &given);
    let seen: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.data.as_slice(), f.mode)).collect();
    assert_eq!(
        seen,
        [("a", &b"later"[..], 0o440), ("b", b"B", 0o440), ("labels", b"app=\"w\"", 0o440), ("x/pw", b"secret", 0o400)]
    );
}

#[test]
fn long_files_travel_in_portions_and_arrive_whole() {
    let long: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    let file = |path: &str, data: &[u8]| message::File {
        path: path.into(),
        data: data.to_vec(),
        mode: 0o600,
        uid: 1,
        gid: 2,
        append: false,
    };
    let ops = filled("v", (0, 0), 0o755, vec![file("a", b""), file("b", &long), file("c", b"end")]);
    let (mut whole, mut count) = (BTreeMap::<String, Vec<u8>>::new(), 0);
    for op in &ops {
        let files = match op {
            Op::CreateVolume(v) => match &v.source {
                Some(create_volume::Source::Files(files)) => {
                    assert!(files.size > 600_000, "room to replace the largest: {}", files.size);
                    &files.files
                }
                other => panic!("{other:?}"),
            },
            Op::WriteFiles(w) => &w.files,
            other => panic!("{other:?}"),
        };
        assert!(files.iter().map(|f| f.data.len() + 64).sum::<usize>() <= PORTION + 64);
        for file in files {
            assert_eq!(file.append, whole.contains_key(&file.path), "{}", file.path);
            assert_eq!((file.mode, file.uid, file.gid), (0o600, 1, 2));
            whole.entry(file.path.clone()).or_default().extend(&file.data);
            count += 1;
        }
    }
    assert_eq!((ops.len(), count), (3, 5));
    assert_eq!(whole, BTreeMap::from([("a".into(), vec![]), ("b".into(), long), ("c".into(), b"end".to_vec())]));
}

#[test]
fn variables_are_read_in_the_guest_and_facts_are_not_expanded() {
    let mut pod = pod(
        "  containers:\n  - name: m\n    image: i\n    envFrom: [{prefix: P_, configMapRef: {name: app}}]\n    env:\n    \
         - {name: PW, valueFrom: {secretKeyRef: {name: db, key: pw}}}\n    - {name: L, valueFrom: {fieldRef: {fieldPath: \"metadata.labels['app']\"}}}\n    \
         - {name: URL, value: 'db://$(PW)'}\n",
    );
    pod.labels.insert("app".into(), "a$(PW)".into());
    let given = contents(&[
        (SourceKind::ConfigMap, "app", &[("a", b"1"), ("b", b"2")]),
        (SourceKind::Secret, "db", &[("pw", b"x"), ("unused", b"y")]),
    ]);
    let ops = requests(&pod, &given, None, 1);
    let volume = created(&ops[0]);
    let Some(create_volume::Source::Files(files)) = &volume.source else { panic!("{ops:?}") };
    let paths: Vec<_> = files.files.iter().map(|f| (f.path.as_str(), f.mode)).collect();
    assert_eq!((volume.name.as_str(), volume.mode), ("_env", 0o700));
    assert_eq!(
        paths,
        [("configmap/app/a", 0o400), ("configmap/app/b", 0o400), ("secret/db/pw", 0o400)],
        "only what is used"
    );
    let all = variables(&pod, &pod.containers[0]);
    let place = |path: &str, optional| message::VolumeFile { volume: "_env".into(), path: path.into(), optional };
    let wanted = [
        ("P_", variable::Value::Directory(place("configmap/app", true))),
        ("PW", variable::Value::File(place("secret/db/pw", false))),
        ("L", variable::Value::Text("a$$(PW)".into())),
        ("URL", variable::Value::Text("db://$(PW)".into())),
    ];
    for (have, (name, value)) in all.iter().zip(wanted) {
        assert_eq!((have.name.as_str(), have.value.as_ref().unwrap()), (name, &value));
    }
    assert!(!format!("{all:?}").contains("\"x\""), "no value of a secret is in a request for a container");
}
