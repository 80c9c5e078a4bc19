use super::*;
use crate::spec::{PullPolicy, RestartPolicy, Scratch, Seccomp, VolumeKind};

const WEB: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
  annotations:
    xenpod.org/memory: 32Mi
    example.org/free: text
spec:
  restartPolicy: Never
  containers:
  - name: server
    image: registry.example/web:1
    command: [/bin/server, --port, \"$(PORT)\"]
    env:
    - {name: PORT, value: \"8080\"}
    - {name: URL, value: \"http://localhost:$(PORT)/\"}
    ports: [{containerPort: 8080}]
    resources:
      limits: {cpu: 1, memory: 16Mi}
    volumeMounts: [{name: work, mountPath: /work, readOnly: true}]
    securityContext:
      runAsUser: 1000
      capabilities: {add: [CAP_NET_ADMIN], drop: [ALL]}
  volumes:
  - name: work
    emptyDir: {medium: Memory, sizeLimit: 4Mi}
";

fn problems(text: &str) -> Vec<String> {
    match parse(text).unwrap_err() {
        ManifestError::Problems(all) => all.iter().map(ToString::to_string).collect(),
        other => vec![other.to_string()],
    }
}

/// `WEB` with one text replaced by another.
fn with(from: &str, to: &str) -> String {
    assert!(WEB.contains(from), "{from:?} is not in the sample");
    WEB.replacen(from, to, 1)
}

#[test]
fn a_whole_manifest() {
    let pod = parse(WEB).unwrap();
    assert_eq!((pod.name.as_str(), pod.hostname.as_str(), pod.memory_mib, pod.vcpus), ("web", "web", 32, 1));
    assert_eq!(pod.restart_policy, RestartPolicy::Never);
    assert_eq!(pod.scratch, Scratch::Default);
    assert_eq!(pod.annotations["example.org/free"], "text");
    let c = &pod.containers[0];
    assert_eq!(c.command.as_deref(), Some(["/bin/server", "--port", "8080"].map(String::from).as_slice()));
    assert_eq!(c.env[1], ("URL".into(), "http://localhost:8080/".into()));
    assert_eq!(c.pull_policy, PullPolicy::IfNotPresent);
    assert_eq!(c.resources.memory_limit, Some(16 << 20));
    assert_eq!(c.resources.cpu_limit_milli, Some(1000));
    assert_eq!(c.security.run_as_user, Some(1000));
    assert_eq!(c.security.add_capabilities, ["NET_ADMIN"]);
    assert_eq!(c.security.seccomp, Seccomp::RuntimeDefault);
    assert_eq!(c.mounts[0].path, "/work");
    assert!(c.mounts[0].read_only);
    assert_eq!(pod.volumes[0].kind, VolumeKind::EmptyDirMemory { size_limit: Some(4 << 20) });
}

#[test]
fn without_a_word_on_memory_the_limits_and_the_overhead_count() {
    let pod = parse(&with("    xenpod.org/memory: 32Mi\n", "")).unwrap();
    assert_eq!(pod.memory_mib, 16 + 24);
    let pod = parse(&with("    xenpod.org/memory: 32Mi\n", "").replace(", memory: 16Mi", "")).unwrap();
    assert_eq!(pod.memory_mib, 128);
}

#[test]
fn what_is_not_yaml_says_where() {
    let error = parse("kind: Pod\n  x: [1,\n").unwrap_err();
    assert!(matches!(&error, ManifestError::Syntax(t) if t.contains("line 2")), "{error}");
    assert_eq!(error.name(), ErrorName::ManifestInvalid);
    assert!(error.to_string().starts_with("the manifest is not YAML: "));
    let two = parse(&format!("{WEB}---\n{WEB}")).unwrap_err();
    assert!(two.to_string().contains("more than one document"), "{two}");
}

#[test]
fn what_is_not_a_pod_says_so() {
    assert_eq!(
        parse("hello").unwrap_err().to_string(),
        "the manifest is not a Pod: it has no keys; a Pod starts with `apiVersion: v1` and `kind: Pod`"
    );
    assert_eq!(
        parse(&with("kind: Pod", "kind: Job")).unwrap_err().to_string(),
        "the manifest is not a Pod: kind is Job; it must be Pod"
    );
    assert_eq!(
        parse("kind: Pod").unwrap_err().to_string(),
        "the manifest is not a Pod: apiVersion is missing; it must be v1"
    );
    let typed = parse(&with("name: server", "name: [a]")).unwrap_err().to_string();
    assert!(typed.contains("line 12") && typed.contains("name"), "{typed}");
}

#[test]
fn unknown_keys_have_path_and_line() {
    assert_eq!(
        problems(&with("    image:", "    imagee:")),
        [
            "line 12: spec.containers[0].image: is missing; name an image",
            "line 13: spec.containers[0].imagee: there is no such field; check its spelling and its place",
        ]
    );
    assert_eq!(parse(&with("  restartPolicy", "  restart_policy")).unwrap_err().name(), ErrorName::ManifestInvalid);
}

#[test]
fn unsupported_fields_are_refused_by_name() {
    let text = with("    image:", "    livenessProbe: {grpc: {port: 80}}\n    image:");
    assert_eq!(problems(&text), ["line 13: spec.containers[0].livenessProbe.grpc: is not supported; remove it"]);
    assert_eq!(parse(&text).unwrap_err().name(), ErrorName::ManifestUnsupported);
    assert_eq!(
        problems(&with("  restartPolicy: Never", "  hostNetwork: true")),
        ["line 10: spec.hostNetwork: is not supported unless it is false; remove it"]
    );
    let both =
        with("  restartPolicy: Never", "  nodeName: x\n  hostPID: true\n  ephemeralContainers: [{name: i, image: j}]");
    assert_eq!(problems(&both).len(), 3);
    assert_eq!(
        problems(&with("emptyDir: {medium: Memory, sizeLimit: 4Mi}", "hostPath: {path: /etc}")),
        ["line 27: spec.volumes[0].hostPath: is not supported; remove it"]
    );
    assert_eq!(
        problems(&with("xenpod.org/memory: 32Mi", "xenpod.org/memoy: 32Mi")),
        [
            "line 7: metadata.annotations.xenpod.org/memoy: there is no such annotation; those of xenpod are xenpod.org/memory, \
          xenpod.org/cpus, xenpod.org/ipv4, xenpod.org/mac, xenpod.org/scratch, xenpod.org/log-journald, xenpod.org/volume-owner, xenpod.org/ulimits, xenpod.org/devices"
        ]
    );
}

#[test]
fn fields_that_ask_for_nothing_pass() {
    for extra in ["  hostNetwork: false", "  nodeSelector: {}", "  nodeName: null", "  tolerations: []"] {
        assert!(parse(&with("  restartPolicy: Never", extra)).is_ok(), "{extra}");
    }
    assert!(parse(&format!("{WEB}status: {{}}\n")).is_ok());
}

#[test]
fn values_out_of_bounds_are_refused() {
    for (from, to, want) in [
        ("name: web\n", "name: Web_1\n", "line 4: metadata.name: \"Web_1\" is not a name"),
        (
            "memory: 16Mi",
            "memory: 99Ei",
            "line 20: spec.containers[0].resources.limits.memory: \"99Ei\" is larger than anything",
        ),
        (
            "memory: 16Mi",
            "memory: 100Ti",
            "line 20: spec.containers[0].resources.limits.memory: 100Ti is more than any",
        ),
        ("memory: 16Mi", "memory: -1", "line 20: spec.containers[0].resources.limits.memory: \"-1\" is negative"),
        (
            "memory: 16Mi",
            "memory: 16MB",
            "line 20: spec.containers[0].resources.limits.memory: \"16MB\" is not a quantity",
        ),
        ("memory: 16Mi", "memory: 4Ki", "line 20: spec.containers[0].resources.limits.memory: 4096 bytes are too few"),
        (
            "cpu: 1,",
            "cpu: 1000,",
            "line 20: spec.containers[0].resources.limits.cpu: 1000 is more than any machine has",
        ),
        (
            "memory: 32Mi",
            "memory: 1Mi",
            "line 7: metadata.annotations.xenpod.org/memory: 1 MiB is too little for a domain",
        ),
        (
            "memory: 32Mi",
            "memory: 99Ti",
            "line 7: metadata.annotations.xenpod.org/memory: 103809024 MiB is more than a domain",
        ),
        ("8080}]", "80800}]", "line 18: spec.containers[0].ports[0].containerPort: 80800 is not a port"),
        ("runAsUser: 1000", "runAsUser: -5", "line 23: spec.containers[0].securityContext.runAsUser: -5 is not an id"),
        (
            "NET_ADMIN",
            "NET_KING",
            "line 24: spec.containers[0].securityContext.capabilities.add[0]: \"NET_KING\" is not a cap",
        ),
        (
            "mountPath: /work",
            "mountPath: /a/../b",
            "line 21: spec.containers[0].volumeMounts[0].mountPath: \"/a/../b\" must",
        ),
        ("Policy: Never", "Policy: Sometimes", "line 10: spec.restartPolicy: \"Sometimes\" is none of"),
    ] {
        let found = problems(&with(from, to));
        assert!(found.iter().any(|p| p.starts_with(want)), "{to}: {found:?}");
    }
    let found = problems(&with("[{name: work,", "[{name: wrk,"));
    assert_eq!(found, ["line 21: spec.containers[0].volumeMounts[0].name: there is no volume \"wrk\" in spec.volumes"]);
}

#[test]
fn two_containers_cannot_share_a_name() {
    let text = with("  volumes:", "  - {name: server, image: x}\n  volumes:");
    assert_eq!(
        problems(&text),
        ["line 25: spec.containers[1].name: \"server\" is already the name of spec.containers[0]"]
    );
}

#[test]
fn a_manifest_can_be_too_long() {
    let text = format!("{WEB}#{}", "x".repeat(MAX_BYTES));
    assert_eq!(parse(&text).unwrap_err(), ManifestError::TooLong(text.len()));
}

#[test]
fn standard_input_and_the_journal() {
    let text = |annotations: &str, container: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, annotations: {{{annotations}}}}}\nspec:\n  containers:\n  - name: c\n    \
             image: i\n{container}"
        )
    };
    let pod = parse(&text("", "")).unwrap();
    assert_eq!((pod.log_journald, pod.containers[0].stdin, pod.containers[0].stdin_once), (None, false, false));
    let pod = parse(&text("xenpod.org/log-journald: 'true'", "    stdin: true\n    stdinOnce: true\n")).unwrap();
    assert_eq!((pod.log_journald, pod.containers[0].stdin, pod.containers[0].stdin_once), (Some(true), true, true));
    assert_eq!(
        problems(&text("", "    stdinOnce: true\n")),
        ["line 8: spec.containers[0].stdinOnce: is true without `stdin: true`: there is nothing to close"]
    );
    let said = problems(&text("xenpod.org/log-journald: 'on'", ""));
    assert!(said.len() == 1 && said[0].ends_with("\"on\" is neither \"true\" nor \"false\""), "{said:?}");
}

