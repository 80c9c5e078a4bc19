//! The pod's name, labels and annotations change.

use std::collections::BTreeMap;

use xenpod_api::manifest::{check_annotations, check_labels};
use xenpod_api::state::PodState;
use xenpod_protocol::message::{self, request::Op};

use super::super::describe::{DescribeRequest, Description};
use super::super::failure::Failure;
use super::super::volumes;
use super::Pod;

impl Pod {
    pub(super) async fn describe_anew(&mut self, request: DescribeRequest) {
        let result = self.say(request.what).await;
        if result.is_ok() {
            self.publish();
        }
        let _ = request.answer.send(result);
    }

    async fn say(&mut self, what: Description) -> Result<(), Failure> {
        let bad = |why| Failure::BadDescription { pod: self.name(), why };
        let mut spec = self.record.spec.clone();
        match what {
            Description::Labels(set, remove) => {
                change(&mut spec.labels, set, &remove);
                check_labels(&spec.labels).map_err(bad)?;
            }
            Description::Annotations(set, remove) => {
                let before = spec.annotations.clone();
                change(&mut spec.annotations, set, &remove);
                check_annotations(&spec.annotations).map_err(bad)?;
                let ours =
                    |key: &&String| key.starts_with("xenpod.org/") && before.get(*key) != spec.annotations.get(*key);
                if let Some(key) = before.keys().chain(spec.annotations.keys()).find(ours) {
                    let instead = match key.as_str() {
                        "xenpod.org/memory" | "xenpod.org/cpus" => "; `xenpodctl resize` changes the size",
                        _ => "",
                    };
                    return Err(bad(format!(
                        "annotation {key} is decided when a pod is made and cannot be changed later{instead}"
                    )));
                }
            }
            Description::Name(name) => return self.take_name(name).await,
        }
        if spec == self.record.spec {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.record.spec, spec);
        let saved = self.save().await;
        match saved {
            Ok(()) => self.rewrite_facts().await,
            Err(_) => self.record.spec = before,
        }
        saved
    }

    /// Files of volumes that say something of the pod say what is so now.
    async fn rewrite_facts(&self) {
        let Some(guest) = self.guest.as_ref().filter(|_| self.record.state == PodState::Running) else { return };
        let spec = &self.record.spec;
        for volume in &spec.volumes {
            let files = volumes::facts(spec, volume);
            if files.is_empty() {
                continue;
            }
            let op = Op::WriteFiles(message::WriteFiles { volume: volume.name.clone(), files });
            let written = guest.send("to write files", op).done(self.world.settings.answer_timeout).await;
            if let Err(error) = written {
                tracing::warn!(pod_id = %self.record.id, volume = volume.name, %error, "files of volume {} say what was so before: {error}", volume.name);
            }
        }
    }

    async fn take_name(&mut self, name: String) -> Result<(), Failure> {
        let before = std::mem::replace(&mut self.record.spec.name, name);
        let mut result = self.save().await;
        if result.is_ok()
            && let Some(domid) = self.domid
        {
            // What is being written of it has its old name: that is over first.
            if let Some(describing) = self.describing.take() {
                let _ = describing.await;
            }
            let (world, plan) = (self.world.clone(), self.plan());
            result = world.domains.rename(&plan, domid).await.map_err(|e| self.domain_failure(e));
            self.describe_again().await;
        }
        if result.is_err() {
            self.record.spec.name = before;
            self.save_or_log().await;
            return result;
        }
        tracing::info!(pod_id = %self.record.id, pod = self.record.spec.name, "pod {before} is called {} now", self.record.spec.name);
        Ok(())
    }
}

impl Pod {
    /// For other tools, after something of it has changed.
    pub(super) async fn describe_again(&mut self) {
        if self.guest.is_some() {
            if let Some(describing) = self.describing.take() {
                let _ = describing.await;
            }
            self.describe();
        }
    }
}

fn change(all: &mut BTreeMap<String, String>, set: BTreeMap<String, String>, remove: &[String]) {
    all.retain(|key, _| !remove.contains(key));
    all.extend(set);
}
