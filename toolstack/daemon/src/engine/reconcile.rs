//! Start-up: the records against the world, until the two agree.
//!
//! ```text
//! record      domain      ->
//! run         running     reattach to its guest; nothing of the tenant is touched
//! run         stopped     give back; stopped or failed, as the domain says
//! run         gone        give back; failed, lost while nobody watched
//! create      any         give back; failed, interrupted
//! stop        any         give back; as it was to be
//! remove      any         give back; forget
//! none        marked      ours without a record: taken away; so is one whose UUID bears our tag
//! none        neither     not ours: not touched
//! ```
//! When the domains cannot be seen, nothing is touched at all: what looks gone may be running.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;
use xenpod_api::ids::PodId;
use xenpod_api::state::PodState;

use super::Engine;
use super::failure::Failure;
use super::pod::Ask;
use super::volumes;
use super::watcher::Sight;
use super::world::DomainView;
use crate::journal::{Intent, Record};

/// What start-up found and did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Pods that were running and still are.
    pub reattached: usize,
    /// Pods whose left-overs were given back.
    pub settled: usize,
    /// Domains of ours without a record, taken away.
    pub orphans: usize,
    /// What could not be done: a line each.
    pub problems: Vec<String>,
}

impl Report {
    /// The same, with its problems in the log.
    fn told(self) -> Self {
        for problem in &self.problems {
            tracing::error!("{problem}");
        }
        self
    }
}

impl Engine {
    /// Brings back the pods on disk and makes the world agree with them. Call once, before anything else is asked.
    ///
    /// # Errors
    /// The journal cannot be listed. Everything else is reported and gone on from.
    pub async fn reconcile(self: &Arc<Self>) -> Result<Report, Failure> {
        let mut report = Report::default();
        let loaded = self.world.journal.load()?;
        for (id, error) in &loaded.broken {
            report.problems.push(format!("pod {id}: {error}"));
        }
        let seen = self.world.domains.list().await;
        for record in &loaded.records {
            if let Some(lease) = &record.lease
                && let Err(error) = self.world.net.reserve(record.id, lease)
            {
                report.problems.push(format!("pod {}: {error}", record.spec.name));
            }
        }
        let domains: HashMap<PodId, DomainView> = match seen {
            Ok(list) => list.into_iter().map(|d| (d.id, d)).collect(),
            Err(error) => {
                report.problems.push(format!("domains: {error}; the pods are left alone and shown as they were"));
                for mut record in loaded.records {
                    if record.state.is_live() {
                        record.message = format!("not looked at since the daemon started: {error}");
                    }
                    self.adopt(record, None);
                }
                return Ok(report.told());
            }
        };
        let alive = |r: &Record| domains.get(&r.id).filter(|d| d.shutdown.is_none() && !d.dying);
        let goes_on = |r: &Record| r.intent == Intent::Run && alive(r).is_some();

        let tag = self.world.journal.tag();
        let tagged = domains.keys().copied().filter(|id| id.bears(tag)).collect();
        self.take_orphans(&loaded.records, &loaded.broken, tagged, &mut report).await;

        // Devices and ports: exactly those of the pods that go on. The others are given back below, pod by pod.
        let live: Vec<&Record> = loaded.records.iter().filter(|r| goes_on(r)).collect();
        let mut files = Vec::new();
        for record in &live {
            let dir = self.world.journal.dir(record.id);
            let mut held = vec![dir.join("scratch.img")];
            held.extend(volumes::own_disks(&record.spec).map(|(name, _)| volumes::disk_file(&dir, name)));
            let digests = record.containers.iter().filter_map(|c| Some(&c.image.as_ref()?.digest));
            for digest in digests.chain(record.disks.iter().filter(|d| d.starts_with("sha256:"))) {
                if let Ok(Some(image)) = self.world.images.find(digest) {
                    held.push(image.erofs.clone());
                }
            }
            files.push((record.id, held));
        }
        let ports: Vec<_> = live.iter().filter_map(|r| Some((r.id, domains.get(&r.id)?.domid, r.lease?))).collect();
        let domids: Vec<u16> = ports.iter().map(|(_, domid, _)| *domid).collect();
        self.world.domains.keep(&domids);
        if let Err(error) = self.world.net.reconcile(&ports).await {
            report.problems.push(format!("network: {error}"));
        }

        let mut waits = Vec::new();
        for mut record in loaded.records {
            let domain = domains.get(&record.id);
            if goes_on(&record) {
                record.domid = domain.map(|d| d.domid);
                let sight = domain.cloned().map_or(Sight::Unseen, Sight::Present);
                let handle = self.adopt(record, None);
                handle.sight.send_replace(sight);
                let (done, wait) = oneshot::channel();
                handle.ask(Ask::Reattach(done));
                waits.push(wait);
                report.reattached += 1;
            } else {
                let (done, wait) = oneshot::channel();
                let holds = record.state.is_live() || domain.is_some() || record.domid.is_some();
                if holds || record.intent == Intent::Remove {
                    report.settled += 1;
                }
                let end = settled_as(&record, domain);
                let handle = self.adopt(record, None);
                handle.ask(Ask::Settle { end, done });
                waits.push(wait);
            }
        }
        for wait in waits {
            let _ = wait.await;
        }
        // Only now: what the settled pods held has been given back by them.
        if let Err(error) = self.world.disks.reconcile(&files).await {
            report.problems.push(format!("devices: {error}"));
        }
        Ok(report.told())
    }

