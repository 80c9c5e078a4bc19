//! Volumes, and what of config maps and secrets becomes files and variables.

use super::*;

/// `WEB` with other volumes, mounted at /work by the name of the first.
fn with_volumes(volumes: &str) -> String {
    with("  - name: work\n    emptyDir: {medium: Memory, sizeLimit: 4Mi}\n", volumes)
}

#[test]
fn volumes_of_given_files() {
    use crate::spec::{Field, FileSource, KeyItem, SourceKind, SourceRef};
    let text = with_volumes(
        "  - name: work\n    secret: {secretName: db, defaultMode: 0400, items: [{key: pw, path: a/pw, mode: 0o440}]}\n  \
         - {name: conf, configMap: {name: app.conf, optional: true, defaultMode: 384}}\n  \
         - {name: info, downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}\n",
    );
    let pod = parse(&text).unwrap();
    let source = |kind, name: &str| SourceRef { kind, name: name.into() };
    let items = vec![KeyItem { key: "pw".into(), path: "a/pw".into(), mode: Some(0o440) }];
    assert_eq!(
        pod.volumes[0].kind,
        VolumeKind::Files {
            default_mode: 0o400,
            sources: vec![FileSource::Keys { source: source(SourceKind::Secret, "db"), optional: false, items }],
        }
    );
    assert_eq!(
        pod.volumes[1].kind,
        VolumeKind::Files {
            default_mode: 0o600,
            sources: vec![FileSource::Keys {
                source: source(SourceKind::ConfigMap, "app.conf"),
                optional: true,
                items: Vec::new()
            }],
        }
    );
    let VolumeKind::Files { default_mode: 0o644, sources } = &pod.volumes[2].kind else { panic!("{:?}", pod.volumes) };
    assert_eq!(sources[..], [FileSource::Field { path: "name".into(), field: Field::Name, mode: None }]);
}

#[test]
fn volumes_that_cannot_be_are_refused_with_their_place() {
    for (volumes, want) in [
        (
            "  - {name: work, configMap: {name: App}}\n",
            "line 26: spec.volumes[0].configMap.name: \"App\" is not the name of a config map",
        ),
        (
            "  - {name: work, secret: {}}\n",
            "line 26: spec.volumes[0].secret.secretName: \"\" is not the name of a secret",
        ),
        (
            "  - {name: work, secret: {secretName: a, items: [{key: a/b, path: x}]}}\n",
            "line 26: spec.volumes[0].secret.items[0].key: \"a/b\" is not a key",
        ),
        (
            "  - {name: work, secret: {secretName: a, items: [{key: a, path: ../x}]}}\n",
            "line 26: spec.volumes[0].secret.items[0].path: \"../x\" is not a path within the volume",
        ),
        (
            "  - {name: work, configMap: {name: a, defaultMode: 0o1777}}\n",
            "line 26: spec.volumes[0].configMap.defaultMode: 1023 is not a mode: 0 to 0777 (511)",
        ),
        (
            "  - {name: work, projected: {sources: [{serviceAccountToken: {path: t}}]}}\n",
            "line 26: spec.volumes[0].projected.sources[0].serviceAccountToken: is not supported; remove it",
        ),
        (
            "  - {name: work, downwardAPI: {items: [{path: c, resourceFieldRef: {resource: limits.cpu}}]}}\n",
            "line 26: spec.volumes[0].downwardAPI.items[0].resourceFieldRef.containerName: \"\" is no container of this pod",
        ),
        (
            "  - {name: work, downwardAPI: {items: [{path: c, fieldRef: {fieldPath: status.hostIP}}]}}\n",
            "line 26: spec.volumes[0].downwardAPI.items[0].fieldRef.fieldPath: \"status.hostIP\" is not supported; there are metadata.name",
        ),
        (
            "  - {name: work, emptyDir: {sizeLimit: 4Ki}}\n",
            "line 26: spec.volumes[0].emptyDir.sizeLimit: 4096 bytes is out of bounds",
        ),
        (
            "  - {name: work, emptyDir: {medium: HugePages}}\n",
            "line 26: spec.volumes[0].emptyDir.medium: \"HugePages\" is not supported",
        ),
        (
            "  - {name: work, emptyDir: {}, secret: {secretName: a}}\n",
            "line 26: spec.volumes[0]: has more than one kind",
        ),
    ] {
        let found = problems(&with_volumes(volumes));
        assert!(found.iter().any(|p| p.starts_with(want)), "{volumes}: {found:?}");
    }
    let disk = parse(&with_volumes("  - {name: work, emptyDir: {sizeLimit: 20M}}\n")).unwrap();
    assert_eq!(disk.volumes[0].kind, VolumeKind::EmptyDirDisk { size_limit: 20_000_000 });
    let found = problems(&with("readOnly: true}", "subPath: a/../b}"));
    assert_eq!(
        found,
        ["line 21: spec.containers[0].volumeMounts[0].subPath: \"a/../b\" is not a path within the volume"]
    );
}

