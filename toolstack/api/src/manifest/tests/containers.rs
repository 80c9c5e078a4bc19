//! One container for a running pod; init containers; probes and hooks.

use super::*;

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
    assert_eq!(
        container("name: [a]\nimage: b\nenv: [{name: A, value: 80}]").unwrap_err(),
        "the manifest was refused: line 1: name: is a list where a string belongs; give one, without brackets; line 3: env[0].value: \
         is the number 80 where a string belongs; quote it: \"80\""
    );
}

#[test]
fn what_the_pod_says_holds_for_a_container_that_joins_it_whatever_else_the_pod_has() {
    let of_pod = WEB
        .replace("  restartPolicy", "  securityContext: {runAsUser: 77}\n  restartPolicy")
        .replace("emptyDir: {medium: Memory, sizeLimit: 4Mi}", "secret: {secretName: db, defaultMode: 0400}");
    let pod = parse(&of_pod).unwrap();
    assert_eq!(parse_container(TOOL, &pod, &of_pod).unwrap().security.run_as_user, Some(77));
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
        (
            "livenessProbe: {periodSeconds: 5}",
            "livenessProbe: does not say what to do: give one of exec, httpGet and tcpSocket",
        ),
        ("lifecycle: {preStop: {}}", "lifecycle.preStop: does not say what to do: give one of exec, httpGet and sleep"),
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

#[test]
fn last_words() {
    use crate::spec::Termination;
    let says = |text: &str| with("    ports: [{containerPort: 8080}]\n", text);
    assert_eq!(parse(WEB).unwrap().containers[0].termination, Termination::default());
    let pod =
        parse(&says("    terminationMessagePath: /tmp/log\n    terminationMessagePolicy: FallbackToLogsOnError\n"))
            .unwrap();
    assert_eq!(pod.containers[0].termination, Termination { path: "/tmp/log".into(), from_log: true });
    let at = "line 18: spec.containers[0].terminationMessage";
    assert_eq!(
        problems(&says("    terminationMessagePath: log\n")),
        [format!("{at}Path: \"log\" is not the absolute path of a file")]
    );
    assert_eq!(
        problems(&says("    terminationMessagePolicy: Never\n")),
        [format!("{at}Policy: \"Never\" is none of File and FallbackToLogsOnError")]
    );
}