#[test]
fn a_pod_without_containers_says_so() {
    let (head, rest) = WEB.split_once("  containers:").unwrap();
    let (_, volumes) = rest.split_once("  volumes:").unwrap();
    let head = head.replace("    xenpod.org/memory: 32Mi\n", "");
    let pod = parse(&format!("{head}  containers: []\n  volumes:{volumes}")).unwrap();
    assert_eq!((pod.containers.len(), pod.memory_mib, pod.vcpus), (0, 128, 1));
    assert_eq!(
        problems(&format!("{head}  volumes:{volumes}")),
        [
            "line 8: spec.containers: is missing; name the containers, or write `containers: []` for a pod that gets them later"
        ]
    );
}

const TOOL: &str = "\
name: tool
image: registry.example/tool:1
command: [/bin/tool, $(HOME)]
resources: {limits: {cpu: 1, memory: 16Mi}}
volumeMounts: [{name: work, mountPath: /w}]
";

fn container(text: &str) -> Result<crate::spec::ContainerSpec, String> {
    let text_of_pod = WEB.replace("  restartPolicy", "  securityContext: {runAsUser: 77}\n  restartPolicy");
    parse_container(text, &parse(&text_of_pod).unwrap(), &text_of_pod).map_err(|e| e.to_string())
}

