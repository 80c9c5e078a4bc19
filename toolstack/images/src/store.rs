//! The image store: what is here, under which names, and how more comes in.
//!
//! ```text
//! DIR/lock                    held while a process has the store open
//! DIR/names.json              name -> image id, replaced as a whole
//! DIR/images/<id>.erofs       the filesystem, built once
//! DIR/images/<id>.json        the record: manifest, configuration, size; written after the filesystem
//! DIR/ingest/<digest>         a layer's verified blob, until its image is built
//! DIR/ingest/<digest>.partial a download that can be resumed
//! ```
//!
//! An image is its manifest's digest. Layers' blobs are deleted once the filesystem is built: nothing here pushes or
//! re-exports. Every file is written aside, synced and renamed, the directory synced: a crash leaves an image whole, or
//! garbage that [`ImageStore::open`] sweeps. An image without a name (its name moved to another) stays until
//! [`ImageStore::prune`].
//!
//! [`pull`] brings images from registries, [`import`] from archives; [`build`] makes either's layers into the
//! filesystem.

mod build;
mod durable;
mod import;
mod locks;
mod pull;
mod record;
mod sweep;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::reference::Reference;
use locks::Locks;
pub use pull::PullOptions;
use record::Record;

/// An image in the store, as it was when asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The manifest's digest.
    pub id: Digest,
    /// Complete names, sorted; may be none.
    pub names: Vec<String>,
    /// What it says about running it.
    pub config: ImageConfig,
    /// The filesystem.
    pub erofs: PathBuf,
    /// Length of the filesystem in bytes; a multiple of 4096.
    pub size: u64,
    /// Digests of the layers' blobs, lowest first.
    pub layers: Vec<Digest>,
}

/// What [`ImageStore::remove`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Names that are gone.
    pub untagged: Vec<String>,
    /// The image, if that was its last name.
    pub deleted: Option<Digest>,
}

/// Says who uses an image (`pod web-1`), if anybody does.
pub type InUse<'a> = &'a dyn Fn(&Digest) -> Option<String>;

/// The store. Clones share it.
#[derive(Clone)]
pub struct ImageStore {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    limits: Limits,
    state: Mutex<State>,
    /// One builder for each image.
    images: Locks,
    /// One downloader for each blob.
    blobs: Locks,
    /// Held for its lock alone.
    _lock: File,
}

#[derive(Default)]
struct State {
    names: BTreeMap<String, Digest>,
    images: BTreeMap<Digest, Record>,
}

