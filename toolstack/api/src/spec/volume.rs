//! The volumes of a pod, and where files in them come from.

use serde::{Deserialize, Serialize};

use super::Field;

/// Files that are given beside the manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SourceRef {
    /// Which kind.
    pub kind: SourceKind,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for SourceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind.as_str(), self.name)
    }
}

/// The kind of a [`SourceRef`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SourceKind {
    /// What may be seen by all.
    ConfigMap,
    /// What may not.
    Secret,
}

impl SourceKind {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "config map",
            Self::Secret => "secret",
        }
    }
}

/// A directory that containers share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Unique in the pod.
    pub name: String,
    /// Its kind.
    pub kind: VolumeKind,
    /// The user and the group that it belongs to, when not root and [`PodSpec::fs_group`].
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
}

/// The kind of a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeKind {
    /// Empty at the start, gone with the pod, in the domain's memory.
    EmptyDirMemory {
        /// Its size limit in bytes.
        size_limit: Option<u64>,
    },
    /// Empty at the start, gone with the pod, beside the writable layers.
    EmptyDirScratch,
    /// Empty at the start, gone with the pod, on a disk of its own.
    EmptyDirDisk {
        /// The disk's size in bytes.
        size_limit: u64,
    },
    /// Files in the guest's memory, from what was given beside the manifest.
    Files {
        /// The mode of files whose item does not say.
        default_mode: u32,
        /// Where they come from; of two with one path the later one counts.
        sources: Vec<FileSource>,
    },
}

/// Where files of a volume come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileSource {
    /// Keys of a config map or secret, each a file.
    Keys {
        /// Of what.
        source: SourceRef,
        /// Neither it nor its keys need be there.
        optional: bool,
        /// Which keys; all when empty.
        items: Vec<KeyItem>,
    },
    /// A file that says something about the pod.
    Field {
        /// Its path in the volume.
        path: String,
        /// What it says.
        field: Field,
        /// Its mode.
        mode: Option<u32>,
    },
}

/// One key as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyItem {
    /// The key.
    pub key: String,
    /// The file's path in the volume.
    pub path: String,
    /// Its mode.
    pub mode: Option<u32>,
}
