//! What a pod's containers can be told about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::PodSpec;

/// A fact about the pod, for its containers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field {
    /// Its name.
    Name,
    /// Its namespace.
    Namespace,
    /// Its id.
    Uid,
    /// All labels, a line each.
    Labels,
    /// All annotations, a line each.
    Annotations,
    /// One label; nothing when there is none.
    Label(String),
    /// One annotation; nothing when there is none.
    Annotation(String),
    /// Its first address.
    PodIp,
    /// Its addresses, with commas.
    PodIps,
    /// The name of the host.
    NodeName,
    /// A limit or request of a container, divided, rounded up.
    Resource {
        /// It is in thousandths of a CPU; else in bytes.
        cpu: bool,
        /// How much; all that the pod has, when nothing was asked for.
        value: Option<u64>,
        /// By what it is divided, in the same unit; not 0.
        divisor: u64,
    },
}

impl Field {
    /// What it is for this pod.
    #[must_use]
    pub fn value(&self, pod: &PodSpec) -> String {
        // As the kubelet writes a map into a file: sorted, values quoted.
        let lines = |map: &BTreeMap<String, String>| -> String {
            map.iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join("\n")
        };
        match self {
            Self::Name => pod.name.clone(),
            Self::Namespace => pod.namespace.clone(),
            Self::Uid => pod.known.uid.clone(),
            Self::Labels => lines(&pod.labels),
            Self::Annotations => lines(&pod.annotations),
            Self::Label(key) => pod.labels.get(key).cloned().unwrap_or_default(),
            Self::Annotation(key) => pod.annotations.get(key).cloned().unwrap_or_default(),
            Self::PodIp => pod.known.ips.first().map(ToString::to_string).unwrap_or_default(),
            Self::PodIps => pod.known.ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Self::NodeName => pod.known.node_name.clone(),
            Self::Resource { cpu, value, divisor } => {
                let of_pod = if *cpu { u64::from(pod.vcpus) * 1000 } else { pod.memory_mib << 20 };
                value.unwrap_or(of_pod).div_ceil((*divisor).max(1)).to_string()
            }
        }
    }
}