#[test]
fn one_container_for_a_running_pod() {
    let tool = container(TOOL).unwrap();
    assert_eq!((tool.name.as_str(), tool.role), ("tool", crate::spec::Role::Added));
    assert_eq!(tool.security.run_as_user, Some(77), "what the pod says holds for it");
    assert_eq!(tool.resources.cpu_limit_milli, Some(1000));
    assert_eq!(container("{\"name\": \"a\", \"image\": \"b\"}").unwrap().image, "b", "JSON is YAML");
    for (from, to, want) in [
        ("name: work", "name: wrk", "line 5: volumeMounts[0].name: pod web has no volume \"wrk\""),
        ("image:", "imagee:", "line 2: imagee: there is no such field"),
        ("name: tool", "name: Tool", "line 1: name: \"Tool\" is not a name"),
        ("memory: 16Mi", "memory: 4Ki", "line 4: resources.limits.memory: 4096 bytes are too few"),
        ("command", "devices: [x]\ncommand", "line 3: devices: there is no such field"),
        ("command", "restartPolicy: Always\ncommand", "line 3: restartPolicy: is not supported; the option"),
    ] {
        let said = container(&TOOL.replacen(from, to, 1)).unwrap_err();
        assert!(said.contains(want), "{to}: {said}");
    }
    assert!(container("hello").unwrap_err().starts_with("this is not a container: it has no keys"));
    assert!(container("name: [a]\nimage: b").unwrap_err().starts_with("this is not a container: "));
}

