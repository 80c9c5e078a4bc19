//! What is kept of a pod.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use xenpod_api::ids::PodId;
use xenpod_api::spec::PodSpec;
use xenpod_api::state::{ContainerState, ExitReason, PodState};

/// The version of the record's form. Added fields with a default do not change it.
pub const VERSION: u32 = 1;

/// What is to become of the pod: what the reconciler works towards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intent {
    /// It is being built, or stands built and paused.
    Create,
    /// It runs, or is being started.
    Run,
    /// It is stopped or has failed, and holds nothing but its folder.
    Stop,
    /// It is being removed.
    Remove,
}

/// The addresses of a pod on the `default` network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6.
    pub v6: Ipv6Addr,
    /// MAC.
    pub mac: [u8; 6],
}

/// The image a container runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageUse {
    /// The reference in the manifest.
    pub reference: String,
    /// What it was resolved to, `sha256:<hex>`.
    pub digest: String,
}

/// What is kept of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// Its name.
    pub name: String,
    /// Its image, once resolved.
    pub image: Option<ImageUse>,
    /// What runs, once the image is known.
    pub command: Vec<String>,
    /// Where it is in its life.
    pub state: ContainerState,
    /// Its last exit code: 128 + N when signal N ended it.
    pub exit_code: i32,
    /// The signal that ended it, or 0.
    pub signal: i32,
    /// Why it ended.
    pub reason: Option<ExitReason>,
    /// More about it.
    pub message: String,
    /// Microseconds since the epoch, or 0.
    pub started_usec: u64,
    /// Microseconds since the epoch, or 0.
    pub finished_usec: u64,
    /// How often the restart policy started it again.
    pub restarts: u32,
    /// The process id in the guest, or 0.
    #[serde(default)]
    pub pid: u32,
    /// The streams of its output: stdout, stderr; 0 for none.
    #[serde(default)]
    pub streams: [u32; 2],
    /// What it is called in the guest and in its log's file, when it was renamed; else empty.
    #[serde(default)]
    pub key: String,
    /// It was ended by request: the restart policy lets it be, and it does not end the pod.
    #[serde(default)]
    pub held: bool,
    /// Its hook and its startup probe have succeeded.
    #[serde(default)]
    pub up: bool,
    /// It is up, and its readiness probe says so.
    #[serde(default)]
    pub ready: bool,
    /// The stream of its standard input; 0 for none.
    #[serde(default)]
    pub stdin: u32,
    /// What it left behind when it ended last: at most 4096 bytes.
    #[serde(default)]
    pub termination: String,
}

impl ContainerRecord {
    /// A container that has not been started.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            image: None,
            command: Vec::new(),
            state: ContainerState::Created,
            exit_code: 0,
            signal: 0,
            reason: None,
            message: String::new(),
            started_usec: 0,
            finished_usec: 0,
            restarts: 0,
            pid: 0,
            streams: [0, 0],
            key: String::new(),
            held: false,
            up: false,
            ready: false,
            stdin: 0,
            termination: String::new(),
        }
    }

    /// What it is called in the guest and in its log's file. A new name does not change it.
    #[must_use]
    pub fn key(&self) -> &str {
        if self.key.is_empty() { &self.name } else { &self.key }
    }
}

/// A size that a pod is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResizeRecord {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// vCPUs.
    pub vcpus: u32,
    /// What the domain owned less than its size when this began, in KiB: its guest gives some pages back when it boots.
    pub apart_kib: i64,
}

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// The pod's id, and its domain's UUID.
    pub id: PodId,
    /// The user who made it.
    pub owner_uid: u32,
    /// When, in microseconds since the epoch.
    pub created_usec: u64,
    /// The manifest, as given.
    pub manifest: String,
    /// The manifest, as understood.
    pub spec: PodSpec,
    /// What is to become of it.
    pub intent: Intent,
    /// Its state when this was written.
    pub state: PodState,
    /// Why it is in that state: one word.
    pub reason: String,
    /// Why it is in that state: a sentence.
    pub message: String,
    /// When it last started to run, or 0.
    pub started_usec: u64,
    /// When it last stopped or failed, or 0.
    pub stopped_usec: u64,
    /// Its addresses. Held until the pod is removed.
    pub lease: Option<LeaseRecord>,
    /// The containers, in the manifest's order.
    pub containers: Vec<ContainerRecord>,
    /// The guest kernel that it pins, `sha256:<hex>`. Daemons before the store of kernels noted the bare `<hex>` of the last build, which pins
    /// nothing.
    #[serde(default)]
    pub kernel_digest: String,
    /// What that kernel was called when the pod was made.
    #[serde(default)]
    pub kernel_name: String,
    /// The domain's number when this was written: a hint, the UUID is what counts.
    #[serde(default)]
    pub domid: Option<u16>,
    /// Stream ids from here on were never used in this domain's life.
    #[serde(default)]
    pub next_stream: u32,
    /// What each disk of the domain holds, once that is not what the containers' order says: an image's digest, `scratch`, or
    /// nothing.
    #[serde(default)]
    pub disks: Vec<String>,
    /// The size that it is being brought to, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<ResizeRecord>,
    /// The last event of the guest that this record reflects.
    #[serde(default)]
    pub last_event: u64,
    /// Fields of the same version that this daemon does not know, kept.
    #[serde(flatten)]
    pub rest: BTreeMap<String, serde_json::Value>,
}
