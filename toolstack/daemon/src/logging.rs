//! Where messages go: to journald, with `POD_ID` and `CONTAINER` as fields of their own, when systemd started us; else to stderr.
//!
//! Levels by audience: error, an operator must act; warn, degraded; info, one line for each step of a pod's life; debug, us.
//! `XENPOD_LOG` takes a filter (`debug`, `xenpodd::guest=trace`).

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Installs the subscriber. Call once.
pub fn init() {
    let filter = EnvFilter::try_from_env("XENPOD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // systemd sets JOURNAL_STREAM when stdout or stderr is connected to the journal.
    let journal = std::env::var_os("JOURNAL_STREAM").and_then(|_| tracing_journald::layer().ok());
    match journal {
        // Without a prefix the field `pod_id` is written as POD_ID, which `journalctl POD_ID=...` finds.
        Some(layer) => tracing_subscriber::registry()
            .with(filter)
            .with(layer.with_field_prefix(None).with_syslog_identifier("xenpodd".into()))
            .init(),
        None => tracing_subscriber::registry()
            .with(filter)
            .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false))
            .init(),
    }
}
