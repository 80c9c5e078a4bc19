//! Telling systemd: ready, status, watchdog, stopping.
//!
//! Without `NOTIFY_SOCKET` every call does nothing, so the daemon runs the same from a shell.

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon serves the bus.
pub fn ready(status: &str) {
    send(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// One line for `systemctl status`.
pub fn status(status: &str) {
    send(&[NotifyState::Status(status)]);
}

/// The daemon is going; the pods stay.
pub fn stopping() {
    send(&[NotifyState::Stopping]);
}

/// Feeds the watchdog, at half its period, as long as the runtime turns. Returns at once when there is none.
pub async fn feed_watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((period / 2).max(Duration::from_millis(10)));
    loop {
        tick.tick().await;
        send(&[NotifyState::Watchdog]);
    }
}

fn send(state: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd could not be notified");
    }
}
