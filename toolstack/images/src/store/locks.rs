//! One lock for each digest, for as long as somebody holds or wants it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::digest::Digest;

#[derive(Default)]
pub(super) struct Locks(Mutex<HashMap<Digest, Weak<AsyncMutex<()>>>>);

impl Locks {
    /// Waits until nobody else works on this digest. Released when the guard is dropped, also with a cancelled future.
    pub async fn lock(&self, digest: &Digest) -> OwnedMutexGuard<()> {
        let lock = {
            let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            map.retain(|_, lock| lock.strong_count() > 0);
            let known = map.get(digest).and_then(Weak::upgrade);
            let lock = known.unwrap_or_default();
            map.insert(digest.clone(), Arc::downgrade(&lock));
            lock
        };
        lock.lock_owned().await
    }
}
