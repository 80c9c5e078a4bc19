//! How a container's health is looked at, and what is done at its start and before its end.

use serde::{Deserialize, Serialize};

/// The probes of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// Until it succeeds, the others are not made; when it fails for good, the container is ended.
    pub startup: Option<ProbeSpec>,
    /// When it fails for good, the container is ended.
    pub liveness: Option<ProbeSpec>,
    /// Says whether the container is ready.
    pub readiness: Option<ProbeSpec>,
}

/// A look at a container, made again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSpec {
    /// What is done.
    pub action: Action,
    /// Seconds from the container's start to the first time.
    pub initial_delay_seconds: u32,
    /// Seconds from one time to the next, at least 1.
    pub period_seconds: u32,
    /// Seconds after which it has failed, at least 1.
    pub timeout_seconds: u32,
    /// So many successes in a row make it good.
    pub success_threshold: u32,
    /// So many failures in a row make it bad.
    pub failure_threshold: u32,
    /// Seconds between the stop signal and the kill when it has failed for good; the pod's when not given.
    pub grace_seconds: Option<u32>,
}

/// What is done at the beginning and before the end of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// Right after its start. If it fails, the container is ended.
    pub post_start: Option<Action>,
    /// Before its stop signal, within its grace.
    pub pre_stop: Option<Action>,
}

/// What a probe or a hook does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Runs a command in the container; 0 is success.
    Exec(Vec<String>),
    /// Asks the pod by HTTP; 200 to 399 is success.
    Http(HttpGet),
    /// Connects to this port of the pod.
    Tcp(u16),
    /// Waits for so many seconds.
    Sleep(u32),
}

/// An HTTP request to the pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpGet {
    /// Over TLS; whose certificate it is does not matter.
    pub https: bool,
    /// The port.
    pub port: u16,
    /// Path and query, with its leading `/`.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}
