//! Device life that takes waiting: closing.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{Client, Watch};
use crate::xenstore::error::{Error, Result};
use crate::xenstore::guest::{self, State};
use crate::xenstore::tree::{self, DeviceId};

impl Client {
    /// Closes devices and removes them from the store, all at the same time. A device that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Timeout`], naming a backend that did not close in time: what had closed is removed, and the call may be
    /// repeated for the rest.
    pub async fn close_devices(&self, devices: &[DeviceId], timeout: Duration) -> Result<()> {
        let states: Vec<String> = devices.iter().map(DeviceId::backend_state).collect();
        self.await_probes(&states).await;
        let deadline = Instant::now() + timeout;
        // Set before the transaction, so that no change of a state is missed.
        let begun = states.iter().map(|path| Watch::begin(self.clone(), path)).collect::<Result<Vec<_>>>()?;
        let mut waits = JoinSet::new();
        for ((device, path), begun) in devices.iter().zip(&states).zip(begun) {
            let (client, device, watch) = (self.clone(), *device, begun.finish(path).await?);
            waits.spawn(async move { (device, await_closed(&client, &device, watch, deadline, timeout).await) });
        }
        let states = &states;
        self.run_transaction(|mut transaction| async move {
            let found = transaction.read_all(states).await?;
            // To write to what is not there would make it again, and what is closed would never close again.
            let open = found.iter().zip(states).map(|(state, path)| !is_closed(path, state.as_deref()));
            let open = devices.iter().zip(open).filter(|(_, open)| *open).map(|(device, _)| device);
            transaction.apply(tree::close_devices(open));
            Ok((transaction, ()))
        })
        .await?;
        let mut removal = Vec::new();
        let mut failed = Ok(());
        while let Some(done) = waits.join_next().await {
            match done {
                Ok((device, Ok(()))) => removal.extend(tree::backend_removal(&device)),
                Ok((_, Err(error))) => failed = failed.and(Err(error)),
                // Only a panic ends a task that nobody aborts.
                Err(_) => failed = failed.and(Err(Error::Disconnected)),
            }
        }
        self.apply(&removal).await?;
        failed
    }

    /// Waits, for a little, until dom0's drivers have taken up devices that were just made. A driver that finds its device closing while it
    /// takes it up overwrites that with "waiting", and then nobody ever closes it.
    async fn await_probes(&self, states: &[String]) {
        let end = Instant::now() + PROBE;
        for path in states {
            while matches!(self.read(path).await, Ok(Some(state)) if state == State::Initialising.as_str().as_bytes())
                && Instant::now() < end
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// How long a driver may take to look at a new device. One that never does is not waited for any longer.
const PROBE: Duration = Duration::from_secs(1);

/// Where dom0's kernel shows the backends it serves.
const BACKENDS: &str = "/sys/bus/xen-backend/devices";

/// How long until a backend is looked at again when nothing is heard of it.
const LOOK: Duration = Duration::from_millis(100);

/// Whether dom0's kernel has no backend for the device any more, whatever the store says. A driver that was told to close
/// while it was connecting writes "connected" over that, and is then taken down without another word
/// (`xenbus_dev_remove`, drivers/xen/xenbus/xenbus_probe.c: it writes "closed" only over "closing").
fn is_let_go(backends: &Path, device: &DeviceId) -> bool {
    let name = format!("{}-{}-{}", device.kind.name(), device.domid, device.number);
    backends.is_dir() && !backends.join(name).exists()
}

/// Waits until a backend is closed or gone.
async fn await_closed(
    client: &Client,
    device: &DeviceId,
    mut watch: Watch,
    deadline: Instant,
    timeout: Duration,
) -> Result<()> {
    let path = device.backend_state();
    let mut last = None;
    let wait = async {
        loop {
            let heard = match tokio::time::timeout(LOOK, watch.next()).await {
                Ok(event) => event.map(|_| true).ok_or(Error::Disconnected)?,
                Err(_) => false,
            };
            // Lost in a reconnect: the watch will tell to look again.
            let Ok(value) = client.read(&path).await else { continue };
            last = value;
            if is_closed(&path, last.as_deref()) || (!heard && is_let_go(Path::new(BACKENDS), device)) {
                return Ok(());
            }
        }
    };
    match timeout_at(deadline, wait).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Timeout {
            path,
            found: last.map_or_else(|| "not read".to_owned(), |value| value.escape_ascii().to_string()),
            wanted: State::Closed.as_str().to_owned(),
            waited_ms: timeout.as_millis() as u64,
        }),
    }
}

/// Whether a backend is closed, or not there. What is no state is not.
fn is_closed(path: &str, value: Option<&[u8]>) -> bool {
    matches!(value.map(|value| guest::state(path, value)), None | Some(Ok(State::Closed)))
}

#[cfg(test)]
#[cfg(feature = "fake")]
#[path = "devices_tests.rs"]
mod tests;
