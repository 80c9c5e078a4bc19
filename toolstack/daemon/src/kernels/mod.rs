//! Guest kernels: the packaged one, and those that administrators bring.
//!
//! ```text
//!  <state>/kernels/<hex>         the kernel, as it was given; never written again
//!                 /<hex>.json    what is known of it; without it the kernel was never imported
//!                 /default       the digest of the default, when that is not the package's own
//!                 /packaged.json which file the package's kernel was when it was last read
//! ```
//!
//! A pod pins its kernel by digest when it is made, and starts with the same bytes for as long as it lives. That is why the package's own
//! kernel is copied here as well: an upgrade replaces the file, not the kernel that a stopped pod pins. Copies of older packages go when
//! no pod pins them any more. Digests are taken once, when a kernel comes in, and never on the path of a start.

mod args;
mod error;
mod files;
mod import;
mod inspect;
mod options;
mod packaged;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use xenpod_xen::kernel::KernelImage;

pub use args::{DEFAULT_ALLOWED, first_refused};
pub use error::KernelStoreError;
pub use import::Import;
pub use options::NEEDED;

/// What the package's kernel is called.
pub const PACKAGED: &str = "packaged";
/// The most kernels that are kept.
pub const MAX_KERNELS: usize = 64;

/// How it is known which options a kernel was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// By the configuration that it holds itself.
    Embedded,
    /// By the configuration that was given with it.
    Given,
    /// It is not.
    Unchecked,
}

impl Proof {
    /// The word on the bus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Given => "given",
            Self::Unchecked => "unchecked",
        }
    }
}

/// What is known of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelInfo {
    /// `sha256:<hex>` of its bytes.
    pub digest: String,
    /// Its name; that of a packaged one says whether it is the current package's.
    pub name: String,
    /// Bytes of the file.
    pub size: u64,
    /// What `uname -r` says on it; empty when that could not be read.
    pub version: String,
    /// When it came, in microseconds since the epoch.
    pub imported_usec: u64,
    /// Who brought it.
    pub by_uid: u32,
    /// It is, or was, the package's own.
    pub packaged: bool,
    /// How `options` is known.
    pub proof: Proof,
    /// The options that pods need, as they were found: `y`, `m` or `n`.
    pub options: BTreeMap<String, String>,
}

struct Entry {
    info: Arc<KernelInfo>,
    /// Opened at the first use.
    image: OnceLock<KernelImage>,
}

impl Entry {
    fn new(info: KernelInfo) -> Self {
        Self { info: Arc::new(info), image: OnceLock::new() }
    }
}

#[derive(Default)]
struct State {
    /// By digest.
    all: BTreeMap<String, Entry>,
    /// The digest of the package's kernel, once it was read.
    current: Option<String>,
    /// The digest of the default, when it is not the package's kernel, whichever that is.
    chosen: Option<String>,
    /// Why the package's kernel cannot be had.
    why_not: String,
}

impl State {
    fn default_digest(&self) -> Option<&String> {
        self.chosen.as_ref().filter(|d| self.all.contains_key(*d)).or(self.current.as_ref())
    }

    fn find(&self, name_or_digest: &str) -> Option<&Entry> {
        let by_name = || self.all.values().find(|e| e.info.name == name_or_digest);
        self.all.get(name_or_digest).or_else(by_name)
    }

    /// The package's kernel is called that; older ones that pods still pin are told apart by their digests.
    fn name_packaged(&mut self) {
        let current = self.current.clone();
        for (digest, entry) in self.all.iter_mut().filter(|(_, e)| e.info.packaged) {
            let name = if current.as_ref() == Some(digest) {
                PACKAGED.to_string()
            } else {
                format!("{PACKAGED}-{}", &files::hex(digest)[..12])
            };
            if entry.info.name != name {
                entry.info = Arc::new(KernelInfo { name, ..(*entry.info).clone() });
            }
        }
    }
}

/// A kernel that nobody finds any more, and whose files are still there.
pub struct Withdrawn(Entry);

/// The kernels of this host.
pub struct Kernels {
    dir: PathBuf,
    packaged: PathBuf,
    state: Mutex<State>,
    /// Held while the folder is changed.
    writing: Mutex<()>,
}

impl Kernels {
    /// Opens the store under the state folder, sweeps what a crash left, and takes in the package's kernel. That this one cannot be used is
    /// no error: [`default`](Self::default) says so when it is wanted. Blocks.
    ///
    /// # Errors
    /// [`KernelStoreError::Io`].
    pub fn open(state_dir: &Path, packaged: &Path) -> Result<Self, KernelStoreError> {
        let dir = state_dir.join("kernels");
        let found = files::open(&dir)?;
        let mut state = State { chosen: files::read_default(&dir)?, ..State::default() };
        state.all = found.into_iter().map(|info| (info.digest.clone(), Entry::new(info))).collect();
        if let Some(digest) = state.chosen.as_ref().filter(|d| !state.all.contains_key(*d)) {
            tracing::error!(
                digest,
                "the default kernel {digest} is not here any more; the packaged one takes its place"
            );
        }
        let kernels = Self { dir, packaged: packaged.into(), state: Mutex::new(state), writing: Mutex::new(()) };
        kernels.look();
        // The first pod need not wait for it.
        if let Ok(default) = kernels.default() {
            kernels.image(&default.digest)?;
        }
        Ok(kernels)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the package's kernel if that has not been done: what was not there may be by now. Blocks.
    pub fn look(&self) {
        let _writing = self.writing();
        if self.state().current.is_some() {
            return;
        }
        match packaged::take_in(self) {
            Ok(()) => {}
            Err(error) => {
                let why = error.to_string();
                let mut state = self.state();
                if state.why_not != why {
                    tracing::error!("the packaged kernel cannot be used: {why}");
                    state.why_not = why;
                }
            }
        }
    }

    /// True: there is a default kernel, or none will come from looking again.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state().default_digest().is_some()
    }

