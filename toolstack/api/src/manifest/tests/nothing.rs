//! What asks for nothing that is not already so, and what asks for more in the same places.

use super::*;

/// `WEB` with these fields for the pod.
fn pod(fields: &str) -> String {
    with("  restartPolicy: Never", &format!("  {fields}"))
}

#[test]
fn what_is_already_so_is_taken() {
    for fields in [
        "schedulerName: default-scheduler",
        "priority: 0",
        "preemptionPolicy: PreemptLowerPriority",
        "enableServiceLinks: true",
        "enableServiceLinks: false",
        "setHostnameAsFQDN: false",
        "os: {name: linux}",
        "dnsPolicy: ClusterFirstWithHostNet",
        "serviceAccountName: default",
        "serviceAccount: default",
        "hostUsers: false",
        "securityContext: {appArmorProfile: {type: Unconfined}}",
        "nodeSelector: {kubernetes.io/os: linux}",
        "nodeSelector: {kubernetes.io/os: linux, kubernetes.io/arch: amd64}",
        "tolerations: [{key: a, operator: Equal, value: b, effect: NoExecute, tolerationSeconds: 5}, {operator: Exists}]",
        "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: \
         [{key: a, operator: In, values: [b]}]}}]}}",
        "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: a}}]}}",
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {a: b}}}]",
    ] {
        let taken = parse(&pod(fields));
        assert!(taken.is_ok(), "{fields}: {taken:?}");
    }
    for (from, to) in [
        ("{containerPort: 8080}", "{containerPort: 8080, hostPort: 0}"),
        ("readOnly: true}", "recursiveReadOnly: Disabled}"),
        ("    image:", "    resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]\n    image:"),
        ("      runAsUser: 1000", "      appArmorProfile: {type: Unconfined}"),
    ] {
        let taken = parse(&with(from, to));
        assert!(taken.is_ok(), "{to}: {taken:?}");
    }
}

#[test]
fn what_asks_for_more_is_refused() {
    let host = "there is one host, and nothing to choose it by";
    for (fields, want) in [
        ("schedulerName: mine", format!("schedulerName: is not supported unless it is default-scheduler; remove it: {host}")),
        ("priority: 5", format!("priority: is not supported unless it is 0; remove it: {host}")),
        ("setHostnameAsFQDN: true", "setHostnameAsFQDN: is not supported unless it is false; remove it: pods have no domain name".into()),
        ("os: {name: windows}", "os.name: is not supported unless it is linux; remove it: pods run Linux".into()),
        (
            "dnsPolicy: Cluster",
            "dnsPolicy: \"Cluster\" is not supported; use Default, ClusterFirst or None".into(),
        ),
        (
            "serviceAccountName: me",
            "serviceAccountName: is not supported unless it is default; remove it: there is no API server to have an account at".into(),
        ),
        ("hostUsers: true", "hostUsers: is not supported unless it is false; remove it: a pod's users are those of its own kernel".into()),
        (
            "nodeSelector: {kubernetes.io/os: windows, disk: ssd, kubernetes.io/arch: amd64}",
            format!(
                "nodeSelector: is not supported beyond kubernetes.io/os: linux and kubernetes.io/arch: amd64; remove disk, \
                 kubernetes.io/os: {host}"
            ),
        ),
        (
            "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{}]}}}",
            format!(
                "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution: is not supported; remove it: {host}"
            ),
        ),
        (
            "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]",
            format!(
                "topologySpreadConstraints[0].whenUnsatisfiable: is not supported unless it is ScheduleAnyway; remove it: {host}"
            ),
        ),
        (
            "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a}]",
            "topologySpreadConstraints[0].whenUnsatisfiable: is missing; only ScheduleAnyway is supported".into(),
        ),
        (
            "securityContext: {appArmorProfile: {type: RuntimeDefault}}",
            "securityContext.appArmorProfile: is not supported; remove it: the guest's kernel has no such module; a pod is held by its domain"
                .into(),
        ),
    ] {
        assert_eq!(problems(&pod(fields)), [format!("line 10: spec.{want}")], "{fields}");
    }
    assert_eq!(
        problems(&with(
            "    image:",
            "    resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]\n    image:"
        )),
        [
            "line 13: spec.containers[0].resizePolicy[0].restartPolicy: is not supported unless it is NotRequired; remove it: limits are \
             changed while it runs"
        ]
    );
    assert_eq!(
        problems(&with("{containerPort: 8080}", "{containerPort: 8080, hostPort: 80}")),
        [
            "line 18: spec.containers[0].ports[0].hostPort: is not supported unless it is 0; remove it: there are no ports of the host: a \
             pod is reached at its address"
        ]
    );
}
