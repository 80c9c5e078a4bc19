//! The fields of a container.

use super::{Field, any, below, only};

const PORT: &str = "1 to 65535, or the name of one of the container's ports.";
const HTTP: &str = "A request by the host to the pod's address; a status of 200 to 399 is success. A container that listens on the loopback \
    interface only is not reached. A redirect is followed on the same host; one that leads elsewhere is success.";
const SCHEME: &str = "`HTTP` or `HTTPS`; whose certificate answers does not matter.";
const OPTIONAL: &str = "Whether the container may start although it was not given.";

pub(super) const FIELDS: &[Field] = &[
    below(
        "spec.containers[]",
        "The containers; with an empty list, `containers: []`, the pod runs until it is stopped and is given its containers one by one. \
         Those of `initContainers` come first: each runs to its end, with 0, before the next is started, and one that fails is run again, \
         unless the pod's `restartPolicy` is `Never`; then the pod has failed. At most 64 together.",
    ),
    any("spec.containers[].name", "Unique in the pod, init containers included: a DNS label. Needed."),
    any("spec.containers[].image", "A reference, such as `registry.example/app/web:1.2`, or the name of an image that is here. Needed."),
    any(
        "spec.containers[].imagePullPolicy",
        "When the image is fetched: `IfNotPresent`, when it is not here; `Always`, whenever the pod is created; `Never`.",
    )
    .or("IfNotPresent, whatever the tag"),
    any("spec.containers[].command", "The program and its first arguments; `$(NAME)` is expanded from `env`.").or("the image's entry point"),
    any("spec.containers[].args", "Its further arguments, expanded likewise.").or("the image's, unless there is a `command`"),
    any("spec.containers[].workingDir", "The absolute path it starts in.").or("the image's, else `/`"),
    below("spec.containers[].env[]", "Environment variables, added to the image's."),
    any("spec.containers[].env[].name", "The variable's name, without `=`."),
    any("spec.containers[].env[].value", "Its value; `$(NAME)` is expanded from those before it, and `$$` is a `$`.").or("empty"),
    below("spec.containers[].env[].valueFrom", "Where its value comes from, instead of `value`: one of the three."),
    below("spec.containers[].env[].valueFrom.configMapKeyRef", "A key of a config map that is given with the call."),
    any("spec.containers[].env[].valueFrom.configMapKeyRef.name", "The config map."),
    any("spec.containers[].env[].valueFrom.configMapKeyRef.key", "The key."),
    any("spec.containers[].env[].valueFrom.configMapKeyRef.optional", OPTIONAL).or("false"),
    below("spec.containers[].env[].valueFrom.secretKeyRef", "A key of a secret that is given with the call."),
    any("spec.containers[].env[].valueFrom.secretKeyRef.name", "The secret."),
    any("spec.containers[].env[].valueFrom.secretKeyRef.key", "The key."),
    any("spec.containers[].env[].valueFrom.secretKeyRef.optional", OPTIONAL).or("false"),
    below("spec.containers[].env[].valueFrom.fieldRef", "A fact about the pod."),
    any(
        "spec.containers[].env[].valueFrom.fieldRef.fieldPath",
        "`metadata.name`, `metadata.namespace`, `metadata.uid`, `metadata.labels['KEY']`, `metadata.annotations['KEY']`, `status.podIP`, \
         `status.podIPs` or `spec.nodeName`.",
    ),
    only("spec.containers[].env[].valueFrom.fieldRef.apiVersion", "v1", "A Pod has one version."),
    below("spec.containers[].env[].valueFrom.resourceFieldRef", "A limit or request of the container."),
    any("spec.containers[].env[].valueFrom.resourceFieldRef.resource", super::RESOURCE),
    any("spec.containers[].env[].valueFrom.resourceFieldRef.containerName", "The container's own name.").or("its own"),
    any("spec.containers[].env[].valueFrom.resourceFieldRef.divisor", super::DIVISOR).or("1"),
    below("spec.containers[].envFrom[]", "All keys of config maps and secrets as variables."),
    any("spec.containers[].envFrom[].prefix", "What the variables' names begin with.").or("empty"),
    below("spec.containers[].envFrom[].configMapRef", "A config map that is given with the call."),
    any("spec.containers[].envFrom[].configMapRef.name", "The config map."),
    any("spec.containers[].envFrom[].configMapRef.optional", OPTIONAL).or("false"),
    below("spec.containers[].envFrom[].secretRef", "A secret that is given with the call."),
    any("spec.containers[].envFrom[].secretRef.name", "The secret."),
    any("spec.containers[].envFrom[].secretRef.optional", OPTIONAL).or("false"),
    any("spec.containers[].tty", "Give it a terminal.").or("false"),
    any("spec.containers[].stdin", "Give it a standard input that can be attached to.").or("false"),
    any("spec.containers[].stdinOnce", "That input ends with the first who was attached to it, unless there is a terminal.").or("false"),
    below("spec.containers[].ports[]", "Shown, not acted on: every port of a pod can be reached at its address."),
    any("spec.containers[].ports[].name", "A name for probes and hooks."),
    any("spec.containers[].ports[].containerPort", "1 to 65535."),
    only("spec.containers[].ports[].hostPort", "0", "There are no ports of the host: a pod is reached at its address."),
    any("spec.containers[].ports[].protocol", "`TCP`, `UDP` or `SCTP`.").or("TCP"),
    below("spec.containers[].resources", "Its limits, within those of the domain."),
    below("spec.containers[].resources.limits", "What it cannot go beyond."),
    any("spec.containers[].resources.limits.cpu", "CPUs, at most 128; `500m` is half of one (`cpu.max`).").or("those of the domain"),
    any(
        "spec.containers[].resources.limits.memory",
        "Bytes, 1Mi to 64Ti; with more it is ended, reason `OOMKilled` (`memory.max`). The limits add up to the domain's memory where no \
         annotation says it.",
    )
    .or("those of the domain"),
    below("spec.containers[].resources.requests", "What it is promised, at most its limit."),
    any("spec.containers[].resources.requests.cpu", "CPUs: its share when they are short (`cpu.weight`)."),
    any("spec.containers[].resources.requests.memory", "Bytes that it keeps when the domain's memory is short (`memory.low`)."),
    below("spec.containers[].resizePolicy[]", "How its limits are changed: while it runs."),
    any("spec.containers[].resizePolicy[].resourceName", "`cpu` or `memory`."),
    only("spec.containers[].resizePolicy[].restartPolicy", "NotRequired", "Limits are changed while it runs."),
    below("spec.containers[].securityContext", "Who it runs as and what it may do; it counts before the pod's."),
    any("spec.containers[].securityContext.runAsUser", "Its uid, 0 to 4294967294.").or("the pod's, else the image's"),
    any("spec.containers[].securityContext.runAsGroup", "Its gid, 0 to 4294967294.").or("the pod's, else the image's"),
    any("spec.containers[].securityContext.runAsNonRoot", "Refuse to start it as uid 0.").or("the pod's, else false"),
    any("spec.containers[].securityContext.readOnlyRootFilesystem", "Its root file system cannot be written.").or("false"),
    any(
        "spec.containers[].securityContext.allowPrivilegeEscalation",
        "`false` sets `no_new_privs`; it does not go with `privileged` or `SYS_ADMIN`.",
    )
    .or("true"),
    any(
        "spec.containers[].securityContext.privileged",
        "All that the pod's domain can do, and no more: every capability and device of the guest, nothing hidden or write-protected, no \
         system call filter. It cannot reach dom0 or another pod.",
    )
    .or("false"),
    any(
        "spec.containers[].securityContext.procMount",
        "`Default`, or `Unmasked`: nothing of `/proc` and `/sys` is hidden or write-protected.",
    )
    .or("Default"),
    below("spec.containers[].securityContext.capabilities", "Changes to the set that container engines give."),
    any("spec.containers[].securityContext.capabilities.add", "Names to add, with or without `CAP_`; `ALL` for all."),
    any("spec.containers[].securityContext.capabilities.drop", "Names to take away, likewise."),
    below("spec.containers[].securityContext.seccompProfile", "Its system call filter."),
    any(
        "spec.containers[].securityContext.seccompProfile.type",
        "`RuntimeDefault`, the filter that container engines install; `Unconfined`; or `Localhost`, a profile of this host.",
    )
    .or("the pod's, else RuntimeDefault"),
    any(
        "spec.containers[].securityContext.seccompProfile.localhostProfile",
        "The file below `seccomp_dir` of the daemon's configuration, JSON as the OCI runtime specification has it, with Docker's `includes` \
         and `excludes`; `SCMP_ACT_NOTIFY` and `SCMP_ACT_TRACE` are refused. A pod keeps the filter that it was made with.",
    ),
    below("spec.containers[].securityContext.appArmorProfile", super::APPARMOR),
    any("spec.containers[].securityContext.appArmorProfile.type", super::UNCONFINED),
    any(
        "spec.containers[].restartPolicy",
        "Only of an init container, and only `Always`: it is a sidecar. The next is started when it is up, it is started again whenever it \
         ends, and it is ended after all others.",
    ),
    below(
        "spec.containers[].livenessProbe",
        "How it is looked at; of init containers only sidecars have probes. When the startup probe has succeeded, the other two begin. \
         A failure of the startup or liveness probe ends the container, and its restart policy holds; one of the readiness probe makes it \
         not ready.",
    ),
    below("spec.containers[].livenessProbe.exec", "A command in it; 0 is success."),
    any("spec.containers[].livenessProbe.exec.command", "The program and its arguments."),
    below("spec.containers[].livenessProbe.httpGet", HTTP),
    any("spec.containers[].livenessProbe.httpGet.scheme", SCHEME).or("HTTP"),
    any("spec.containers[].livenessProbe.httpGet.port", PORT),
    any("spec.containers[].livenessProbe.httpGet.path", "Path and query, at most 4096 bytes.").or("/"),
    below("spec.containers[].livenessProbe.httpGet.httpHeaders[]", "Headers of the request, at most 64."),
    any("spec.containers[].livenessProbe.httpGet.httpHeaders[].name", "Its name."),
    any("spec.containers[].livenessProbe.httpGet.httpHeaders[].value", "Its value, at most 4096 bytes."),
    below("spec.containers[].livenessProbe.tcpSocket", "A connection by the host to the pod's address."),
    any("spec.containers[].livenessProbe.tcpSocket.port", PORT),
    any("spec.containers[].livenessProbe.initialDelaySeconds", "Seconds before the first look, 0 to 86400.").or("0"),
    any("spec.containers[].livenessProbe.periodSeconds", "Seconds between looks, 1 to 86400.").or("10"),
    any("spec.containers[].livenessProbe.timeoutSeconds", "Seconds that a look may take, 1 to 86400.").or("1"),
    any("spec.containers[].livenessProbe.successThreshold", "Successes in a row that count; of a readiness probe, 1 to 86400, else 1.").or("1"),
    any("spec.containers[].livenessProbe.failureThreshold", "Failures in a row that count, 1 to 86400.").or("3"),
    any(
        "spec.containers[].livenessProbe.terminationGracePeriodSeconds",
        "Seconds of grace when it ends the container, 1 to 86400; not of a readiness probe.",
    )
    .or("the pod's"),
    below("spec.containers[].lifecycle", "What is done at its start and before its end; of init containers only sidecars have it."),
    below(
        "spec.containers[].lifecycle.preStop",
        "One thing to do. `postStart` is done when it has been started, and the next container is started after it; when it fails, the \
         container is ended. `preStop` is done before the stop signal, within the grace.",
    ),
    below("spec.containers[].lifecycle.preStop.exec", "A command in it."),
    any("spec.containers[].lifecycle.preStop.exec.command", "The program and its arguments."),
    below("spec.containers[].lifecycle.preStop.httpGet", HTTP),
    any("spec.containers[].lifecycle.preStop.httpGet.scheme", SCHEME).or("HTTP"),
    any("spec.containers[].lifecycle.preStop.httpGet.port", PORT),
    any("spec.containers[].lifecycle.preStop.httpGet.path", "Path and query, at most 4096 bytes.").or("/"),
    below("spec.containers[].lifecycle.preStop.httpGet.httpHeaders[]", "Headers of the request, at most 64."),
    any("spec.containers[].lifecycle.preStop.httpGet.httpHeaders[].name", "Its name."),
    any("spec.containers[].lifecycle.preStop.httpGet.httpHeaders[].value", "Its value, at most 4096 bytes."),
    below("spec.containers[].lifecycle.preStop.sleep", "Nothing, for a while."),
    any("spec.containers[].lifecycle.preStop.sleep.seconds", "How long, 0 to 86400."),
    any(
        "spec.containers[].terminationMessagePath",
        "A file that it may write its last words to: the first 4096 bytes are its termination message. All containers of a pod \
         have 1 MiB for this together.",
    )
    .or("/dev/termination-log"),
    any(
        "spec.containers[].terminationMessagePolicy",
        "`File`, or `FallbackToLogsOnError`: when it did not end well and the file is empty, the end of its log is the message, at \
         most 80 lines and 2048 bytes.",
    )
    .or("File"),
    below("spec.containers[].volumeMounts[]", "Volumes that it sees."),
    any("spec.containers[].volumeMounts[].name", "One of `spec.volumes`."),
    any("spec.containers[].volumeMounts[].mountPath", "Where: an absolute path without `..`."),
    any("spec.containers[].volumeMounts[].readOnly", "It cannot write to it.").or("false"),
    any("spec.containers[].volumeMounts[].subPath", "What of the volume it sees: a path in it, without `..`.").or("all"),
    only("spec.containers[].volumeMounts[].mountPropagation", "None", "Mounts are not passed on."),
    only("spec.containers[].volumeMounts[].recursiveReadOnly", "Disabled", "Nothing is mounted below a volume."),
];