impl ImageStore {
    /// Opens the store in `dir`, made if need be, and sweeps what a crash left.
    pub fn open(dir: &Path, limits: Limits) -> Result<Self, ErrorKind> {
        let (lock, state) = sweep::open(dir)?;
        let inner = Inner {
            dir: dir.to_owned(),
            limits,
            state: Mutex::new(state),
            images: Locks::default(),
            blobs: Locks::default(),
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The image of that name, id, or unique beginning of an id (12 digits at least).
    pub fn get(&self, name_or_id: &str) -> Result<Image, Error> {
        let state = self.state();
        let id = state.find(name_or_id).map_err(|kind| kind.of(name_or_id))?;
        self.image(&state, &id).ok_or_else(|| not_here().of(name_or_id))
    }

    /// Every image, by id.
    pub fn list(&self) -> Vec<Image> {
        let state = self.state();
        state.images.keys().filter_map(|id| self.image(&state, id)).collect()
    }

    /// Gives an image one more name, taking it from whichever had it.
    pub fn tag(&self, name_or_id: &str, name: &str) -> Result<Image, Error> {
        let reference: Reference = name.parse().map_err(|kind: ErrorKind| kind.of(name))?;
        reference.givable().map_err(|kind| kind.of(name))?;
        let mut state = self.state();
        let id = state.find(name_or_id).map_err(|kind| kind.of(name_or_id))?;
        self.set_name(&mut state, &reference, &id).map_err(|kind| kind.of(name))?;
        self.image(&state, &id).ok_or_else(|| not_here().of(name_or_id))
    }

    /// Takes a name away; with the last name, or by id, the image goes too, unless it is in use.
    pub fn remove(&self, name_or_id: &str, in_use: InUse<'_>) -> Result<Removed, Error> {
        self.remove_kind(name_or_id, in_use).map_err(|kind| kind.of(name_or_id))
    }

    fn remove_kind(&self, name_or_id: &str, in_use: InUse<'_>) -> Result<Removed, ErrorKind> {
        let mut state = self.state();
        let id = state.find(name_or_id)?;
        let mut untagged = state.names_of(&id);
        let by_name =
            name_or_id.parse::<Reference>().ok().map(|r| r.to_string()).filter(|name| untagged.contains(name));
        if let (Some(name), 2..) = (&by_name, untagged.len()) {
            untagged = vec![name.clone()];
        } else if let Some(users) = in_use(&id) {
            return Err(ErrorKind::InUse { users });
        }
        let last = by_name.is_none() || untagged.len() == state.names_of(&id).len();
        let mut names = state.names.clone();
        names.retain(|name, _| !untagged.contains(name));
        durable::write_names(&self.inner.dir, &names)?;
        state.names = names;
        let deleted = last.then(|| id.clone());
        if last {
            self.delete(&mut state, &id)?;
        }
        Ok(Removed { untagged, deleted })
    }

    /// Deletes the images that have no name and are not in use; returns their ids.
    pub fn prune(&self, in_use: InUse<'_>) -> Result<Vec<Digest>, ErrorKind> {
        let mut state = self.state();
        let nameless = |id: &&Digest| state.names_of(id).is_empty() && in_use(id).is_none();
        let gone: Vec<Digest> = state.images.keys().filter(nameless).cloned().collect();
        for id in &gone {
            self.delete(&mut state, id)?;
        }
        Ok(gone)
    }

    /// Record first: a filesystem without one is garbage, a record without its filesystem would be a lie.
    fn delete(&self, state: &mut State, id: &Digest) -> Result<(), ErrorKind> {
        state.images.remove(id);
        durable::remove(&self.record_path(id))?;
        durable::remove(&self.erofs_path(id))?;
        durable::sync_dir(&self.inner.dir.join("images"))
    }

    fn set_name(&self, state: &mut State, name: &Reference, id: &Digest) -> Result<(), ErrorKind> {
        let name = name.to_string();
        if state.names.get(&name) == Some(id) {
            return Ok(());
        }
        let mut names = state.names.clone();
        names.insert(name, id.clone());
        durable::write_names(&self.inner.dir, &names)?;
        state.names = names;
        Ok(())
    }

    /// The image if it is here already, under this name too from now on.
    fn adopt(&self, name: &Reference, id: &Digest) -> Result<Option<Image>, ErrorKind> {
        let mut state = self.state();
        if !state.images.contains_key(id) {
            return Ok(None);
        }
        self.set_name(&mut state, name, id)?;
        Ok(self.image(&state, id))
    }

    fn image(&self, state: &State, id: &Digest) -> Option<Image> {
        let record = state.images.get(id)?;
        Some(Image {
            id: id.clone(),
            names: state.names_of(id),
            config: record.config.clone(),
            erofs: self.erofs_path(id),
            size: record.size,
            layers: record.layers.clone(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is made by one assignment after its file is written: a panic elsewhere leaves it sound.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn erofs_path(&self, id: &Digest) -> PathBuf {
        self.inner.dir.join("images").join(format!("{}.erofs", id.file_stem()))
    }

    fn record_path(&self, id: &Digest) -> PathBuf {
        self.inner.dir.join("images").join(format!("{}.json", id.file_stem()))
    }

    fn ingest_dir(&self) -> PathBuf {
        self.inner.dir.join("ingest")
    }
}

impl State {
    fn names_of(&self, id: &Digest) -> Vec<String> {
        self.names.iter().filter(|(_, at)| *at == id).map(|(name, _)| name.clone()).collect()
    }

    fn find(&self, name_or_id: &str) -> Result<Digest, ErrorKind> {
        if let Ok(id) = name_or_id.parse::<Digest>() {
            return self.images.contains_key(&id).then_some(id).ok_or_else(not_here);
        }
        let reference = name_or_id.parse::<Reference>();
        if let Some(id) = reference.as_ref().ok().and_then(|name| self.names.get(&name.to_string())) {
            return Ok(id.clone());
        }
        // "name@digest" means that image, whichever name it is here under.
        if let Some(digest) = reference.as_ref().ok().and_then(Reference::digest)
            && self.images.contains_key(digest)
        {
            return Ok(digest.clone());
        }
        let hex = name_or_id.strip_prefix("sha256:").unwrap_or(name_or_id);
        if hex.len() >= 12 && hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            let fits: Vec<_> = self.images.keys().filter(|id| id.hex().starts_with(hex)).collect();
            match fits[..] {
                [] => {}
                [id] => return Ok(id.clone()),
                _ => {
                    let candidates = fits.into_iter().map(Digest::to_string).collect();
                    return Err(ErrorKind::Ambiguous { place: "the image store".to_owned(), candidates });
                }
            }
        }
        reference.and(Err(not_here()))
    }
}

fn not_here() -> ErrorKind {
    ErrorKind::NotFound { place: "the image store".to_owned() }
}

#[cfg(test)]
mod tests;