/// `WEB` with fields for its container.
fn with_fields(fields: &str) -> String {
    with("    image:", &format!("{fields}    image:"))
}

#[test]
fn probes_and_hooks_with_their_defaults() {
    use crate::spec::{Action, HttpGet};
    let text = with_fields(
        "    livenessProbe: {exec: {command: [check, \"1\"]}}\n    readinessProbe: {httpGet: {port: web, path: ready?x=1, \
         httpHeaders: [{name: X-A, value: b}]}, successThreshold: 2, periodSeconds: 3}\n    startupProbe: {tcpSocket: {port: 81}, \
         initialDelaySeconds: 4, failureThreshold: 30, terminationGracePeriodSeconds: 7, timeoutSeconds: 0}\n    lifecycle: \
         {postStart: {sleep: {seconds: 5}}, preStop: {httpGet: {port: 82, scheme: HTTPS}}}\n",
    )
    .replace("containerPort: 8080", "containerPort: 8080, name: web");
    let c = parse(&text).unwrap().containers.remove(0);
    let liveness = c.probes.liveness.unwrap();
    assert_eq!(liveness.action, Action::Exec(vec!["check".into(), "1".into()]));
    assert_eq!(
        (liveness.initial_delay_seconds, liveness.period_seconds, liveness.timeout_seconds),
        (0, 10, 1),
        "as Kubernetes has it"
    );
    assert_eq!((liveness.success_threshold, liveness.failure_threshold, liveness.grace_seconds), (1, 3, None));
    let readiness = c.probes.readiness.unwrap();
    let headers = vec![("X-A".to_string(), "b".to_string())];
    assert_eq!(
        readiness.action,
        Action::Http(HttpGet { https: false, port: 8080, path: "/ready?x=1".into(), headers })
    );
    assert_eq!((readiness.success_threshold, readiness.period_seconds), (2, 3));
    let startup = c.probes.startup.unwrap();
    assert_eq!((startup.action, startup.failure_threshold, startup.grace_seconds), (Action::Tcp(81), 30, Some(7)));
    assert_eq!((startup.initial_delay_seconds, startup.timeout_seconds), (4, 1));
    assert_eq!(c.lifecycle.post_start, Some(Action::Sleep(5)));
    let https = HttpGet { https: true, port: 82, path: "/".into(), headers: vec![] };
    assert_eq!(c.lifecycle.pre_stop, Some(Action::Http(https)));
}

