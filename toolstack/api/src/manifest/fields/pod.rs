//! The pod's own fields, and its volumes.

use super::{Field, any, below, only};

const OPTIONAL: &str = "Whether the pod may start although it, or a key of it, was not given.";
const KEY: &str = "One key.";
const FILE: &str = "The file's path within the volume, without `..`.";
const FILE_MODE: &str = "The file's permission bits, 0 to 0777; `0440` is octal, as in Kubernetes.";
const DEFAULT_MODE: &str = "The permission bits of files whose item does not say, 0 to 0777.";
const ITEMS: &str = "Which keys become files; all when there are none here, each under its own name.";
const HOST: &str = "There is one host, and nothing to choose it by.";
const ACCOUNT: &str = "There is no API server to have an account at.";
const PREFERRED: &str = "Changes nothing: with one host a wish is met, or cannot be.";
const WISHES: &str = "Wishes for a host; what is required of one is refused.";
const NO_DOMAIN: &str = "Pods have no domain name.";
const FACT: &str = "What the file says: `metadata.name`, `metadata.namespace`, `metadata.uid`, `metadata.labels`, `metadata.annotations`, \
    `metadata.labels['KEY']` or `metadata.annotations['KEY']`.";

pub(super) const FIELDS: &[Field] = &[
    any("apiVersion", "Must be `v1`."),
    any("kind", "Must be `Pod`."),
    below("metadata", "Who the pod is."),
    any(
        "metadata.name",
        "Unique on the host: lower-case letters, digits, `-` and `.`, at most 63, and not of the form of an id. Needed.",
    ),
    any(
        "metadata.namespace",
        "A DNS label. It is shown, and told to containers that ask by `fieldRef`; it divides nothing: names are unique on the host.",
    )
    .or("default"),
    any("metadata.labels", "Kept and shown; events can be chosen by them."),
    any(
        "metadata.annotations",
        "Kept and shown. Those that begin with `xenpod.org/` say what Kubernetes has no field for, and must be known ones. Those \
         that Kubernetes once read security from are refused: `container.apparmor.security.beta.kubernetes.io/…` unless it is \
         `unconfined`, `seccomp.security.alpha.kubernetes.io/…` and `container.seccomp.security.alpha.kubernetes.io/…` unless it is \
         `runtime/default`.",
    ),
    below("spec", "What runs in the pod. Needed."),
    any("spec.hostname", "The guest's hostname, a DNS label.").or("the pod's name, dots made dashes"),
    any(
        "spec.restartPolicy",
        "What happens when a container ends: `Always`, `OnFailure` or `Never`. It is started again after 10 s, then twice as long, up to \
         5 min; ten minutes of running forget it.",
    )
    .or("Always"),
    any("spec.terminationGracePeriodSeconds", "Seconds from the stop signal to SIGKILL, 0 to 86400.").or("30"),
    any("spec.shareProcessNamespace", "One process tree for the whole pod.").or("false"),
    below("spec.hostAliases[]", "Further lines of `/etc/hosts`."),
    any("spec.hostAliases[].ip", "The address."),
    any("spec.hostAliases[].hostnames", "Its names."),
    any(
        "spec.dnsPolicy",
        "`Default`, or `ClusterFirst` or `ClusterFirstWithHostNet`, which are the same without a cluster: the network's servers, and then \
         those of `dnsConfig`. `None`: only those of `dnsConfig`.",
    )
    .or("Default"),
    below("spec.dnsConfig", "What is added to `/etc/resolv.conf`."),
    any("spec.dnsConfig.nameservers", "Addresses of servers."),
    any("spec.dnsConfig.searches", "Domains to search."),
    below("spec.dnsConfig.options[]", "Options of the resolver."),
    any("spec.dnsConfig.options[].name", "Its name, such as `ndots`."),
    any("spec.dnsConfig.options[].value", "Its value, if it has one."),
    only("spec.automountServiceAccountToken", "false", "There is no service account to mount a token of."),
    only("spec.serviceAccountName", "default", ACCOUNT),
    only("spec.serviceAccount", "default", ACCOUNT),
    any("spec.enableServiceLinks", "Changes nothing: there are no services to tell containers of."),
    only("spec.setHostnameAsFQDN", "false", NO_DOMAIN),
    any(
        "spec.nodeSelector",
        "Only `kubernetes.io/os: linux` and `kubernetes.io/arch: amd64`, which are so: there is one host, and nothing to choose it by.",
    ),
    any("spec.tolerations[]", "Changes nothing: they permit, and ask for nothing."),
    below("spec.affinity", WISHES),
    below("spec.affinity.nodeAffinity", WISHES),
    any("spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[]", PREFERRED),
    below("spec.affinity.podAffinity", WISHES),
    any("spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[]", PREFERRED),
    below("spec.affinity.podAntiAffinity", WISHES),
    any("spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[]", PREFERRED),
    below("spec.topologySpreadConstraints[]", "Wishes for how pods are spread over hosts; with one host they change nothing."),
    only("spec.topologySpreadConstraints[].whenUnsatisfiable", "ScheduleAnyway", HOST),
    any("spec.topologySpreadConstraints[].maxSkew", "Changes nothing."),
    any("spec.topologySpreadConstraints[].minDomains", "Changes nothing."),
    any("spec.topologySpreadConstraints[].topologyKey", "Changes nothing."),
    any("spec.topologySpreadConstraints[].labelSelector", "Changes nothing."),
    any("spec.topologySpreadConstraints[].matchLabelKeys", "Changes nothing."),
    any("spec.topologySpreadConstraints[].nodeAffinityPolicy", "Changes nothing."),
    any("spec.topologySpreadConstraints[].nodeTaintsPolicy", "Changes nothing."),
    only("spec.schedulerName", "default-scheduler", HOST),
    only("spec.priority", "0", HOST),
    only("spec.preemptionPolicy", "PreemptLowerPriority", HOST),
    below("spec.os", "What the pod runs on."),
    only("spec.os.name", "linux", "Pods run Linux."),
    only("spec.hostUsers", "false", "A pod's users are those of its own kernel."),
    only("spec.hostNetwork", "false", "A pod has the interface of its own domain."),
    only("spec.hostPID", "false", "A pod has the processes of its own domain."),
    only("spec.hostIPC", "false", "A pod has the IPC objects of its own domain."),
    below("spec.securityContext", "What holds for every container that does not say otherwise, and for the pod as a whole."),
    any("spec.securityContext.runAsUser", "The uid that containers run as, 0 to 4294967294.").or("the image's user"),
    any("spec.securityContext.runAsGroup", "The gid that containers run as, 0 to 4294967294.").or("the image's group"),
    any("spec.securityContext.runAsNonRoot", "Refuse to start a container that would run as uid 0.").or("false"),
    any("spec.securityContext.supplementalGroups", "Further groups of every container."),
    below("spec.securityContext.seccompProfile", "The system call filter of containers that have none of their own."),
    any("spec.securityContext.seccompProfile.type", "As for a container's own.").or("RuntimeDefault"),
    any("spec.securityContext.seccompProfile.localhostProfile", "As for a container's own."),
    below("spec.securityContext.appArmorProfile", super::APPARMOR),
    any("spec.securityContext.appArmorProfile.type", super::UNCONFINED),
    below(
        "spec.securityContext.sysctls[]",
        "Parameters of the kernel. Any may be set: the kernel is the pod's own. Those of an ipc namespace (`kernel.shm*`, `kernel.msg*`, \
         `kernel.sem`, `fs.mqueue.*`) are set in each container.",
    ),
    any("spec.securityContext.sysctls[].name", "Its name, with dots or slashes."),
    any("spec.securityContext.sysctls[].value", "Its value."),
    any("spec.securityContext.fsGroup", "A group of every container, to which volumes belong, 0 to 4294967294.").or("root's"),
    any(
        "spec.securityContext.fsGroupChangePolicy",
        "Changes nothing: volumes are made anew for each start, and belong to `fsGroup` from the beginning.",
    ),
    only("spec.securityContext.supplementalGroupsPolicy", "Merge", "The groups of the image's user are kept."),
    below(
        "spec.volumes[]",
        "Directories that the pod's containers share, from a start of the pod to its stop. Each is of one kind, and of `emptyDir` when \
         it does not say.",
    ),
    any("spec.volumes[].name", "Unique in the pod: a DNS label."),
    below("spec.volumes[].emptyDir", "Empty at the start. Without `medium: Memory` it is on the scratch disk."),
    any("spec.volumes[].emptyDir.medium", "`Memory`: in the domain's memory. Empty: on disk."),
    any(
        "spec.volumes[].emptyDir.sizeLimit",
        "Bytes that it can hold, enforced by the kernel: in memory as the size of a tmpfs, on disk as the size of a disk of its own (`1Mi` \
         to `8Ti`), of which the file system takes a small part.",
    )
    .or("what there is room for"),
    below("spec.volumes[].configMap", "Files from a config map that is given with the call. They are read-only."),
    any("spec.volumes[].configMap.name", "The config map."),
    any("spec.volumes[].configMap.optional", OPTIONAL).or("false"),
    any("spec.volumes[].configMap.defaultMode", DEFAULT_MODE).or("0644"),
    below("spec.volumes[].configMap.items[]", ITEMS),
    any("spec.volumes[].configMap.items[].key", KEY),
    any("spec.volumes[].configMap.items[].path", FILE),
    any("spec.volumes[].configMap.items[].mode", FILE_MODE).or("`defaultMode`"),
    below("spec.volumes[].secret", "Files from a secret that is given with the call. They are read-only, and in memory only."),
    any("spec.volumes[].secret.secretName", "The secret."),
    any("spec.volumes[].secret.optional", OPTIONAL).or("false"),
    any("spec.volumes[].secret.defaultMode", DEFAULT_MODE).or("0644"),
    below("spec.volumes[].secret.items[]", ITEMS),
    any("spec.volumes[].secret.items[].key", KEY),
    any("spec.volumes[].secret.items[].path", FILE),
    any("spec.volumes[].secret.items[].mode", FILE_MODE).or("`defaultMode`"),
    below("spec.volumes[].downwardAPI", "Files that say something about the pod. They are read-only."),
    any("spec.volumes[].downwardAPI.defaultMode", DEFAULT_MODE).or("0644"),
    below("spec.volumes[].downwardAPI.items[]", "The files."),
    any("spec.volumes[].downwardAPI.items[].path", FILE),
    any("spec.volumes[].downwardAPI.items[].mode", FILE_MODE).or("`defaultMode`"),
    below("spec.volumes[].downwardAPI.items[].fieldRef", "A fact about the pod."),
    any("spec.volumes[].downwardAPI.items[].fieldRef.fieldPath", FACT),
    only("spec.volumes[].downwardAPI.items[].fieldRef.apiVersion", "v1", "A Pod has one version."),
    below("spec.volumes[].downwardAPI.items[].resourceFieldRef", "A limit or request of a container."),
    any("spec.volumes[].downwardAPI.items[].resourceFieldRef.resource", super::RESOURCE),
    any("spec.volumes[].downwardAPI.items[].resourceFieldRef.containerName", "The container."),
    any("spec.volumes[].downwardAPI.items[].resourceFieldRef.divisor", super::DIVISOR).or("1"),
    below("spec.volumes[].projected", "Several of these in one directory. Of two files with one path the later one counts."),
    any("spec.volumes[].projected.defaultMode", DEFAULT_MODE).or("0644"),
    below("spec.volumes[].projected.sources[]", "Where its files come from."),
    below("spec.volumes[].projected.sources[].configMap", "A config map."),
    any("spec.volumes[].projected.sources[].configMap.name", "The config map."),
    any("spec.volumes[].projected.sources[].configMap.optional", OPTIONAL).or("false"),
    below("spec.volumes[].projected.sources[].configMap.items[]", ITEMS),
    any("spec.volumes[].projected.sources[].configMap.items[].key", KEY),
    any("spec.volumes[].projected.sources[].configMap.items[].path", FILE),
    any("spec.volumes[].projected.sources[].configMap.items[].mode", FILE_MODE).or("`defaultMode`"),
    below("spec.volumes[].projected.sources[].secret", "A secret."),
    any("spec.volumes[].projected.sources[].secret.name", "The secret."),
    any("spec.volumes[].projected.sources[].secret.optional", OPTIONAL).or("false"),
    below("spec.volumes[].projected.sources[].secret.items[]", ITEMS),
    any("spec.volumes[].projected.sources[].secret.items[].key", KEY),
    any("spec.volumes[].projected.sources[].secret.items[].path", FILE),
    any("spec.volumes[].projected.sources[].secret.items[].mode", FILE_MODE).or("`defaultMode`"),
    below("spec.volumes[].projected.sources[].downwardAPI", "Facts about the pod."),
    below("spec.volumes[].projected.sources[].downwardAPI.items[]", "The files."),
    any("spec.volumes[].projected.sources[].downwardAPI.items[].path", FILE),
    any("spec.volumes[].projected.sources[].downwardAPI.items[].mode", FILE_MODE).or("`defaultMode`"),
    below("spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef", "A fact about the pod."),
    any("spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef.fieldPath", FACT),
    only("spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef.apiVersion", "v1", "A Pod has one version."),
    below("spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef", "A limit or request of a container."),
    any("spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.resource", super::RESOURCE),
    any("spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.containerName", "The container."),
    any("spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.divisor", super::DIVISOR).or("1"),
];
