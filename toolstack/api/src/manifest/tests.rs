mod containers;
mod kernel;
mod nothing;
mod security;
mod volumes;

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

/// With an annotation of xenpod's own.
fn annotated(name: &str, text: &str) -> String {
    with("    example.org/free: text", &format!("    xenpod.org/{name}: \"{text}\""))
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
    assert_eq!(
        two.to_string(),
        "the manifest is not a Pod: it is more than one document: 2, divided by `---`; give one"
    );
}

#[test]
fn what_stands_around_the_document_does_not_count() {
    let mark = '\u{feff}';
    for text in [
        format!("{WEB}---\n"),
        format!("---\n{WEB}---\n# the end\n...\n"),
        format!("# what it is\n---\n{WEB}"),
        format!("---\n# nothing\n---\n{WEB}"),
        format!("{mark}{WEB}"),
        WEB.replace('\n', "\r\n"),
    ] {
        assert_eq!(parse(&text).as_ref().map(|p| p.name.as_str()), Ok("web"), "{text:?}");
    }
    let wrong = with("    image:", "    imagee:");
    for (before, line) in [("# what it is\n---\n", 14), ("---\n# nothing\n---\n", 15), ("\u{feff}", 12)] {
        let found = problems(&format!("{before}{wrong}---\n"));
        assert!(found[0].starts_with(&format!("line {line}: spec.containers[0].image: is missing")), "{found:?}");
    }
    assert!(problems("# nothing\n")[0].starts_with("the manifest is not a Pod: it has no keys"));
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
    assert_eq!(
        problems(&text),
        [
            "line 13: spec.containers[0].livenessProbe.grpc: is not supported; remove it: probes are by `exec`, `httpGet` and `tcpSocket`"
        ]
    );
    assert_eq!(parse(&text).unwrap_err().name(), ErrorName::ManifestUnsupported);
    assert_eq!(
        problems(&with("  restartPolicy: Never", "  hostNetwork: true")),
        [
            "line 10: spec.hostNetwork: is not supported unless it is false; remove it: a pod has the interface of its own domain"
        ]
    );
    let both =
        with("  restartPolicy: Never", "  nodeName: x\n  hostPID: true\n  ephemeralContainers: [{name: i, image: j}]");
    assert_eq!(problems(&both).len(), 3);
    assert_eq!(
        problems(&with("emptyDir: {medium: Memory, sizeLimit: 4Mi}", "hostPath: {path: /etc}")),
        [
            "line 27: spec.volumes[0].hostPath: is not supported; remove it: there are no volumes of this kind; `emptyDir`, `configMap`, `secret`, `downwardAPI` and `projected` there are"
        ]
    );
    assert_eq!(
        problems(&with("emptyDir: {medium: Memory, sizeLimit: 4Mi}", "emptyDir: {mode: 493}")),
        [
            "line 27: spec.volumes[0].emptyDir.mode: is not supported; remove it: whose a volume is say `fsGroup` and `xenpod.org/volume-owner`"
        ]
    );
    assert_eq!(
        problems(&with("xenpod.org/memory: 32Mi", "xenpod.org/memoy: 32Mi")),
        [
            "line 7: metadata.annotations.xenpod.org/memoy: there is no such annotation; those of xenpod are xenpod.org/memory, \
          xenpod.org/cpus, xenpod.org/max-cpus, xenpod.org/ipv4, xenpod.org/mac, xenpod.org/scratch, xenpod.org/log-journald, xenpod.org/volume-owner, xenpod.org/ulimits, xenpod.org/devices, xenpod.org/kernel, \
          xenpod.org/kernel-args"
        ]
    );
    let status = problems(&format!("{WEB}status: {{phase: 5, nosuch: x}}\n"));
    assert_eq!(status, ["line 28: status: is not supported; remove it: an API server writes it, and there is none"]);
    assert_eq!(
        problems(&with("    image:", "    restartPolicy: Always\n    image:")),
        ["line 13: spec.containers[0].restartPolicy: is not supported; remove it: only init containers have their own"]
    );
}

