//! Who calls: the user behind a connection, and whether it is still there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use tokio::sync::watch;
use zbus::fdo::DBusProxy;
use zbus::message::Header;
use zbus::names::{BusName, OwnedUniqueName};

use super::Service;
use super::error::BusError;
use super::listeners::may_hear;
use xenpod_api::error::ErrorName;

/// A connection that calls.
#[derive(Clone)]
pub(super) struct Caller {
    /// Its name on the bus.
    pub(super) name: OwnedUniqueName,
    /// Its user.
    pub(super) uid: u32,
    /// Closes when it is gone.
    pub(super) gone: watch::Receiver<()>,
}

impl Caller {
    /// True when it may see what belongs to that user.
    pub(super) fn may_see(&self, owner_uid: u32) -> bool {
        may_hear(self.uid, owner_uid)
    }
}

/// What is known of a connection.
struct Known {
    uid: u32,
    subscribed: bool,
    /// Dropped when the connection goes.
    here: watch::Sender<()>,
}

/// The connections that have called.
pub(super) struct Callers {
    bus: DBusProxy<'static>,
    known: Mutex<HashMap<OwnedUniqueName, Known>>,
    /// Users that a test's connections pass for.
    #[cfg(test)]
    pub(super) masks: Mutex<HashMap<String, u32>>,
}

impl Callers {
    pub(super) async fn new(bus: &zbus::Connection) -> zbus::Result<Self> {
        Ok(Self {
            bus: DBusProxy::new(bus).await?,
            known: Mutex::default(),
            #[cfg(test)]
            masks: Mutex::default(),
        })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<OwnedUniqueName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who sent a message.
    pub(super) async fn of(&self, header: &Header<'_>) -> Result<Caller, BusError> {
        let denied = |why: String| BusError::new(ErrorName::AccessDenied, why);
        let sender = header.sender().ok_or_else(|| denied("the call has no sender".into()))?;
        let name: OwnedUniqueName = sender.to_owned().into();
        if let Some(known) = self.known().get(&name) {
            return Ok(Caller { name, uid: known.uid, gone: known.here.subscribe() });
        }
        let asked = self.uid(BusName::Unique(name.as_ref())).await;
        let uid = asked.map_err(|e| denied(format!("the bus does not say which user calls: {e}")))?;
        let mut known = self.known();
        let entry =
            known.entry(name.clone()).or_insert_with(|| Known { uid, subscribed: false, here: watch::Sender::new(()) });
        Ok(Caller { name, uid: entry.uid, gone: entry.here.subscribe() })
    }

    /// The user behind a connection, asked of the bus.
    pub(super) async fn uid(&self, name: BusName<'_>) -> zbus::fdo::Result<u32> {
        #[cfg(test)]
        if let Some(uid) = self.masks.lock().unwrap().get(name.as_str()) {
            return Ok(*uid);
        }
        self.bus.get_connection_unix_user(name).await
    }

    /// Notes that a caller wants to hear, or not.
    pub(super) fn subscribe(&self, caller: &Caller, wanted: bool) {
        if let Some(known) = self.known().get_mut(&caller.name) {
            known.subscribed = wanted;
        }
    }

    /// Those who asked to hear and may hear of what belongs to that user.
    pub(super) fn listeners(&self, owner_uid: u32) -> Vec<OwnedUniqueName> {
        let known = self.known();
        let hear = known.iter().filter(|(_, k)| k.subscribed && may_hear(k.uid, owner_uid));
        hear.map(|(name, _)| name.clone()).collect()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.known().len()
    }
}

/// Returns when the connection has gone.
pub(super) async fn is_gone(mut gone: watch::Receiver<()>) {
    while gone.changed().await.is_ok() {}
}

/// Forgets connections as they go, and so ends what waits for them.
pub(super) async fn forget_the_gone(service: Arc<Service>) {
    // Argument 2 is the new owner: empty when the name is given up.
    let mut changes = match service.callers.bus.receive_name_owner_changed_with_args(&[(2, "")]).await {
        Ok(changes) => changes,
        Err(error) => return tracing::error!(%error, "callers that go away will not be noticed"),
    };
    while let Some(change) = changes.next().await {
        if let Ok(args) = change.args()
            && let BusName::Unique(name) = args.name()
        {
            service.callers.known().remove(&OwnedUniqueName::from(name.to_owned()));
        }
    }
}
