use xenpod_api::error::ErrorName;

use super::*;

/// A pod whose `spec` begins with what is given.
fn pod(spec: &str) -> PodSpec {
    let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n{spec}");
    xenpod_api::manifest::parse(&text).unwrap()
}

fn source(kind: SourceKind, name: &str) -> SourceRef {
    SourceRef { kind, name: name.into() }
}

/// Kind, name, and keys with their values.
type Source<'a> = (SourceKind, &'a str, &'a [(&'a str, &'a [u8])]);

fn given(sources: &[Source<'_>]) -> Contents {
    let mut contents = Contents::default();
    for (kind, name, keys) in sources {
        let keys = keys.iter().map(|(k, v)| (k.to_string(), Arc::from(*v))).collect();
        contents.add(source(*kind, name), keys).unwrap();
    }
    contents
}

/// The text and the name of the refusal.
fn refusal(contents: &Contents, pod: &PodSpec) -> (String, ErrorName) {
    let failure = contents.check(pod).unwrap_err();
    (failure.to_string(), failure.name())
}

const VOLUME: &str = "  volumes: [{name: conf, configMap: {name: app, items: [{key: a, path: x/a}]}}]\n  containers: [{name: main, image: app}]\n";
const ENV: &str = "  containers:\n  - name: main\n    image: app\n    env: [{name: P, valueFrom: {secretKeyRef: {name: db, key: pw}}}]\n";

use SourceKind::{ConfigMap, Secret};

#[test]
fn what_is_missing_is_named_with_who_needs_it_and_how_to_give_it() {
    let none = Contents::default();
    assert_eq!(
        refusal(&none, &pod(VOLUME)),
        (
            "pod web: volume \"conf\" needs config map \"app\", which was not given; give it with the option config_maps \
             (--config-map app=... of xenpodctl)"
                .into(),
            ErrorName::ContentMissing
        )
    );
    let (text, _) = refusal(&given(&[(ConfigMap, "app", &[("b", b"1")])]), &pod(VOLUME));
    assert!(
        text.starts_with("pod web: volume \"conf\" needs key \"a\" of config map \"app\", which was not given; "),
        "{text}"
    );
    // A config map is no secret.
    let (text, name) = refusal(&given(&[(ConfigMap, "db", &[("pw", b"x")])]), &pod(ENV));
    assert_eq!(name, ErrorName::ContentMissing);
    assert!(
        text.starts_with("pod web: variable P of container \"main\" needs secret \"db\", which was not given; "),
        "{text}"
    );
    assert!(text.contains("option secrets (--secret db="), "{text}");
}

#[test]
fn what_is_optional_may_be_missing() {
    for spec in
        [VOLUME.replace("name: app,", "name: app, optional: true,"), ENV.replace("key: pw", "key: pw, optional: true")]
    {
        assert!(Contents::default().check(&pod(&spec)).is_ok(), "{spec}");
    }
    let all = "  containers: [{name: main, image: app, envFrom: [{secretRef: {name: db, optional: true}}]}]\n";
    assert!(Contents::default().check(&pod(all)).is_ok());
    assert!(
        refusal(&Contents::default(), &pod(&all.replace(", optional: true", "")))
            .0
            .contains("envFrom of container \"main\"")
    );
}

#[test]
fn what_cannot_be_a_variable_is_refused_without_being_shown() {
    for (value, why) in [
        (&b"a\0hush"[..], "holds a NUL character"),
        (b"\xff\xfehush", "is not UTF-8"),
        (&[b'h'; 140_000], "longer than"),
    ] {
        let (text, name) = refusal(&given(&[(Secret, "db", &[("pw", value)])]), &pod(ENV));
        assert_eq!(name, ErrorName::InvalidArgs);
        assert!(text.contains("key \"pw\" of secret \"db\"") && text.contains(why) && !text.contains("hush"), "{text}");
    }
}

#[test]
fn files_and_directories_do_not_stand_in_each_others_way() {
    let twice = VOLUME.replace("[{key: a, path: x/a}]", "[{key: a, path: x}, {key: a, path: x/y}]");
    let contents = given(&[(ConfigMap, "app", &[("a", b"1")])]);
    assert_eq!(
        refusal(&contents, &pod(&twice)).0,
        "pod web: volume \"conf\" would have \"x\" both as a file and, for \"x/y\", as a directory"
    );
    let part = VOLUME.replace("image: app}", "image: app, volumeMounts: [{name: conf, mountPath: /c, subPath: y}]}");
    assert_eq!(
        refusal(&contents, &pod(&part)).0,
        "pod web: volume \"conf\" has no \"y\", the subPath that container \"main\" mounts"
    );
    assert!(contents.check(&pod(&part.replace("subPath: y", "subPath: x/a"))).is_ok());
    assert!(contents.check(&pod(&part.replace("subPath: y", "subPath: x"))).is_ok());
}

#[test]
fn names_keys_and_sizes_have_bounds() {
    let mut contents = Contents::default();
    let mut add = |name: &str, key: &str, size: usize| {
        let keys = Keys::from([(key.to_string(), Arc::from(vec![0; size]))]);
        contents.add(source(Secret, name), keys).map_err(|f| f.to_string())
    };
    assert_eq!(add("a", "k", MAX_SOURCE), Ok(()));
    assert_eq!(add("b", "k", MAX_SOURCE + 1).unwrap_err(), "secret \"b\" has 1048577 bytes; the limit is 1048576");
    assert!(add("A_b", "k", 1).unwrap_err().contains("has not the form of a name"));
    for key in ["", "..", "..x", "a/b", "a b"] {
        assert!(add("c", key, 1).unwrap_err().contains("is not a key"), "{key}");
    }
    for i in 1..16 {
        add(&format!("n{i}"), "k", MAX_SOURCE).unwrap();
    }
    assert_eq!(
        add("last", "k", 1).unwrap_err(),
        "secret \"last\" makes the whole 16777217 bytes; the limit is 16777216"
    );
}

#[test]
fn what_is_written_of_it_is_its_name() {
    let shown = format!("{:?}", given(&[(Secret, "db", &[("pw", b"hush")])]));
    assert_eq!(shown, "[\"secret \\\"db\\\"\"]");
}