#[test]
fn probes_that_make_no_sense_are_refused() {
    for (fields, want) in [
        ("livenessProbe: {periodSeconds: 5}", "livenessProbe: does not say what to do"),
        (
            "livenessProbe: {tcpSocket: {port: 1}, exec: {command: [a]}}",
            "livenessProbe: says more than one thing to do",
        ),
        ("livenessProbe: {exec: {command: []}}", "livenessProbe.exec.command: is missing"),
        ("livenessProbe: {tcpSocket: {port: 0}}", "livenessProbe.tcpSocket.port: 0 is not a port"),
        ("livenessProbe: {tcpSocket: {port: http}}", "livenessProbe.tcpSocket.port: \"http\" is not the name of one"),
        ("livenessProbe: {tcpSocket: {port: 1, host: example.org}}", "livenessProbe.tcpSocket.host: is not supported"),
        ("livenessProbe: {httpGet: {port: 1, host: a}}", "livenessProbe.httpGet.host: is not supported"),
        ("livenessProbe: {httpGet: {port: 1, scheme: FTP}}", "livenessProbe.httpGet.scheme: \"FTP\" is neither"),
        ("livenessProbe: {httpGet: {port: 1, path: a b}}", "livenessProbe.httpGet.path: \"a b\" is not a path"),
        (
            "livenessProbe: {httpGet: {port: 1, httpHeaders: [{name: \"a:\", value: b}]}}",
            "livenessProbe.httpGet.httpHeaders[0].name: \"a:\" is not a header",
        ),
        ("livenessProbe: {tcpSocket: {port: 1}, successThreshold: 2}", "livenessProbe.successThreshold: must be 1"),
        (
            "livenessProbe: {tcpSocket: {port: 1}, periodSeconds: -1}",
            "livenessProbe.periodSeconds: is -1; it must be 1",
        ),
        (
            "readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 1}",
            "readinessProbe.terminationGracePeriodSeconds: has no meaning here",
        ),
        ("lifecycle: {preStop: {tcpSocket: {port: 1}}}", "lifecycle.preStop.tcpSocket: is not supported"),
        ("lifecycle: {preStop: {sleep: {seconds: -1}}}", "lifecycle.preStop.sleep.seconds: is -1"),
        ("lifecycle: {stopSignal: TERM}", "lifecycle.stopSignal: is not supported"),
        ("restartPolicy: Always", "restartPolicy: is not supported"),
    ] {
        let found = problems(&with_fields(&format!("    {fields}\n")));
        let want = format!("line 13: spec.containers[0].{want}");
        assert_eq!(found.len(), 1, "{fields}: {found:?}");
        assert!(found[0].starts_with(&want), "{fields}: {found:?}");
        let alone = container(&format!("name: a\nimage: b\n{fields}\n")).unwrap_err();
        assert_eq!(alone.matches("line ").count(), 1, "{alone}");
    }
}

/// `WEB` with init containers.
fn with_inits(inits: &str) -> String {
    with("  containers:", &format!("  initContainers:\n{inits}  containers:"))
}

