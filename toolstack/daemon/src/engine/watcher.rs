//! Looks at the host's domains, once for all pods, and tells each what has become of its own.
//!
//! Xen announces that some domain has stopped, not which, and says nothing of a pause. So the list is read at each
//! announcement, and once a second while there are pods with domains: one hypercall, whatever their number.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use xenpod_api::ids::PodId;

use super::Engine;
use super::world::DomainView;

const PERIOD: Duration = Duration::from_secs(1);

/// What the watcher last saw of a pod's domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// It has not looked since the domain was made.
    #[default]
    Unseen,
    /// There is none.
    Absent,
    /// There it is.
    Present(DomainView),
}

pub(super) fn spawn(engine: &Arc<Engine>) {
    let weak = Arc::downgrade(engine);
    let changes = engine.world.domains.changes();
    tokio::spawn(watch(weak, changes));
}

async fn watch(engine: Weak<Engine>, mut changes: tokio::sync::watch::Receiver<u64>) {
    let mut closed = false;
    loop {
        tokio::select! {
            changed = changes.changed(), if !closed => closed = changed.is_err(),
            () = tokio::time::sleep(PERIOD) => {}
        }
        let Some(engine) = engine.upgrade() else { return };
        look(&engine).await;
    }
}

async fn look(engine: &Engine) {
    let pods: Vec<_> = engine.list().into_iter().filter(|p| p.status().domid.is_some()).collect();
    if pods.is_empty() {
        return;
    }
    let domains: HashMap<PodId, DomainView> = match engine.world.domains.list().await {
        Ok(list) => list.into_iter().map(|d| (d.id, d)).collect(),
        Err(error) => {
            tracing::warn!(%error, "the host's domains could not be listed: {error}");
            return;
        }
    };
    for pod in pods {
        let sight = domains.get(&pod.id).cloned().map_or(Sight::Absent, Sight::Present);
        pod.sight.send_if_modified(|old| {
            let news = *old != sight;
            if news {
                *old = sight;
            }
            news
        });
    }
}
