//! Device life that takes waiting: closing.

use std::collections::HashMap;
use std::time::Duration;

use super::{Client, WatchEvent};
use crate::xenstore::error::{Error, Result};
use crate::xenstore::guest::{self, State};
use crate::xenstore::op::Op;
use crate::xenstore::tree::{self, DeviceId};

impl Client {
    /// Closes devices and removes them from the store, all at the same time. A device that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Timeout`], naming the first backend that did not close in time: what had closed is removed, the call may
    /// be repeated for the rest.
    pub async fn close_devices(&self, devices: &[DeviceId], timeout: Duration) -> Result<()> {
        // Set before the transaction, so that no change of a state is missed, and it need not be read again.
        let mut watches = HashMap::new();
        for device in devices {
            watches.insert(*device, self.watch(&device.backend_state()).await?);
        }
        self.run_transaction(async |transaction| {
            let mut present = Vec::new();
            for device in devices {
                if backend_state(device, transaction.read(&device.backend_state()).await?)?.is_some() {
                    present.push(*device);
                }
            }
            transaction.apply(tree::close_devices(&present));
            Ok(())
        })
        .await?;
        let mut late = None;
        let deadline = tokio::time::Instant::now() + timeout;
        let mut closed: Vec<Op> = Vec::new();
        for device in devices {
            let Some(mut watch) = watches.remove(device) else { continue };
            let path = device.backend_state();
            let mut last = None;
            let wait = async {
                loop {
                    let event: Option<WatchEvent> = watch.next().await;
                    event.ok_or(Error::Disconnected)?;
                    last = backend_state(device, self.read(&path).await?)?;
                    if last.is_none_or(|state| state == State::Closed) {
                        return Ok::<_, Error>(());
                    }
                }
            };
            match tokio::time::timeout_at(deadline, wait).await {
                Ok(outcome) => {
                    outcome?;
                    closed.extend(tree::backend_removal(device));
                }
                Err(_) => {
                    late.get_or_insert(Error::Timeout {
                        path,
                        found: last.map_or("not read", State::as_str).to_owned(),
                        wanted: State::Closed.as_str().to_owned(),
                        waited_ms: timeout.as_millis() as u64,
                    });
                }
            }
        }
        self.apply(&closed).await?;
        late.map_or(Ok(()), Err)
    }
}

/// A backend's state as dom0's kernel wrote it; `None` when the backend is gone.
fn backend_state(device: &DeviceId, value: Option<Vec<u8>>) -> Result<Option<State>> {
    value.map(|value| guest::state(&device.backend_state(), &value)).transpose()
}
