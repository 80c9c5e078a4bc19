//! The states of pods and containers, as the strings they are on the bus and in the journal.
//!
//! ```text
//! creating -> created -> starting -> running -> stopping -> stopped
//!                                     |  ^
//!                                     v  |
//!                                    paused          any of them -> failed
//! ```
//! Which request is allowed in which state is the daemon's concern; this is the vocabulary.

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every value, in the order of a life.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// The word used on the bus and on disk.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;
            fn from_str(s: &str) -> Result<Self, UnknownWord> {
                Self::ALL.iter().copied().find(|v| v.as_str() == s).ok_or_else(|| UnknownWord(s.into(), stringify!($name)))
            }
        }
    };
}

/// A word that is not one of the type's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a {1}")]
pub struct UnknownWord(pub String, pub &'static str);

words! {
    /// The state of a pod.
    PodState {
        /// Its record is on disk; images, scratch, addresses and the domain are being prepared.
        Creating = "creating",
        /// The domain exists and is paused; nothing of the tenant has run.
        Created = "created",
        /// The guest boots and its containers are being started.
        Starting = "starting",
        /// The guest runs and every container has been started.
        Running = "running",
        /// The domain is paused, by us or from outside.
        Paused = "paused",
        /// The containers are being ended and the guest shut down.
        Stopping = "stopping",
        /// The domain is gone in order; the record, logs and scratch remain.
        Stopped = "stopped",
        /// Something went wrong; `Reason` and `Message` say what.
        Failed = "failed",
    }
}

impl PodState {
    /// True while the pod may have a domain.
    #[must_use]
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Stopped | Self::Failed)
    }
}

words! {
    /// The state of a container.
    ContainerState {
        /// Not started yet.
        Created = "created",
        /// Its first process runs.
        Running = "running",
        /// Ended, and waiting to be started again by the pod's restart policy.
        Waiting = "waiting",
        /// Ended for good.
        Exited = "exited",
    }
}

words! {
    /// Why a container ended.
    ExitReason {
        /// With status 0.
        Completed = "Completed",
        /// With another status, or it could not be started.
        Error = "Error",
        /// The kernel killed it, or a process of it, for memory.
        OomKilled = "OOMKilled",
        /// A signal ended it.
        Signal = "Signal",
    }
}

words! {
    /// What a job ended with.
    JobResult {
        /// All of it was done.
        Done = "done",
        /// It failed; `ErrorName` and `ErrorMessage` say why. What it had taken is given back.
        Failed = "failed",
        /// It was cancelled. What it had taken is given back.
        Cancelled = "cancelled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_go_both_ways() {
        for s in PodState::ALL {
            assert_eq!(s.as_str().parse(), Ok(*s));
            assert_eq!(serde_json::to_string(s).unwrap(), format!("\"{s}\""));
        }
        assert_eq!("OOMKilled".parse(), Ok(ExitReason::OomKilled));
        assert_eq!("Running".parse::<PodState>().unwrap_err().to_string(), "\"Running\" is not a PodState");
    }

    #[test]
    fn a_failed_pod_is_not_live() {
        let live: Vec<_> = PodState::ALL.iter().filter(|s| s.is_live()).map(|s| s.as_str()).collect();
        assert_eq!(live, ["creating", "created", "starting", "running", "paused", "stopping"]);
    }
}
