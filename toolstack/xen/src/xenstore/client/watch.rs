//! Watches: what changed, for whoever asked to be told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Client;
use super::connection::Submitted;
use crate::xenstore::error::{Error, Result};
use crate::xenstore::path;
use crate::xenstore::wire::Kind;

/// How many distinct paths a watcher may fall behind before it is told to look at everything.
const QUEUE_MAX: usize = 256;

/// What a watch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// This path changed, or something below it is gone.
    Changed(String),
    /// Events were lost, with the connection or because nobody took them: look at everything.
    Resync,
}

/// A watch. Dropping it takes it back.
#[derive(Debug)]
pub struct Watch {
    client: Client,
    token: String,
    queue: Arc<Queue>,
    /// The daemon said no: there is nothing to take back there.
    refused: bool,
}

impl Watch {
    pub(super) async fn set(client: Client, path: &str) -> Result<Watch> {
        Self::begin(client, path)?.finish(path).await
    }

    /// Sends the request for a watch.
    pub(super) fn begin(client: Client, path: &str) -> Result<Begun> {
        path::check_watch(path)?;
        let queue = Arc::new(Queue::default());
        let (token, submitted) = client.connection.add_watch(path, queue.clone())?;
        Ok(Begun { watch: Watch { client, token, queue, refused: false }, submitted })
    }

    /// The next event; the first comes at once. `None` when the connection is gone for good.
    ///
    /// A path that changes many times before it is looked at is told once. May be dropped and called again at any point.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        loop {
            let more = self.queue.more.notified();
            match self.queue.pop() {
                Popped::Event(event) => return Some(event),
                Popped::Closed => return None,
                Popped::Empty => more.await,
            }
        }
    }
}

/// A watch whose request is on the way. A caller who gives up leaves none behind.
pub struct Begun {
    watch: Watch,
    submitted: Submitted,
}

impl Begun {
    /// Waits until the watch is set.
    pub(super) async fn finish(mut self, path: &str) -> Result<Watch> {
        match self.submitted.value(Kind::Watch, path).await {
            Ok(_) => Ok(self.watch),
            Err(error) => {
                self.watch.refused = matches!(error, Error::Refused { .. });
                Err(error)
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.client.connection.remove_watch(&self.token, !self.refused);
    }
}

/// A watch's events on their way from the connection's task. Never blocks that task, and is bounded.
#[derive(Debug, Default)]
pub struct Queue {
    events: Mutex<Events>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Events {
    paths: VecDeque<String>,
    resync: bool,
    closed: bool,
}

enum Popped {
    Event(WatchEvent),
    Closed,
    Empty,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A path changed.
    pub fn changed(&self, path: &str) {
        let mut events = self.lock();
        if events.resync || events.paths.iter().any(|queued| queued == path) {
            return;
        }
        if events.paths.len() < QUEUE_MAX {
            events.paths.push_back(path.to_owned());
        } else {
            events.paths.clear();
            events.resync = true;
        }
        drop(events);
        self.more.notify_one();
    }

    /// Anything may have changed.
    pub fn resync(&self) {
        let mut events = self.lock();
        events.paths.clear();
        events.resync = true;
        drop(events);
        self.more.notify_one();
    }

    /// There will be no more events.
    pub fn close(&self) {
        self.lock().closed = true;
        self.more.notify_one();
    }

    fn pop(&self) -> Popped {
        let mut events = self.lock();
        if std::mem::take(&mut events.resync) {
            return Popped::Event(WatchEvent::Resync);
        }
        match events.paths.pop_front() {
            Some(path) => Popped::Event(WatchEvent::Changed(path)),
            None if events.closed => Popped::Closed,
            None => Popped::Empty,
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
