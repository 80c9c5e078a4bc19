//! Changes on their way to listeners: in order, and not more than a slow bus can be let to pile up.
//!
//! Every state that a pod or one of its containers was in stays, until [`PICTURES`] wait; from then on the newest picture of a pod takes
//! the place of the one that waits.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::engine::{Change, PodStatus};

/// Pictures that wait at most, besides one a pod. Each is about as large as the pod's manifest.
pub(super) const PICTURES: usize = 1024;

#[derive(Default)]
struct Waiting {
    changes: VecDeque<Change>,
    pictures: usize,
}

/// The queue.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    bell: Notify,
}

impl Queue {
    /// Puts a change at the end, or in the place of one that says less.
    pub(super) fn push(&self, change: Change) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let full = waiting.pictures >= PICTURES;
        if let Some(older) = waiting.changes.iter_mut().rev().take(if full { usize::MAX } else { 1 }).find(|c| {
            let covers = covers(&change, c);
            covers == Covers::Whole || full && covers == Covers::Object
        }) {
            *older = change;
            return;
        }
        waiting.pictures += usize::from(is_picture(&change));
        waiting.changes.push_back(change);
        drop(waiting);
        self.bell.notify_one();
    }

    /// The change that has waited longest.
    pub(super) async fn next(&self) -> Change {
        loop {
            {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(change) = waiting.changes.pop_front() {
                    waiting.pictures -= usize::from(is_picture(&change));
                    return change;
                }
            }
            self.bell.notified().await;
        }
    }
}

fn is_picture(change: &Change) -> bool {
    matches!(change, Change::Pod(_))
}

#[derive(PartialEq, Eq)]
enum Covers {
    Nothing,
    /// They are of the same object, and states are lost.
    Object,
    /// Nothing is lost.
    Whole,
}

/// What of an older change is in a newer one.
fn covers(newer: &Change, older: &Change) -> Covers {
    match (newer, older) {
        (Change::Pod(new), Change::Pod(old)) if new.record.id == old.record.id => {
            if states(new).eq(states(old)) && new.state() == old.state() { Covers::Whole } else { Covers::Object }
        }
        (Change::Job(new), Change::Job(old)) if new == old => Covers::Whole,
        (Change::Image(new), Change::Image(old)) if new == old => Covers::Whole,
        (Change::Kernel(new), Change::Kernel(old)) if new == old => Covers::Whole,
        _ => Covers::Nothing,
    }
}

/// The states of a pod's containers, and how often each was started.
fn states(status: &PodStatus) -> impl Iterator<Item = (&str, xenpod_api::state::ContainerState, u32)> {
    status.record.containers.iter().map(|c| (c.name.as_str(), c.state, c.restarts))
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
