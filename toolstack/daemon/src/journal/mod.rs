//! The record of each pod on disk: what it is, what it is to be, and what it holds.
//!
//! ```text
//! <state>/host-tag                    what the ids of all pods here have in common
//! <state>/pods/<uuid>/record.json     this module's
//! <state>/pods/<uuid>/scratch.img     the writable layers       (devices::scratch)
//! <state>/pods/<uuid>/logs/           the containers' output    (logs)
//! ```
//!
//! Before a resource is taken its name is on disk, durably: write, fsync, rename, fsync of the folder. Every name derives from
//! the pod's id, so whatever a crash leaves half done can be found again and finished or undone. The first record of a pod may
//! be on its way to the disk while its domain is built: that a domain is ours is seen by the host tag in its UUID, which has been
//! on disk since the daemon first ran.
//! A folder without a record is an act that never began: the sweep at start-up removes it.

mod record;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xenpod_api::ids::{HostTag, PodId};

pub use record::{ContainerRecord, ImageUse, Intent, LeaseRecord, Record, ResizeRecord, VERSION};

const RECORD: &str = "record.json";
const PARTIAL: &str = "record.json.new";
const TAG: &str = "host-tag";

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The record is not one.
    #[error("record {}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The host tag is not one.
    #[error("{}: not twelve hexadecimal digits; with no pod here it can be removed, and a new one is made", path.display())]
    Tag {
        /// The file.
        path: PathBuf,
    },
    /// A later xenpodd wrote it.
    #[error("record {}: version {found}, this xenpodd reads {VERSION}: install the newer package again", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The record's id is not its folder's name.
    #[error("record {}: says it is of pod {found}", path.display())]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// The id in it.
        found: PodId,
    },
}

/// What start-up finds.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The records that could be read.
    pub records: Vec<Record>,
    /// Pods whose record could not be read. Their folders are left alone: they may hold what a tenant needs.
    pub broken: Vec<(PodId, JournalError)>,
    /// Folders without a record, removed by the sweep.
    pub swept: Vec<PodId>,
}

/// The folder of all records.
#[derive(Clone, Debug)]
pub struct Journal {
    pods: PathBuf,
    tag: HostTag,
}

fn at<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> JournalError + use<'a> {
    move |source| JournalError::Io { what, path: path.into(), source }
}

impl Journal {
    /// Opens the journal under `state_dir`, making its folder (0700: records hold manifests, which hold secrets) and the host
    /// tag where they are not there yet.
    ///
    /// # Errors
    /// [`JournalError::Io`], [`JournalError::Tag`].
    pub fn open(state_dir: &Path) -> Result<Self, JournalError> {
        let pods = state_dir.join("pods");
        make_private_dir(&pods)?;
        Ok(Self { pods, tag: host_tag(state_dir)? })
    }

    /// What the ids of all pods here have in common.
    #[must_use]
    pub fn tag(&self) -> HostTag {
        self.tag
    }

    /// The folder of a pod.
    #[must_use]
    pub fn dir(&self, id: PodId) -> PathBuf {
        self.pods.join(id.to_string())
    }

    /// The folder of all pods.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.pods
    }

    /// Makes the folder of a pod, if it is not there yet.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn prepare(&self, id: PodId) -> Result<PathBuf, JournalError> {
        let dir = self.dir(id);
        if !dir.exists() {
            make_private_dir(&dir)?;
        }
        Ok(dir)
    }

    /// Writes the record durably: after a return it survives a crash of the daemon and of the host.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the record that was there is then still there.
    pub fn save(&self, record: &Record) -> Result<(), JournalError> {
        let dir = self.prepare(record.id)?;
        let (partial, path) = (dir.join(PARTIAL), dir.join(RECORD));
        let fresh = !path.exists();
        // A record is plain data: it always has a JSON form.
        let text = serde_json::to_vec(record).map_err(|source| JournalError::Parse { path: path.clone(), source })?;
        replace(&partial, &path, &text)?;
        sync_dir(&dir)?;
        if fresh {
            sync_dir(&self.pods)?;
        }
        Ok(())
    }

    /// Removes the pod's folder. The record goes first, so that a crash in between leaves what the sweep removes.
    /// Removing what is not there is no error.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn remove(&self, id: PodId) -> Result<(), JournalError> {
        let dir = self.dir(id);
        let path = dir.join(RECORD);
        match fs::remove_file(&path) {
            Ok(()) => sync_dir(&dir)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(at("remove", &path)(e)),
        }
        match fs::remove_dir_all(&dir) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(at("remove", &dir)(e)),
        }
    }

    /// Reads every record, and sweeps the folders of pods that never had one.
    ///
    /// # Errors
    /// [`JournalError::Io`] when the folder of all pods cannot be listed; a single bad record is no error.
    pub fn load(&self) -> Result<Loaded, JournalError> {
        let mut loaded = Loaded::default();
        for entry in fs::read_dir(&self.pods).map_err(at("list", &self.pods))? {
            let entry = entry.map_err(at("list", &self.pods))?;
            let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<PodId>().ok()) else { continue };
            match self.read(id) {
                Ok(Some(record)) => loaded.records.push(record),
                Ok(None) => {
                    self.remove(id)?;
                    loaded.swept.push(id);
                }
                Err(error) => loaded.broken.push((id, error)),
            }
        }
        loaded.records.sort_by_key(|r| (r.created_usec, r.id));
        Ok(loaded)
    }

    fn read(&self, id: PodId) -> Result<Option<Record>, JournalError> {
        #[derive(serde::Deserialize)]
        struct Head {
            version: u32,
        }
        let path = self.dir(id).join(RECORD);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(at("read", &path)(e)),
        };
        let parse = |source| JournalError::Parse { path: path.clone(), source };
        let head: Head = serde_json::from_slice(&text).map_err(parse)?;
        if head.version != VERSION {
            return Err(JournalError::Version { path, found: head.version });
        }
        let record: Record = serde_json::from_slice(&text).map_err(parse)?;
        if record.id != id {
            return Err(JournalError::Misplaced { path, found: record.id });
        }
        Ok(Some(record))
    }
}

/// Puts a whole file in the place of what is there; the folder is still to be synced.
fn replace(partial: &Path, path: &Path, text: &[u8]) -> Result<(), JournalError> {
    let mut file = File::create(partial).map_err(at("create", partial))?;
    file.write_all(text).map_err(at("write", partial))?;
    file.sync_data().map_err(at("sync", partial))?;
    fs::rename(partial, path).map_err(at("rename", partial))
}

fn host_tag(state_dir: &Path) -> Result<HostTag, JournalError> {
    let path = state_dir.join(TAG);
    match fs::read_to_string(&path) {
        Ok(text) => text.trim_end().parse().map_err(|_| JournalError::Tag { path }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let tag = HostTag::random();
            replace(&state_dir.join("host-tag.new"), &path, format!("{tag}\n").as_bytes())?;
            sync_dir(state_dir)?;
            Ok(tag)
        }
        Err(e) => Err(at("read", &path)(e)),
    }
}

fn make_private_dir(dir: &Path) -> Result<(), JournalError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at("make", dir))
}

fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    crate::blocking::sync_dir(dir).map_err(at("sync", dir))
}

#[cfg(test)]
mod tests;