    /// Takes away what has no record and bears our mark, or our tag: its record never reached the disk.
    async fn take_orphans(
        &self,
        records: &[Record],
        broken: &[(PodId, crate::journal::JournalError)],
        mut ours: HashSet<PodId>,
        report: &mut Report,
    ) {
        let known: HashSet<PodId> = records.iter().map(|r| r.id).chain(broken.iter().map(|(id, _)| *id)).collect();
        match self.world.domains.marked().await {
            Ok(marked) => ours.extend(marked),
            Err(error) => report.problems.push(format!("marks in xenstore: {error}")),
        }
        for id in ours.into_iter().filter(|id| !known.contains(id)) {
            match self.world.domains.destroy(id).await {
                Ok(()) => {
                    tracing::warn!(pod_id = %id, "a domain of ours without a record was taken away");
                    report.orphans += 1;
                }
                Err(error) => report.problems.push(format!("orphan {id}: {error}")),
            }
        }
    }
}

/// How a pod that does not go on is to end up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// As its record says: it holds nothing.
    AsItWas,
    /// In this state, for this reason.
    In(PodState, String, String),
    /// Removed.
    Removed,
}

fn settled_as(record: &Record, domain: Option<&DomainView>) -> End {
    let ended = |state, reason: &str, message: &str| End::In(state, reason.into(), message.into());
    match (record.intent, domain) {
        (Intent::Remove, _) => End::Removed,
        (Intent::Stop, _) if record.state.is_live() => {
            let reason = if record.reason.is_empty() { "Stopped" } else { &record.reason };
            ended(PodState::Stopped, reason, &record.message)
        }
        (Intent::Stop, _) => End::AsItWas,
        (Intent::Create, _) => ended(
            PodState::Failed,
            "Interrupted",
            "the daemon stopped while the pod was being created or waited to be started",
        ),
        (Intent::Run, Some(domain)) => match domain.shutdown {
            Some(reason) => {
                let (state, words) = super::pod::how_it_ended(reason);
                let name = if state == PodState::Stopped { "PoweredOff" } else { "KernelCrashed" };
                ended(state, name, &format!("its domain {words} while the daemon was not running"))
            }
            None => ended(
                PodState::Failed,
                "DestroyedFromOutside",
                "its domain was being destroyed when the daemon started",
            ),
        },
        (Intent::Run, None) => ended(
            PodState::Failed,
            "Lost",
            "its domain was gone when the daemon started: the host was restarted, or it was destroyed",
        ),
    }
}
