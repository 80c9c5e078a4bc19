use crate::manifest::{ManifestError, ProblemKind, parse};
use crate::spec::VolumeKind;

/// The problems of a pod whose container has these fields, without the name and image that it has anyway.
fn said(fields: &str) -> Vec<String> {
    let pod = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - name: c\n    image: i\n{fields}"
    );
    problems(&pod)
}

fn problems(pod: &str) -> Vec<String> {
    let ManifestError::Problems(all) = parse(pod).unwrap_err() else { panic!("{:?}", parse(pod)) };
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn a_value_of_another_type_has_its_place_and_what_to_write() {
    for (fields, want) in [
        ("env: [{name: A, value: 80}]", "env[0].value: is the number 80 where a string belongs; quote it: \"80\""),
        (
            "env: [{name: A, value: true}]",
            "env[0].value: is the boolean true where a string belongs; quote it: \"true\"",
        ),
        ("args: [a, 1]", "args[1]: is the number 1 where a string belongs; quote it: \"1\""),
        ("command: sleep", "command: is the string \"sleep\" where a list of strings belongs; write [\"sleep\"]"),
        (
            "ports: {containerPort: 80}",
            "ports: is an object where a list of objects belongs; begin each of its elements with \"- \"",
        ),
        (
            "ports: [{containerPort: \"80\"}]",
            "ports[0].containerPort: is the string \"80\" where an integer belongs; write 80, without quotes",
        ),
        (
            "ports: [{containerPort: 99999999999}]",
            "ports[0].containerPort: is the number 99999999999 where an integer belongs; give a whole number, -2147483648 to 2147483647",
        ),
        (
            "securityContext: {runAsUser: 1.5}",
            "securityContext.runAsUser: is the number 1.5 where an integer belongs; give a whole number",
        ),
        ("tty: yes", "tty: is the string \"yes\" where a boolean belongs; write true, without quotes"),
        ("tty: 1", "tty: is the number 1 where a boolean belongs; give true or false"),
        ("resources: [1]", "resources: is a list where an object belongs; give its fields, each as `name: value`"),
        (
            "resources: {limits: 1Gi}",
            "resources.limits: is the string \"1Gi\" where a map of quantities belongs; give names with their values, each as \
             `name: value`",
        ),
        (
            "resources: {limits: {cpu: [1]}}",
            "resources.limits.cpu: is a list where a quantity belongs; give one, without brackets",
        ),
        ("workingDir: !x a", "workingDir: is tagged !x where a string belongs; write it without the tag"),
        (
            "livenessProbe: {tcpSocket: {port: true}}",
            "livenessProbe.tcpSocket.port: is the boolean true where an integer or string belongs; give a whole number, or a text",
        ),
    ] {
        assert_eq!(said(&format!("    {fields}\n")), [format!("line 8: spec.containers[0].{want}")], "{fields}");
    }
    assert_eq!(
        problems("apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  labels:\n    a: 1\nspec: {containers: [x]}\n"),
        [
            "line 6: metadata.labels.a: is the number 1 where a string belongs; quote it: \"1\"",
            "line 7: spec.containers[0]: is the string \"x\" where an object belongs; give its fields, each as `name: value`",
        ]
    );
}

#[test]
fn other_problems_stand_beside_it() {
    assert_eq!(
        said("    command: sleep\n    imagee: i\n    volumeDevices: [{name: x, devicePath: /x}]\n    tty: a\n    stdin: [b]\n").len(),
        5
    );
    let blamed = said("    command: sleep\n  volumes: [{name: s, secret: {secretName: db, defaultMode: 0400}}]\n");
    assert_eq!(
        blamed,
        [
            "line 8: spec.containers[0].command: is the string \"sleep\" where a list of strings belongs; write [\"sleep\"]"
        ]
    );
    let ManifestError::Problems(all) =
        parse("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostNetwork: \"false \", containers: []}\n")
            .unwrap_err()
    else {
        panic!()
    };
    assert_eq!(all.len(), 1, "once: {all:?}");
    assert_eq!(
        (all[0].kind, all[0].text.as_str()),
        (ProblemKind::Invalid, "is the string \"false \" where a boolean belongs; give true or false")
    );
}

#[test]
fn what_kubernetes_takes_for_the_right_type_is_taken() {
    let pod = parse(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {1: x, true: y, z: null}, creationTimestamp: null}\nspec:\n  containers:\n  \
         - {name: c, image: i, args: [a, null], resources: {limits: {cpu: 1, memory: 16777216}}}\n  volumes:\n  \
         - {name: s, secret: {secretName: db, defaultMode: 0400}}\n",
    )
    .unwrap();
    assert_eq!(pod.labels.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(), ["1=x", "true=y", "z="]);
    assert_eq!(pod.containers[0].args.as_deref().unwrap(), ["a", ""]);
    assert_eq!(pod.containers[0].resources.memory_limit, Some(16 << 20));
    assert!(matches!(pod.volumes[0].kind, VolumeKind::Files { default_mode: 0o400, .. }));
}