#[test]
fn fields_that_ask_for_nothing_pass() {
    for extra in ["  hostNetwork: false", "  nodeSelector: {}", "  nodeName: null", "  tolerations: []"] {
        assert!(parse(&with("  restartPolicy: Never", extra)).is_ok(), "{extra}");
    }
    assert!(parse(&format!("{WEB}status: {{}}\n")).is_ok());
    for field in [
        "nodeName",
        "serviceAccountName",
        "serviceAccount",
        "schedulerName",
        "priorityClassName",
        "subdomain",
        "hostname",
        "dnsPolicy",
        "restartPolicy",
    ] {
        let pod = parse(&with("  restartPolicy: Never", &format!("  {field}: \"\""))).unwrap();
        assert_eq!((pod.hostname.as_str(), pod.restart_policy), ("web", RestartPolicy::Always), "{field}");
    }
    assert!(parse(&with("name: web\n", "name: web\n  namespace: \"\"\n")).is_ok());
    let pod = parse(&with("    image:", "    imagePullPolicy: \"\"\n    image:")).unwrap();
    assert_eq!(pod.containers[0].pull_policy, PullPolicy::IfNotPresent);
    for nested in [
        "affinity: {nodeAffinity: {}}",
        "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: []}}",
    ] {
        assert!(parse(&with("  restartPolicy: Never", &format!("  {nested}"))).is_ok(), "{nested}");
    }
    // A name in a map asks for something, whatever its value.
    let overhead = problems(&with("  restartPolicy: Never", "  overhead: {cpu: \"\"}"));
    assert!(overhead.len() == 1 && overhead[0].starts_with("line 10: spec.overhead: is not supported"), "{overhead:?}");
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
fn a_bad_label_or_annotation_has_its_own_line() {
    let text = with(
        "  labels: {app: web}\n  annotations:\n",
        "  labels:\n    app: web\n    example.org/a: \"a b\"\n    c d: x\n  annotations:\n    e f: x\n",
    );
    let found = problems(&text);
    assert_eq!(found.len(), 3, "{found:?}");
    for (found, want) in found.iter().zip([
        "line 7: metadata.labels.example.org/a: label example.org/a: \"a b\" is not a label's value",
        "line 8: metadata.labels.c d: label \"c d\" is not a key",
        "line 10: metadata.annotations.e f: annotation \"e f\" is not a key",
    ]) {
        assert!(found.starts_with(want), "{found}");
    }
    let long = format!("example.org/free: \"{}\"", "x".repeat(256 << 10));
    let found = problems(&with("example.org/free: text", &long));
    assert!(
        found.len() == 1 && found[0].starts_with("line 6: metadata.annotations: annotations have 2621"),
        "{:.90}",
        found[0]
    );
}

#[test]
fn a_namespace_is_kept_and_told_to_containers() {
    let named = |namespace: &str| with("name: web\n", &format!("name: web\n  namespace: {namespace}\n"));
    let pod = parse(&named("prod-1")).unwrap();
    assert_eq!(pod.namespace, "prod-1");
    assert_eq!(crate::spec::Field::Namespace.value(&pod), "prod-1");
    assert_eq!(parse(WEB).unwrap().namespace, "default");
    assert_eq!(parse(&named("\"\"")).unwrap().namespace, "default");
    for bad in ["Prod", "a.b", "-a"] {
        assert_eq!(
            problems(&named(bad)),
            [format!(
                "line 5: metadata.namespace: {bad:?} is not a name: at most 63 lower-case letters, digits and '-', starting and ending \
                 with a letter or digit"
            )]
        );
    }
    // A record of a pod from when there was none.
    let mut old = serde_json::to_value(&pod).unwrap();
    old.as_object_mut().unwrap().remove("namespace").unwrap();
    let loaded: PodSpec = serde_json::from_value(old).unwrap();
    assert_eq!(loaded.namespace, "default");
}

#[test]
fn two_ports_of_a_container_cannot_share_a_name() {
    let ports = |second: &str| {
        with(
            "[{containerPort: 8080}]",
            &format!("[{{containerPort: 80, name: web}}, {{containerPort: 81, name: {second}}}]"),
        )
    };
    assert_eq!(
        problems(&ports("web")),
        ["line 18: spec.containers[0].ports[1].name: \"web\" is already the name of ports[0]"]
    );
    assert_eq!(parse(&ports("\"\"")).unwrap().containers[0].ports[1].name, None);
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
    let at = head.lines().count() + 1;
    assert_eq!(
        problems(&format!("{head}  containers:\n  volumes:{volumes}")),
        [format!(
            "line {at}: spec.containers: is missing; name the containers, or write `containers: []` for a pod that gets them later"
        )]
    );
}