#[test]
fn a_volume_of_no_kind_is_an_empty_directory_and_a_kind_that_there_is_not_is_refused() {
    for volume in
        ["{name: work}", "{name: work, emptyDir: null}", "{name: work, emptyDir: {}}", "{name: work, hostPath: null}"]
    {
        let pod = parse(&with_volumes(&format!("  - {volume}\n"))).unwrap();
        assert_eq!(pod.volumes[0].kind, VolumeKind::EmptyDirScratch, "{volume}");
        assert_eq!(pod.volumes[0].name, pod.containers[0].mounts[0].volume);
    }
    for kind in ["hostPath", "persistentVolumeClaim", "ephemeral", "image", "nfs"] {
        let found = problems(&with_volumes(&format!("  - {{name: work, {kind}: {{}}}}\n")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with(&format!("line 26: spec.volumes[0].{kind}: is not supported; remove it")),
            "{found:?}"
        );
    }
    let both = problems(&with_volumes("  - {name: work, emptyDir: {}, hostPath: {}}\n"));
    assert!(both.len() == 1 && both[0].starts_with("line 26: spec.volumes[0].hostPath: is not supported"), "{both:?}");
    for source in ["serviceAccountToken", "clusterTrustBundle"] {
        let found =
            problems(&with_volumes(&format!("  - {{name: work, projected: {{sources: [{{{source}: {{}}}}]}}}}\n")));
        let want = format!("line 26: spec.volumes[0].projected.sources[0].{source}: is not supported");
        assert!(found.len() == 1 && found[0].starts_with(&want), "{found:?}");
    }
    let probe = problems(&with("    image:", "    livenessProbe: {grpc: {}, exec: {command: [a]}}\n    image:"));
    assert!(
        probe.len() == 1 && probe[0].starts_with("line 13: spec.containers[0].livenessProbe.grpc: is not supported"),
        "{probe:?}"
    );
}

#[test]
fn whose_a_volume_is() {
    let owner = |text: &str| with("    example.org/free: text", &format!("    xenpod.org/volume-owner: \"{text}\""));
    assert_eq!(parse(&owner("work=33")).unwrap().volumes[0].owner, Some((33, 0)));
    assert_eq!(parse(&owner("work=33:34")).unwrap().volumes[0].owner, Some((33, 34)));
    let at = "line 8: metadata.annotations.xenpod.org/volume-owner: ";
    assert_eq!(problems(&owner("other=1")), [format!("{at}there is no volume \"other\" in spec.volumes")]);
    assert_eq!(problems(&owner("work=www")), [format!("{at}\"work=www\" is not VOLUME=UID or VOLUME=UID:GID")]);
}

#[test]
fn an_environment_that_is_put_together_in_the_guest() {
    use crate::spec::{Field, LateEnv, SourceKind, SourceRef};
    let source = |kind, name: &str| SourceRef { kind, name: name.into() };
    let text = with(
        "    env:\n",
        "    envFrom: [{prefix: P_, configMapRef: {name: app}}]\n    env:\n    \
         - {name: PW, valueFrom: {secretKeyRef: {name: db, key: pw, optional: true}}}\n    \
         - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n",
    );
    let pod = parse(&text).unwrap();
    let c = &pod.containers[0];
    assert!(c.env.is_empty());
    assert_eq!(c.command.as_deref().unwrap()[2], "$(PORT)", "expanded in the guest");
    let key =
        LateEnv::Key { name: "PW".into(), source: source(SourceKind::Secret, "db"), key: "pw".into(), optional: true };
    assert_eq!(
        c.late_env[..3],
        [
            LateEnv::All { prefix: "P_".into(), source: source(SourceKind::ConfigMap, "app"), optional: false },
            key,
            LateEnv::Field { name: "IP".into(), field: Field::PodIp },
        ]
    );
    assert_eq!(c.late_env[4], LateEnv::Value { name: "URL".into(), value: "http://localhost:$(PORT)/".into() });
    for (var, want) in [
        ("{name: A, valueFrom: {}}", "env[0].valueFrom: must have one of"),
        (
            "{name: A, valueFrom: {fileKeyRef: {key: a, path: b, volumeName: work}}}",
            "env[0].valueFrom.fileKeyRef: is not supported; remove it: variables come from config maps, secrets and facts about the pod",
        ),
        (
            "{name: A, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}",
            "env[0].value: and valueFrom exclude each other",
        ),
        (
            "{name: A, valueFrom: {fieldRef: {fieldPath: spec.x}}}",
            "env[0].valueFrom.fieldRef.fieldPath: \"spec.x\" is not supported",
        ),
        (
            "{name: A, valueFrom: {resourceFieldRef: {resource: x}}}",
            "env[0].valueFrom.resourceFieldRef.resource: \"x\" is not supported; there are limits.cpu",
        ),
    ] {
        let found = problems(&with("    env:\n", &format!("    env:\n    - {var}\n")));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found.iter().any(|p| p.starts_with(&format!("line 16: spec.containers[0].{want}"))),
            "{var}: {found:?}"
        );
    }
}

