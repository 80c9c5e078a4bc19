//! Why fields of Kubernetes are refused.

/// Why nothing is said of hosts.
pub(in crate::manifest) const SCHEDULER: &str = "there is one host, and nothing to choose it by";
const SERVER: &str = "an API server writes it, and there is none";
const ACCOUNT: &str = "there is no API server to have an account at";
/// Why there is neither AppArmor nor SELinux.
pub(in crate::manifest) const MAC: &str = "the guest's kernel has no such module; a pod is held by its domain";
const STORAGE: &str =
    "there are no volumes of this kind; `emptyDir`, `configMap`, `secret`, `downwardAPI` and `projected` there are";
const WINDOWS: &str = "pods run Linux";

/// The canonical path of a field, or of one above it, and why it is refused. The first that fits counts.
const REASONS: &[(&str, &str)] = &[
    ("metadata.generateName", "names are not made up by the daemon; `xenpodctl run` makes one up"),
    ("metadata", SERVER),
    ("status", SERVER),
    ("spec.activeDeadlineSeconds", "a pod is not ended by a clock; who made it can stop it"),
    ("spec.affinity", SCHEDULER),
    ("spec.nodeName", SCHEDULER),
    ("spec.priorityClassName", SCHEDULER),
    ("spec.schedulingGates", SCHEDULER),
    ("spec.schedulingGroup", SCHEDULER),
    (
        "spec.ephemeralContainers",
        "a container is made in a running pod by `Pod.CreateContainer`, or `xenpodctl container create`",
    ),
    ("spec.evictionResponders", "nothing evicts pods"),
    ("spec.hostnameOverride", "`spec.hostname` says it"),
    ("spec.imagePullSecrets", "registries are read anonymously"),
    ("spec.overhead", "it is included in `xenpod.org/memory`"),
    ("spec.readinessGates", "there are no conditions that others set"),
    ("spec.resourceClaims", "there are no devices of the host to claim"),
    ("spec.containers[].resources.claims", "there are no devices of the host to claim"),
    ("spec.containers[].resources", "only `cpu` and `memory` are limited"),
    ("spec.resources", "a domain's size is said by `xenpod.org/memory` and `xenpod.org/cpus`"),
    ("spec.runtimeClassName", "there is one way to run a pod: in a domain of its own"),
    ("spec.subdomain", "pods have no domain name"),
    ("spec.securityContext.appArmorProfile", MAC),
    ("spec.securityContext.seLinuxChangePolicy", MAC),
    ("spec.securityContext.seLinuxOptions", MAC),
    ("spec.securityContext.windowsOptions", WINDOWS),
    ("spec.containers[].securityContext.appArmorProfile", MAC),
    ("spec.containers[].securityContext.seLinuxOptions", MAC),
    ("spec.containers[].securityContext.windowsOptions", WINDOWS),
    ("spec.volumes[].projected.sources[].serviceAccountToken", ACCOUNT),
    ("spec.volumes[].projected.sources[].clusterTrustBundle", ACCOUNT),
    ("spec.volumes[].projected.sources[].podCertificate", ACCOUNT),
    ("spec.volumes[].emptyDir.mode", "whose a volume is say `fsGroup` and `xenpod.org/volume-owner`"),
    ("spec.volumes[]", STORAGE),
    (
        "spec.containers[].env[].valueFrom.fileKeyRef",
        "variables come from config maps, secrets and facts about the pod",
    ),
    ("spec.containers[].livenessProbe.grpc", "probes are by `exec`, `httpGet` and `tcpSocket`"),
    ("spec.containers[].livenessProbe.httpGet.protocol", "requests are HTTP/1.1"),
    ("spec.containers[].lifecycle.preStop.httpGet.protocol", "requests are HTTP/1.1"),
    ("spec.containers[].livenessProbe.httpGet.host", "only the pod itself is looked at"),
    ("spec.containers[].livenessProbe.tcpSocket.host", "only the pod itself is looked at"),
    ("spec.containers[].lifecycle.preStop.httpGet.host", "only the pod itself is called"),
    ("spec.containers[].lifecycle.preStop.tcpSocket", "Kubernetes does not act on it either"),
    ("spec.containers[].lifecycle.stopSignal", "the stop signal is the image's"),
    ("spec.containers[].ports[].hostIP", "there are no ports of the host: a pod is reached at its address"),
    ("spec.containers[].restartPolicyRules", "whether a container is started again is said by `restartPolicy` alone"),
    ("spec.containers[].volumeDevices", "containers get file systems, not block devices"),
    ("spec.containers[].volumeMounts[].bindMountOptions", "a mount is read-only or not"),
    ("spec.containers[].volumeMounts[].subPathExpr", "`subPath` is taken as it is written"),
];

/// Why a field that is not in the table is refused, by its canonical path; `None` where nothing is known of it.
#[must_use]
pub fn why(path: &str) -> Option<&'static str> {
    let above = |of: &str| path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    REASONS.iter().find(|(of, _)| above(of)).map(|(_, why)| *why)
}

/// The same, without what is said of those above it.
pub(super) fn exactly(path: &str) -> Option<&'static str> {
    REASONS.iter().find(|(of, _)| *of == path).map(|(_, why)| *why)
}