    /// Every kernel, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<KernelInfo>> {
        let mut all: Vec<_> = self.state().all.values().map(|e| e.info.clone()).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// A kernel by its name or its digest.
    #[must_use]
    pub fn find(&self, name_or_digest: &str) -> Option<Arc<KernelInfo>> {
        self.state().find(name_or_digest).map(|e| e.info.clone())
    }

    /// The kernel of a pod that names none.
    ///
    /// # Errors
    /// [`KernelStoreError::NoDefault`]: the package's own cannot be used, and no other was chosen.
    pub fn default(&self) -> Result<Arc<KernelInfo>, KernelStoreError> {
        let state = self.state();
        let found = state.default_digest().and_then(|d| state.all.get(d)).map(|e| e.info.clone());
        found.ok_or_else(|| KernelStoreError::NoDefault { why: state.why_not.clone() })
    }

    /// True for the digest of the default.
    #[must_use]
    pub fn is_default(&self, digest: &str) -> bool {
        self.state().default_digest().is_some_and(|d| d == digest)
    }

    /// The bytes, checked. They are opened once and held open.
    ///
    /// # Errors
    /// It is not here, or its file cannot be read.
    pub fn image(&self, digest: &str) -> Result<KernelImage, KernelStoreError> {
        let state = self.state();
        let entry = state.all.get(digest).ok_or_else(|| KernelStoreError::NotFound { name: digest.into() })?;
        if let Some(image) = entry.image.get() {
            return Ok(image.clone());
        }
        let image = KernelImage::open(self.dir.join(files::hex(digest)))?;
        Ok(entry.image.get_or_init(|| image).clone())
    }

    /// Makes it the kernel of pods that are made from now on and name none. The package's own stays the default when the package brings
    /// another. Returns the digest of the one before. Blocks.
    ///
    /// # Errors
    /// It is not here; the disk.
    pub fn set_default(&self, digest: &str) -> Result<Option<String>, KernelStoreError> {
        let _writing = self.writing();
        let (before, chosen) = {
            let state = self.state();
            if !state.all.contains_key(digest) {
                return Err(KernelStoreError::NotFound { name: digest.into() });
            }
            let packaged = state.current.as_deref() == Some(digest);
            (state.default_digest().cloned(), (!packaged).then(|| digest.to_string()))
        };
        files::write_default(&self.dir, chosen.as_deref())?;
        let mut state = self.state();
        if !state.all.contains_key(digest) {
            // It was removed meanwhile.
            let chosen = state.chosen.clone();
            drop(state);
            files::write_default(&self.dir, chosen.as_deref())?;
            return Err(KernelStoreError::NotFound { name: digest.into() });
        }
        state.chosen = chosen;
        Ok(before)
    }

    /// Takes a kernel away from those who look for one, in order to [`erase`](Self::erase) it. `pods` pin it. Does not block, so that whoever
    /// finds a kernel and notes that it is used, without a pause between, need not fear that it goes.
    ///
    /// # Errors
    /// It is not here, pods use it, it is the default or the package's own.
    pub fn withdraw(&self, digest: &str, pods: Vec<String>) -> Result<Withdrawn, KernelStoreError> {
        let mut state = self.state();
        let entry = state.all.get(digest).ok_or_else(|| KernelStoreError::NotFound { name: digest.into() })?;
        let name = entry.info.name.clone();
        if state.current.as_deref() == Some(digest) {
            return Err(KernelStoreError::Packaged { name });
        }
        if state.default_digest().is_some_and(|d| d == digest) {
            return Err(KernelStoreError::IsDefault { name });
        }
        if !pods.is_empty() {
            return Err(KernelStoreError::InUse { name, pods });
        }
        let entry = state.all.remove(digest);
        Ok(Withdrawn(entry.ok_or(KernelStoreError::NotFound { name })?))
    }

    /// Removes the files of a kernel. Blocks.
    ///
    /// # Errors
    /// The disk; then the kernel is there again.
    pub fn erase(&self, Withdrawn(entry): Withdrawn) -> Result<(), KernelStoreError> {
        let _writing = self.writing();
        let digest = entry.info.digest.clone();
        // It may have been imported again meanwhile.
        if self.state().all.contains_key(&digest) {
            return Ok(());
        }
        let removed = files::remove(&self.dir, &digest);
        if removed.is_err() {
            self.state().all.insert(digest, entry);
        }
        removed
    }

    /// True for a copy of an older package's kernel, which is here for the pods that pin it and nobody else.
    #[must_use]
    pub fn is_outdated(&self, digest: &str) -> bool {
        let state = self.state();
        let outdated = |current: &String| {
            current != digest
                && state.default_digest().is_none_or(|d| d != digest)
                && state.all.get(digest).is_some_and(|e| e.info.packaged)
        };
        // Without the package's present kernel it is not known what is outdated.
        state.current.as_ref().is_some_and(outdated)
    }
}

#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