#[test]
fn limits_and_requests_as_facts() {
    use crate::spec::{FileSource, LateEnv};
    let fact = |resource: &str, more: &str| {
        let var = format!("    - {{name: A, valueFrom: {{resourceFieldRef: {{resource: {resource}{more}}}}}}}\n");
        let pod = parse(&with("    env:\n", &format!("    env:\n{var}"))).unwrap();
        let LateEnv::Field { field, .. } = &pod.containers[0].late_env[0] else { panic!("{pod:?}") };
        field.value(&pod)
    };
    assert_eq!(fact("limits.cpu", ""), "1");
    assert_eq!(fact("limits.cpu", ", divisor: 1m"), "1000");
    assert_eq!(fact("limits.memory", ""), "16777216");
    assert_eq!(fact("limits.memory", ", divisor: 3Mi"), "6", "rounded up");
    assert_eq!(fact("requests.memory", ", divisor: 1"), "16777216", "the limit stands for a request that is not given");
    let of_pod = with("      limits: {cpu: 1, memory: 16Mi}\n", "      requests: {cpu: 250m}\n").replace(
        "    env:\n",
        "    env:\n    - {name: A, valueFrom: {resourceFieldRef: {containerName: server, resource: limits.memory, divisor: 1Mi}}}\n    \
         - {name: B, valueFrom: {resourceFieldRef: {resource: requests.cpu, divisor: 1m}}}\n",
    );
    let pod = parse(&of_pod).unwrap();
    let values: Vec<String> = pod.containers[0].late_env[..2]
        .iter()
        .map(|v| if let LateEnv::Field { field, .. } = v { field.value(&pod) } else { String::new() })
        .collect();
    assert_eq!(values, ["32", "250"], "without a limit: all that the pod has");

    let file = |container: &str| {
        with_volumes(&format!(
            "  - {{name: work, downwardAPI: {{items: [{{path: a, resourceFieldRef: {{containerName: {container}, resource: limits.cpu}}}}]}}}}\n"
        ))
    };
    let pod = parse(&file("server")).unwrap();
    let VolumeKind::Files { sources, .. } = &pod.volumes[0].kind else { panic!("{pod:?}") };
    assert!(matches!(&sources[0], FileSource::Field { field, .. } if field.value(&pod) == "1"), "{sources:?}");
    let found = problems(&file("other"));
    assert!(found[0].ends_with("resourceFieldRef.containerName: \"other\" is no container of this pod"), "{found:?}");
    let wrong = "    env:\n    - {name: A, valueFrom: {resourceFieldRef: {resource: limits.ephemeral-storage}}}\n";
    let found = problems(&with("    env:\n", wrong));
    assert!(found[0].contains("\"limits.ephemeral-storage\" is not supported; there are limits.cpu"), "{found:?}");
}