#[test]
fn init_containers_come_first_and_sidecars_stay() {
    use crate::spec::Role;
    let text = with_inits(
        "  - {name: first, image: a, resources: {limits: {memory: 64Mi}}}\n  - {name: side, image: b, restartPolicy: Always, \
         resources: {limits: {memory: 8Mi}}, startupProbe: {tcpSocket: {port: 9}}}\n",
    )
    .replace("    xenpod.org/memory: 32Mi\n", "");
    let pod = parse(&text).unwrap();
    let names: Vec<_> = pod.containers.iter().map(|c| (c.name.as_str(), c.role)).collect();
    assert_eq!(names, [("first", Role::Init), ("side", Role::Sidecar), ("server", Role::App)]);
    assert_eq!(pod.memory_mib, 64 + 24, "the first alone takes more than the other two together");
    assert_eq!(pod.restart_policy_of(0), RestartPolicy::Never);
    assert_eq!(pod.restart_policy_of(1), RestartPolicy::Always);
    let always = parse(&text.replace("Policy: Never", "Policy: Always")).unwrap();
    assert_eq!(always.restart_policy_of(0), RestartPolicy::OnFailure);

    for (init, want) in [
        ("{name: a, image: b, restartPolicy: Never}", "restartPolicy: \"Never\" is not Always"),
        ("{name: a, image: b, livenessProbe: {tcpSocket: {port: 1}}}", "livenessProbe: is only for an init container"),
        (
            "{name: a, image: b, lifecycle: {preStop: {sleep: {seconds: 1}}}}",
            "lifecycle: is only for an init container",
        ),
        ("{name: a}", "image: is missing"),
        (
            "{name: a, image: b, volumeMounts: [{name: x, mountPath: /x}]}",
            "volumeMounts[0].name: there is no volume \"x\"",
        ),
        (
            "{name: a, image: b, volumeDevices: [{name: x, devicePath: /x}]}",
            "volumeDevices: is not supported; remove it",
        ),
    ] {
        let found = problems(&with_inits(&format!("  - {init}\n")));
        assert_eq!(found.len(), 1, "{init}: {found:?}");
        assert!(found[0].starts_with(&format!("line 12: spec.initContainers[0].{want}")), "{init}: {found:?}");
    }
    let same = problems(&with_inits("  - {name: server, image: b}\n"));
    assert_eq!(same, ["line 14: spec.containers[0].name: \"server\" is already the name of spec.initContainers[0]"]);
}

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
            "line 26: spec.volumes[0].downwardAPI.items[0].resourceFieldRef: is not supported; remove it",
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
            "{name: A, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}",
            "env[0].value: and valueFrom exclude each other",
        ),
        (
            "{name: A, valueFrom: {fieldRef: {fieldPath: spec.x}}}",
            "env[0].valueFrom.fieldRef.fieldPath: \"spec.x\" is not supported",
        ),
        (
            "{name: A, valueFrom: {resourceFieldRef: {resource: x}}}",
            "env[0].valueFrom.resourceFieldRef: is not supported; remove it",
        ),
    ] {
        let found = problems(&with("    env:\n", &format!("    env:\n    - {var}\n")));
        assert!(
            found.iter().any(|p| p.starts_with(&format!("line 16: spec.containers[0].{want}"))),
            "{var}: {found:?}"
        );
    }
}

