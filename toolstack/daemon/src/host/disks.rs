//! Which loop device is over which file, and which pods use it.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use xenpod_api::ids::PodId;

use crate::devices::{Block, DeviceError, Loops, Scratch};
use crate::engine::world::Disks;

struct Held {
    block: Block,
    by: BTreeSet<PodId>,
}

struct Table {
    loops: Loops,
    files: HashMap<PathBuf, Held>,
}

impl Table {
    fn attach(&mut self, id: PodId, file: &Path, read_only: bool) -> Result<Block, DeviceError> {
        if let Some(held) = self.files.get_mut(file) {
            held.by.insert(id);
            return Ok(held.block);
        }
        let block = self.loops.attach(file, read_only)?;
        self.files.insert(file.to_owned(), Held { block, by: BTreeSet::from([id]) });
        Ok(block)
    }

    /// Lets go of one file's device.
    fn release_file(&mut self, id: PodId, file: &Path) -> Result<(), DeviceError> {
        let Some(held) = self.files.get_mut(file) else { return Ok(()) };
        held.by.remove(&id);
        if held.by.is_empty() {
            self.loops.detach(held.block)?;
            self.files.remove(file);
        }
        Ok(())
    }

    /// Lets go of everything the pod holds; devices nobody holds any more are detached. Goes on after an error.
    fn release(&mut self, id: PodId) -> Result<(), DeviceError> {
        let mut result = Ok(());
        let loops = &self.loops;
        self.files.retain(|_, held| {
            held.by.remove(&id);
            if !held.by.is_empty() {
                return true;
            }
            match loops.detach(held.block) {
                Ok(()) => false,
                Err(error) => {
                    result = Err(error);
                    // Kept without a holder: the next release tries again.
                    true
                }
            }
        });
        result
    }
}

/// Loop devices of this host.
#[derive(Clone)]
pub struct HostDisks {
    table: Arc<Mutex<Table>>,
    scratch: Scratch,
}

impl HostDisks {
    /// For files under `state_dir`, with templates under `cache_dir`.
    ///
    /// # Errors
    /// The folder cannot be resolved.
    pub fn new(state_dir: &Path, cache_dir: &Path) -> Result<Self, DeviceError> {
        let table = Table { loops: Loops::new(state_dir)?, files: HashMap::new() };
        Ok(Self { table: Arc::new(Mutex::new(table)), scratch: Scratch::new(cache_dir) })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Disks for HostDisks {
    async fn attach_image(&self, id: PodId, file: &Path) -> Result<Block, DeviceError> {
        self.table().attach(id, file, true)
    }

    async fn attach_scratch(&self, id: PodId, file: &Path, bytes: u64) -> Result<Block, DeviceError> {
        let (scratch, path) = (self.scratch.clone(), file.to_owned());
        match tokio::task::spawn_blocking(move || scratch.make(&path, bytes)).await {
            Ok(made) => made?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
        self.table().attach(id, file, false)
    }

    async fn release_image(&self, id: PodId, file: &Path) -> Result<(), DeviceError> {
        self.table().release_file(id, file)
    }

    async fn release(&self, id: PodId, scratch: &Path) -> Result<(), DeviceError> {
        self.table().release(id)?;
        match std::fs::remove_file(scratch) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(DeviceError::Io { what: "remove", path: scratch.into(), source })
            }
            _ => Ok(()),
        }
    }

    async fn reconcile(&self, held: &[(PodId, Vec<PathBuf>)]) -> Result<(), DeviceError> {
        let mut table = self.table();
        let mut result = Ok(());
        for attached in table.loops.list()? {
            let by: BTreeSet<PodId> = held
                .iter()
                .filter(|(_, files)| files.iter().any(|f| f.canonicalize().as_ref().unwrap_or(f) == &attached.backing))
                .map(|(id, _)| *id)
                .collect();
            if by.is_empty() || attached.deleted {
                tracing::info!(minor = attached.block.minor, file = %attached.backing.display(), "loop{} over {} is of no pod", attached.block.minor, attached.backing.display());
                if let Err(error) = table.loops.detach(attached.block) {
                    result = Err(error);
                }
            } else {
                let held = Held { block: attached.block, by };
                table.files.insert(attached.backing, held);
            }
        }
        result
    }
}
