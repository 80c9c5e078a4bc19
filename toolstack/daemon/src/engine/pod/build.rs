//! From a record to a paused domain with its devices.

use std::sync::Arc;

use xenpod_api::spec::Scratch;
use xenpod_api::state::PodState;

use super::super::failure::Failure;
use super::super::images;
use super::super::jobs::{Cancel, Progress};
use super::super::kernels;
use super::super::process;
use super::super::watcher::Sight;
use super::super::world::{DiskPlan, DomainPlan, ImageInfo};
use super::{FirstRecord, Pod};
use crate::journal::{ImageUse, Intent};

impl Pod {
    /// Builds the domain and leaves it paused. On an error what was taken is still in the record: the caller gives it back.
    ///
    /// Its interface joins the network when it boots: until then nobody is there to use it.
    pub(super) async fn build(
        &mut self,
        cancel: &Cancel,
        progress: &Progress,
        first: &mut FirstRecord,
    ) -> Result<(), Failure> {
        self.record.intent = Intent::Create;
        self.record.disks.clear();
        self.enter(PodState::Creating, "", "");
        let fetched = self.find_images(cancel, progress).await?;
        self.phase("images");
        kernels::settle(&self.world, &mut self.record)?;
        // What each container will run is settled, and refused if it cannot work, before anything is taken.
        for (spec, image) in self.record.spec.containers.iter().zip(&self.images) {
            process::check(spec, image).map_err(|why| Failure::BadContainer {
                pod: self.name(),
                container: spec.name.clone(),
                why,
            })?;
        }
        // The record of a new pod was written with its name, its addresses and the images that were here.
        if fetched || self.record.domid.is_some() || self.record.started_usec != 0 || self.record.stopped_usec != 0 {
            first.on_disk(&self.record.spec.name).await?;
            self.save().await?;
        }
        self.stop_if(cancel)?;

        let plan = self.plan();
        let (disks, built) = {
            let world = self.world.clone();
            let domain = world.domains.build(&plan);
            tokio::join!(self.attach_disks(), domain)
        };
        // If the disks failed, the domain that may have been built is found by its UUID and taken back.
        let built = built.map_err(|e| self.domain_failure(e))?;
        self.domid = Some(built.domid);
        self.sight_reset.send_replace(Sight::Unseen);
        self.sight.mark_unchanged();
        self.disks = disks?;
        self.phase("domain");
        first.on_disk(&self.record.spec.name).await?;
        self.stop_if(cancel)?;

        let macs = self.macs();
        let world = self.world.clone();
        world.domains.publish(&plan, &built, &self.disks, &macs).await.map_err(|e| self.domain_failure(e))?;
        self.phase("xenstore");
        self.stop_if(cancel)?;
        self.enter(PodState::Created, "", "");
        Ok(())
    }

    pub(super) fn plan(&self) -> DomainPlan {
        let spec = &self.record.spec;
        DomainPlan {
            id: self.record.id,
            name: spec.name.clone(),
            memory_kib: spec.memory_mib * 1024,
            vcpus: spec.vcpus,
            max_vcpus: spec.max_vcpus(),
            kernel: self.world.kernels.image(&self.record.kernel_digest).ok(),
            kernel_args: spec.kernel_args.clone(),
        }
    }

    pub(super) fn macs(&self) -> Vec<[u8; 6]> {
        self.record.lease.iter().map(|l| l.mac).collect()
    }

    pub(super) fn stop_if(&self, cancel: &Cancel) -> Result<(), Failure> {
        if cancel.is_cancelled() { Err(Failure::Cancelled(format!("pod {}", self.name()))) } else { Ok(()) }
    }

    /// Joins the domain's interface to the network.
    pub(super) async fn join_network(&self) -> Result<(), Failure> {
        let (Some(domid), Some(lease)) = (self.domid, &self.record.lease) else { return Ok(()) };
        let attached = self.world.net.attach(self.record.id, domid, lease).await;
        attached.map_err(|source| Failure::Net { pod: self.name(), source })
    }

    /// The containers' images; those that are not here, or are to be fetched anew, are fetched. True: some were.
    pub(super) async fn find_images(&mut self, cancel: &Cancel, progress: &Progress) -> Result<bool, Failure> {
        let mut found: Vec<Arc<ImageInfo>> = Vec::new();
        let mut fetched = false;
        for index in 0..self.record.spec.containers.len() {
            let spec = &self.record.spec.containers[index];
            // A digest that the record names was settled before: a stopped pod starts again with the same bytes.
            let known = self.record.containers[index].image.as_ref().map(|i| i.digest.as_str());
            let image = match images::here(&self.world, &self.record.spec.name, spec, known)? {
                Some(image) => image,
                // Two containers of one image fetch it once.
                None if let Some(twin) = self.twin(index, &found) => twin,
                None => {
                    fetched = true;
                    let whose = (self.record.spec.name.as_str(), format!("pod {}", self.name()));
                    images::fetch(&self.world, &self.changes, whose, spec, cancel, progress).await?
                }
            };
            let command = process::argv(&self.record.spec.containers[index], &image);
            let container = &mut self.record.containers[index];
            let reference = self.record.spec.containers[index].image.clone();
            container.image = Some(ImageUse { reference, digest: image.digest.clone() });
            container.command = command;
            found.push(image);
        }
        self.images = found;
        Ok(fetched)
    }

    fn twin(&self, index: usize, found: &[Arc<ImageInfo>]) -> Option<Arc<ImageInfo>> {
        let containers = &self.record.spec.containers;
        let first = containers[..index].iter().position(|c| c.image == containers[index].image)?;
        found.get(first).cloned()
    }

    /// One read-only disk for each different image, then the scratch disk, then those that volumes have to themselves.
    async fn attach_disks(&self) -> Result<Vec<DiskPlan>, Failure> {
        let failure = |source| Failure::Device { pod: self.name(), source };
        let (id, disks) = (self.record.id, &self.world.disks);
        let mut plans = Vec::new();
        for image in self.different_images() {
            let block = disks.attach_image(id, &image.erofs).await.map_err(failure)?;
            plans.push(DiskPlan { block, read_only: true });
        }
        if let Some(bytes) = self.scratch_bytes() {
            let block = disks.attach_scratch(id, &self.scratch_file(), bytes).await.map_err(failure)?;
            plans.push(DiskPlan { block, read_only: false });
        }
        for (file, bytes) in self.volume_files() {
            let block = disks.attach_scratch(id, &file, bytes).await.map_err(failure)?;
            plans.push(DiskPlan { block, read_only: false });
        }
        Ok(plans)
    }

    /// The size of the scratch disk, if there is one.
    pub(super) fn scratch_bytes(&self) -> Option<u64> {
        match self.record.spec.scratch {
            Scratch::Default => Some(self.world.settings.scratch_bytes).filter(|b| *b > 0),
            Scratch::Disk(bytes) => Some(bytes),
            Scratch::Memory => None,
        }
    }

    /// The images, each once, in the order of their disks.
    pub(super) fn different_images(&self) -> Vec<&Arc<ImageInfo>> {
        let mut seen = Vec::new();
        for image in &self.images {
            if !seen.iter().any(|s: &&Arc<ImageInfo>| s.digest == image.digest) {
                seen.push(image);
            }
        }
        seen
    }
}
