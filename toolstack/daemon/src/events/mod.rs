//! What has happened: one numbered stream for the whole daemon, which can be read again from any number on.
//!
//! ```text
//!  engine's changes --> observe --> Events: number, ring in memory --> listeners (the bus)
//!                                      |
//!                                      store: <state>/events, written by a thread of its own
//! ```
//!
//! Numbers only grow. After an orderly end they go on where they were; after another end some are left out, because the last ones may
//! not have come to the disk: nothing on the path of a start waits for it.

mod observe;
mod store;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::clock;
use crate::engine::{Change, Engine};
use observe::Observer;
use store::Store;

/// Numbers left out after an end that was not orderly: more than happens until the kernel has written a file.
const GAP: u64 = 10_000;
/// Events that a listener may be behind before it has to read them from the ring.
const BEHIND: usize = 1024;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the stream, from 1.
    pub number: u64,
    /// When, in microseconds since the epoch.
    pub usec: u64,
    /// What, in a word: `pod-state`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whose object it is about.
    pub owner: u32,
    /// The path of the object.
    pub object: String,
    /// The name of the pod, if one is concerned.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// The pod's labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "shared")]
    pub labels: Arc<BTreeMap<String, String>>,
    /// What is to be said of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
}

/// What many events of a pod have in common, on disk.
mod shared {
    use super::{Arc, BTreeMap, Deserialize, Serialize};

    pub(super) fn serialize<S: serde::Serializer>(
        labels: &Arc<BTreeMap<String, String>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        labels.as_ref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<BTreeMap<String, String>>, D::Error> {
        BTreeMap::deserialize(from).map(Arc::new)
    }
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those after this number.
    pub since: u64,
    /// Not more than so many, the oldest first; 0 is all.
    pub limit: u32,
    /// Only of this type.
    pub kind: Option<String>,
    /// Only of the pod of this name.
    pub pod: Option<String>,
    /// Only of pods with this label: `KEY`, or `KEY=VALUE`.
    pub label: Option<String>,
}

impl Filter {
    fn takes(&self, event: &Event) -> bool {
        let labelled = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => event.labels.get(key).is_some_and(|v| v == value),
            None => event.labels.contains_key(wanted),
        };
        event.number > self.since
            && self.kind.as_ref().is_none_or(|k| *k == event.kind)
            && self.pod.as_ref().is_none_or(|p| *p == event.pod)
            && self.label.as_ref().is_none_or(labelled)
    }
}

/// An answer to [`Events::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The events, in their order.
    pub events: Vec<Arc<Event>>,
    /// The number of the oldest that is kept, of whomever; the next one's when there is none.
    pub oldest: u64,
    /// The number to go on from: all up to it have been looked at.
    pub reached: u64,
}

struct Inner {
    ring: VecDeque<Arc<Event>>,
    kept: usize,
    next: u64,
    observer: Observer,
    store: Option<Store>,
}

/// The stream.
pub struct Events {
    inner: Mutex<Inner>,
    told: broadcast::Sender<Arc<Event>>,
}

impl Events {
    /// The stream that is kept in `<state>/events`, going on from what is there. Of a folder that cannot be used it is said once, and
    /// the stream is kept in memory.
    #[must_use]
    pub fn open(state_dir: &Path, kept: usize) -> Self {
        match Store::open(&state_dir.join("events"), kept) {
            Ok((store, found)) => {
                let last = found.events.back().map_or(0, |e| e.number);
                let next = if last == 0 || found.orderly { last + 1 } else { last + GAP };
                Self::new(found.events, kept, next, Some(store))
            }
            Err(error) => {
                tracing::error!(%error, "events are not kept across a restart: {error}");
                Self::in_memory(kept)
            }
        }
    }

    /// A stream that ends with the process.
    #[must_use]
    pub fn in_memory(kept: usize) -> Self {
        Self::new(VecDeque::new(), kept, 1, None)
    }

    fn new(events: VecDeque<Event>, kept: usize, next: u64, store: Option<Store>) -> Self {
        let observer = Observer::after(&events);
        let skip = events.len().saturating_sub(kept);
        let ring = events.into_iter().skip(skip).map(Arc::new).collect();
        let inner = Inner { ring, kept: kept.max(1), next, observer, store };
        Self { inner: Mutex::new(inner), told: broadcast::Sender::new(BEHIND) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a change of the engine's: it is one event, several, or none.
    pub fn observe(&self, engine: &Engine, change: &Change) {
        let mut inner = self.inner();
        for mut event in inner.observer.events(engine, change) {
            event.number = inner.next;
            event.usec = clock::now_usec();
            inner.next += 1;
            let event = Arc::new(event);
            if let Some(store) = &inner.store {
                store.append(event.clone());
            }
            if inner.ring.len() >= inner.kept {
                inner.ring.pop_front();
            }
            inner.ring.push_back(event.clone());
            // Nobody may listen.
            let _ = self.told.send(event);
        }
    }

    /// Those that happened, as far as they are kept, and `may_see` says so of their owner.
    #[must_use]
    pub fn list(&self, filter: &Filter, may_see: impl Fn(u32) -> bool) -> Page {
        let inner = self.inner();
        let from = inner.ring.partition_point(|e| e.number <= filter.since);
        let limit = if filter.limit == 0 { usize::MAX } else { filter.limit as usize };
        let wanted = inner.ring.range(from..).filter(|e| filter.takes(e) && may_see(e.owner));
        let events: Vec<Arc<Event>> = wanted.take(limit).cloned().collect();
        let last = inner.next - 1;
        let reached = if events.len() == limit { events.last().map_or(last, |e| e.number) } else { last };
        Page { events, oldest: inner.ring.front().map_or(inner.next, |e| e.number), reached }
    }

    /// What happens from now on.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.told.subscribe()
    }

    /// Sees to it that all of it is on disk: the next numbers follow on these. May block.
    pub fn close(&self) {
        let store = self.inner().store.take();
        if let Some(store) = store {
            store.close();
        }
    }
}

#[cfg(test)]
mod tests;
