//! A job's progress: bars on a terminal, silence elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use xenpod_api::error::ErrorName;
use xenpod_api::proxy::JobProxy;
use zbus::OwnedObjectPath;

use crate::failure::Failure;

/// Waits for a job to end, showing its progress on standard error when that is a terminal.
pub async fn wait(connection: &zbus::Connection, job: &OwnedObjectPath) -> Result<(), Failure> {
    let job =
        JobProxy::builder(connection).path(job).cache_properties(zbus::proxy::CacheProperties::No).build().await?;
    let ended = job.wait(HashMap::new());
    tokio::pin!(ended);
    let bars = std::io::stderr().is_terminal().then(Bars::default);
    let mut tick = tokio::time::interval(Duration::from_millis(120));
    let handler = |kind| signal(kind).map_err(|e| Failure::Io("signal handler".into(), e));
    let mut interrupt = handler(SignalKind::interrupt())?;
    let mut terminate = handler(SignalKind::terminate())?;
    let mut cancelled = false;
    let (result, name, message) = loop {
        tokio::select! {
            ended = &mut ended => break ended?,
            _ = async { tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} } }, if !cancelled => {
                cancelled = true;
                // If the job has just ended, the wait says how; one that cannot be cancelled goes on without us.
                if let Err(refusal) = job.cancel(HashMap::new()).await {
                    let refusal = Failure::from(refusal);
                    if matches!(&refusal, Failure::Daemon { name, .. } if name == ErrorName::BadState.as_str()) {
                        return Err(refusal);
                    }
                }
            }
            _ = tick.tick(), if bars.is_some() => {
                if let (Some(bars), Ok(detail)) = (&bars, job.progress_detail().await) {
                    bars.show(&detail);
                }
            }
        }
    };
    if let Some(bars) = bars {
        bars.all.clear().ok();
    }
    if result == "done" { Ok(()) } else { Err(Failure::Daemon { name, message }) }
}

/// One bar for each item of the job.
#[derive(Default)]
struct Bars {
    all: MultiProgress,
    items: std::cell::RefCell<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn show(&self, detail: &[(String, u64, u64)]) {
        let mut items = self.items.borrow_mut();
        for (item, done, total) in detail {
            let bar = items.entry(item.clone()).or_insert_with(|| {
                let bar = self.all.add(ProgressBar::new(*total));
                if let Ok(style) = ProgressStyle::with_template("{prefix:24!} [{bar:30}] {bytes:>10}/{total_bytes:<10}")
                {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar.set_prefix(item.clone());
                bar
            });
            bar.set_length(*total);
            bar.set_position(*done);
        }
    }
}
