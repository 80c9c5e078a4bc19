//! One container of a pod: what runs in it, as whom, within which limits.

use serde::{Deserialize, Serialize};

use super::{Field, Lifecycle, Probes, RestartPolicy, SourceRef};

/// When an image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Before each create.
    Always,
    /// When it is not here.
    IfNotPresent,
    /// Never: it must be here.
    Never,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Unique in the pod: a DNS-1123 label.
    pub name: String,
    /// The image's reference, as given.
    pub image: String,
    /// When it is fetched.
    pub pull_policy: PullPolicy,
    /// Replaces the image's entry point.
    pub command: Option<Vec<String>>,
    /// Replaces the image's arguments.
    pub args: Option<Vec<String>>,
    /// Replaces the image's working directory.
    pub working_dir: Option<String>,
    /// Added to the image's environment, in order, `$(NAME)` expanded.
    pub env: Vec<(String, String)>,
    /// All of the environment, in order, when some of it is known only in the guest: then `env` is empty, and `$(NAME)` in
    /// it, in `command` and in `args` is expanded there.
    #[serde(default)]
    pub late_env: Vec<LateEnv>,
    /// Give it a terminal.
    pub tty: bool,
    /// Give it a standard input that can be attached to.
    pub stdin: bool,
    /// That ends with the first who was attached to it.
    #[serde(default)]
    pub stdin_once: bool,
    /// Who it runs as and what it may do.
    pub security: SecuritySpec,
    /// Its limits.
    pub resources: Resources,
    /// Volumes it sees.
    pub mounts: Vec<MountSpec>,
    /// Ports it says it listens on: shown, not acted on.
    pub ports: Vec<PortSpec>,
    /// Its part in the pod's life.
    #[serde(default)]
    pub role: Role,
    /// What happens when it ends, where that is not what the pod says.
    #[serde(default)]
    pub restart_policy: Option<RestartPolicy>,
    /// How its health is looked at.
    #[serde(default)]
    pub probes: Probes,
    /// What is done at its start and before its end.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// Its last words.
    #[serde(default)]
    pub termination: Termination,
}

/// What a container leaves behind to say why it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Termination {
    /// The file in the container that it may write them to; absolute.
    pub path: String,
    /// The end of its log stands for a file that is empty, when it did not end well.
    pub from_log: bool,
}

impl Default for Termination {
    fn default() -> Self {
        Self { path: "/dev/termination-log".into(), from_log: false }
    }
}

/// A container's part in the life of its pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// One of `containers`: started with the others, and the pod lasts until all of them have ended.
    #[default]
    App,
    /// One of `initContainers`: runs to its end before the next is started.
    Init,
    /// One of `initContainers` that is restarted always: it stays beside the others and ends after them.
    Sidecar,
    /// Made in the running pod: started by request only.
    Added,
}

impl Role {
    /// The word on the bus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Init => "init",
            Self::Sidecar => "sidecar",
            Self::Added => "added",
        }
    }
}

/// A part of an environment that is put together in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LateEnv {
    /// A variable.
    Value {
        /// Its name.
        name: String,
        /// Its value, `$(NAME)` not expanded yet.
        value: String,
    },
    /// A fact about the pod.
    Field {
        /// The variable's name.
        name: String,
        /// The fact.
        field: Field,
    },
    /// One key.
    Key {
        /// The variable's name.
        name: String,
        /// Of what.
        source: SourceRef,
        /// The key.
        key: String,
        /// It need not be there.
        optional: bool,
    },
    /// Every key, in the order of their names.
    All {
        /// What the variables' names begin with.
        prefix: String,
        /// Of what.
        source: SourceRef,
        /// It need not be there.
        optional: bool,
    },
}

/// Who a container runs as and what it may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecuritySpec {
    /// Overrides the image's user.
    pub run_as_user: Option<u32>,
    /// Overrides the image's group.
    pub run_as_group: Option<u32>,
    /// Refuse to run as uid 0.
    pub run_as_non_root: bool,
    /// Further groups.
    pub supplemental_groups: Vec<u32>,
    /// Capabilities to add to the default set, without `CAP_`; `ALL` for all.
    pub add_capabilities: Vec<String>,
    /// Capabilities to take away, likewise.
    pub drop_capabilities: Vec<String>,
    /// The root file system cannot be written.
    pub read_only_root: bool,
    /// `false`: `no_new_privs` is set.
    pub allow_privilege_escalation: bool,
    /// The system call filter.
    pub seccomp: Seccomp,
    /// Everything the pod's domain can do: all capabilities, all devices, /sys and /proc writable, no filter.
    #[serde(default)]
    pub privileged: bool,
    /// Nothing of /proc and /sys is hidden or write-protected.
    #[serde(default)]
    pub unmasked_proc: bool,
}

impl Default for SecuritySpec {
    fn default() -> Self {
        Self {
            run_as_user: None,
            run_as_group: None,
            run_as_non_root: false,
            supplemental_groups: Vec::new(),
            add_capabilities: Vec::new(),
            drop_capabilities: Vec::new(),
            read_only_root: false,
            allow_privilege_escalation: true,
            seccomp: Seccomp::RuntimeDefault,
            privileged: false,
            unmasked_proc: false,
        }
    }
}

/// The system call filter of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The filter that container engines install.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// One of the host's own profiles.
    Localhost {
        /// Its path in the folder of profiles.
        profile: String,
        /// What it was compiled to when the pod was made, in hexadecimal; empty in what comes from a manifest.
        program: String,
    },
}

/// A container's limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// `memory.max`, in bytes.
    pub memory_limit: Option<u64>,
    /// What it is promised, in bytes.
    pub memory_request: Option<u64>,
    /// `cpu.max`, in thousandths of a CPU.
    pub cpu_limit_milli: Option<u64>,
    /// `cpu.weight` derives from it, in thousandths of a CPU.
    pub cpu_request_milli: Option<u64>,
}

/// A volume in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// The volume's name.
    pub volume: String,
    /// Where it is seen: an absolute path.
    pub path: String,
    /// It cannot be written.
    pub read_only: bool,
    /// What of the volume is seen: a path in it; empty for all.
    #[serde(default)]
    pub sub_path: String,
}

/// A port, for information.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortSpec {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The port.
    pub port: u16,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
}