#[test]
fn what_a_container_may_do() {
    let context =
        |more: &str| with("      runAsUser: 1000\n      capabilities: {add: [CAP_NET_ADMIN], drop: [ALL]}\n", more);
    let pod = parse(&context("      privileged: true\n      procMount: Unmasked\n")).unwrap();
    let security = &pod.containers[0].security;
    assert!(security.privileged && security.unmasked_proc);
    assert_eq!(security.seccomp, Seccomp::Unconfined);
    let pod = parse(&context("      seccompProfile: {type: Localhost, localhostProfile: web/strict.json}\n")).unwrap();
    let filter = Seccomp::Localhost { profile: "web/strict.json".into(), program: String::new() };
    assert_eq!(pod.containers[0].security.seccomp, filter);
    let at = "line 23: spec.containers[0].securityContext.";
    for (more, want) in [
        (
            "privileged: true, allowPrivilegeEscalation: false",
            "allowPrivilegeEscalation: cannot be false while privileged is true",
        ),
        (
            "allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN]}",
            "allowPrivilegeEscalation: cannot be false while SYS_ADMIN is added",
        ),
        ("procMount: Hidden", "procMount: \"Hidden\" is neither Default nor Unmasked"),
        (
            "privileged: true, seccompProfile: {type: RuntimeDefault}",
            "seccompProfile.type: can only be Unconfined while privileged is true",
        ),
        (
            "seccompProfile: {type: Local}",
            "seccompProfile.type: \"Local\" is none of RuntimeDefault, Unconfined and Localhost",
        ),
        (
            "seccompProfile: {type: Localhost, localhostProfile: ../x}",
            "seccompProfile.localhostProfile: \"../x\" is not the path of",
        ),
        ("seccompProfile: {type: Localhost}", "seccompProfile.localhostProfile: \"\" is not the path of a profile"),
        (
            "seccompProfile: {type: Unconfined, localhostProfile: x}",
            "seccompProfile.localhostProfile: is only for type: Localhost",
        ),
        ("appArmorProfile: {type: RuntimeDefault}", "appArmorProfile: is not supported; remove it"),
        ("seLinuxOptions: {level: x}", "seLinuxOptions: is not supported; remove it"),
    ] {
        let text = with(
            "    securityContext:\n      runAsUser: 1000\n      capabilities: {add: [CAP_NET_ADMIN], drop: [ALL]}\n",
            &format!("    tty: false\n    securityContext: {{{more}}}\n"),
        );
        let found = problems(&text);
        assert!(found.iter().any(|p| p.starts_with(&format!("{at}{want}"))), "{more}: {found:?}");
    }
}

#[test]
fn limits_and_devices_of_every_container() {
    use crate::spec::Ulimit;
    let annotated =
        |name: &str, text: &str| with("    example.org/free: text", &format!("    xenpod.org/{name}: \"{text}\""));
    let pod = parse(&annotated("ulimits", "nofile=1024:4096, core=0,memlock=unlimited")).unwrap();
    let limit = |resource, soft, hard| Ulimit { resource, soft, hard };
    assert_eq!(pod.ulimits, [limit(7, 1024, 4096), limit(4, 0, 0), limit(8, u64::MAX, u64::MAX)]);
    let pod = parse(&annotated("devices", "/dev/kmsg,/dev/net/tun")).unwrap();
    assert_eq!(pod.devices, ["/dev/kmsg", "/dev/net/tun"]);
    for (name, text, want) in [
        ("ulimits", "nofile", "\"nofile\" is not NAME=SOFT[:HARD]"),
        ("ulimits", "files=1", "\"files=1\" is of no limit that there is: cpu, fsize"),
        ("ulimits", "nofile=9:1", "\"nofile=9:1\" has a soft limit above the hard one"),
        ("ulimits", "nofile=many", "\"nofile=many\" has a value that is no number, -1 or unlimited"),
        ("ulimits", "core=1,core=2", "\"core=2\" is a second limit of its kind"),
        ("devices", "/etc/passwd", "\"/etc/passwd\" is not a path below /dev"),
        ("devices", "/dev/../etc", "\"/dev/../etc\" is not a path below /dev"),
    ] {
        assert_eq!(problems(&annotated(name, text)).len(), 1);
        let found = problems(&annotated(name, text)).remove(0);
        assert!(found.starts_with(&format!("line 8: metadata.annotations.xenpod.org/{name}: {want}")), "{found}");
    }
}
