//! A pod as everybody but its own task has it: who it is, what it is now, and where to ask.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};
use xenpod_api::ids::PodId;

use super::super::exec::Exec;
use super::super::failure::Failure;
use super::super::probe::Commands;
use super::super::status::PodStatus;
use super::super::watcher::Sight;
use super::{Ask, lock};
use crate::guest::{Figures, Guest};
use crate::logs::Hub;

/// What is shared between a pod's task and everybody else.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) logs: Mutex<HashMap<String, Hub>>,
    pub(super) execs: Mutex<BTreeMap<u32, Arc<Exec>>>,
    pub(super) commands: Arc<Commands>,
    figures: Mutex<Option<Arc<Figures>>>,
}

impl Shared {
    /// Samples ask this guest from now on.
    pub(super) fn guest_is(&self, guest: &Guest) {
        *lock(&self.figures) = Some(Arc::new(guest.figures()));
    }
}

/// A pod, to those who are not its task.
#[derive(Clone)]
pub struct PodHandle {
    /// Its id.
    pub id: PodId,
    /// Its name.
    pub name: Arc<str>,
    /// The user who made it.
    pub owner_uid: u32,
    /// When it was made.
    pub created_usec: u64,
    pub(super) asks: mpsc::UnboundedSender<Ask>,
    pub(super) status: watch::Receiver<Arc<PodStatus>>,
    pub(in super::super) sight: watch::Sender<Sight>,
    pub(super) shared: Arc<Shared>,
}

impl PodHandle {
    /// As it is now.
    #[must_use]
    pub fn status(&self) -> Arc<PodStatus> {
        self.status.borrow().clone()
    }

    /// For those who wait for a change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<PodStatus>> {
        self.status.clone()
    }

    /// Sends it a request. A pod that is gone answers that it is.
    pub fn ask(&self, ask: Ask) {
        if let Err(mpsc::error::SendError(ask)) = self.asks.send(ask) {
            ask.answer(Err(Failure::Removed(self.name.to_string())));
        }
    }

    /// The log of a container, once it has one.
    #[must_use]
    pub fn log(&self, container: &str) -> Option<Hub> {
        lock(&self.shared.logs).get(container).cloned()
    }

    /// The commands that run in its containers, or did so lately.
    #[must_use]
    pub fn execs(&self) -> Vec<Arc<Exec>> {
        lock(&self.shared.execs).values().cloned().collect()
    }

    /// One of them.
    #[must_use]
    pub fn exec(&self, number: u32) -> Option<Arc<Exec>> {
        lock(&self.shared.execs).get(&number).cloned()
    }

    /// Where its guest can be asked what it uses, once there was one.
    #[must_use]
    pub fn figures(&self) -> Option<Arc<Figures>> {
        lock(&self.shared.figures).clone()
    }
}
