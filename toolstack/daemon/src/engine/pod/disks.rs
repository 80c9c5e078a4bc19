//! Which of the domain's disks holds what, and disks that come and go while it runs.
//!
//! At a start the order of the containers says it: each different image, then the scratch disk, then volumes. The first disk that is added
//! later puts the whole table into the record, and from then on that is what counts, until the next start.

use std::sync::Arc;

use super::super::failure::Failure;
use super::super::volumes;
use super::super::world::{DiskPlan, ImageInfo};
use super::Pod;

/// In the table: the pod's writable layers.
const SCRATCH: &str = "scratch";

impl Pod {
    /// What each disk holds, in the guest's order: an image's digest, [`SCRATCH`], a volume, or nothing.
    fn disk_table(&self) -> Vec<String> {
        if !self.record.disks.is_empty() {
            return self.record.disks.clone();
        }
        let images = self.different_images().into_iter().map(|i| i.digest.clone());
        let volumes = volumes::own_disks(&self.record.spec).map(|(name, _)| format!("volume {name}"));
        images.chain(self.scratch_bytes().map(|_| SCRATCH.to_owned())).chain(volumes).collect()
    }

    /// The numbers of the disks that a container of this image needs: the image's and the scratch disk's.
    pub(super) fn disks_for(&self, image: &ImageInfo) -> (usize, Option<usize>) {
        let table = self.disk_table();
        let find = |what: &str| table.iter().position(|disk| disk == what);
        (find(&image.digest).unwrap_or_default(), find(SCRATCH))
    }

    /// From here on the record says which disk holds what.
    pub(super) fn note_disks(&mut self) {
        self.record.disks = self.disk_table();
    }

    /// Gives an image a disk in the record; it is attached by [`attach_image`](Self::attach_image).
    pub(super) fn plan_image(&mut self, image: &ImageInfo) {
        self.note_disks();
        let table = &mut self.record.disks;
        if table.contains(&image.digest) {
            return;
        }
        match table.iter_mut().find(|disk| disk.is_empty()) {
            Some(free) => free.clone_from(&image.digest),
            None => table.push(image.digest.clone()),
        }
    }

    /// Attaches a planned image to the running domain. One that is attached stays as it is.
    pub(super) async fn attach_image(&self, image: &Arc<ImageInfo>) -> Result<(), Failure> {
        let Some(domid) = self.domid else { return Ok(()) };
        let (index, _) = self.disks_for(image);
        let block = self.world.disks.attach_image(self.record.id, &image.erofs).await;
        let block = block.map_err(|source| Failure::Device { pod: self.name(), source })?;
        let disk = DiskPlan { block, read_only: true };
        let attached = self.world.domains.attach_disk(self.record.id, domid, index, disk).await;
        attached.map_err(|e| self.domain_failure(e))
    }

    /// Takes an image's disk away if no container has it. One that cannot be taken stays for the next container of that image,
    /// and goes with the domain.
    pub(super) async fn release_image(&mut self, image: &Arc<ImageInfo>) {
        let used = self.images.iter().any(|i| i.digest == image.digest);
        let index = self.record.disks.iter().position(|disk| *disk == image.digest);
        let (Some(domid), Some(index), false) = (self.domid, index, used) else { return };
        let id = self.record.id;
        let detached = async {
            self.world.domains.detach_disk(id, domid, index).await.map_err(|e| self.domain_failure(e))?;
            let released = self.world.disks.release_image(id, &image.erofs).await;
            released.map_err(|source| Failure::Device { pod: self.name(), source })
        };
        match detached.await {
            Ok(()) => {
                self.record.disks[index].clear();
                self.save_or_log().await;
            }
            Err(error) => {
                tracing::warn!(pod_id = %id, image = image.digest, %error, "the disk of an image that is not used any more stays: {error}");
            }
        }
    }
}
