//! Taking a kernel in: copied, hashed, checked, and only then given its place.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use xenpod_xen::kernel::{BootImage, KernelImage};

use super::error::{KernelStoreError, at};
use super::options::{Config, missing};
use super::{Entry, KernelInfo, Kernels, MAX_KERNELS, PACKAGED, Proof, files, inspect};
use crate::blocking::is_plain;
use crate::clock;

/// The largest kernel: a distribution's, stripped, has some 60 MiB.
const MAX_KERNEL: u64 = 128 << 20;
/// How much is copied between two looks whether it is still wanted.
const PIECE: usize = 1 << 20;

/// A kernel that is to be taken in.
#[derive(Debug)]
pub struct Import {
    /// What it is to be called.
    pub name: String,
    /// Its bytes.
    pub kernel: OwnedFd,
    /// The configuration it was built with.
    pub config: Option<OwnedFd>,
    /// Take it though nothing says how it was built.
    pub unchecked: bool,
    /// Who brings it.
    pub by_uid: u32,
}

/// What was found out about a kernel.
pub(super) struct Facts {
    pub(super) version: String,
    pub(super) proof: Proof,
    pub(super) options: BTreeMap<String, String>,
}

impl Import {
    /// Whether a kernel may be called that.
    ///
    /// # Errors
    /// [`KernelStoreError::Name`].
    pub fn check_name(name: &str) -> Result<(), KernelStoreError> {
        let wrong = |why| Err(KernelStoreError::Name { name: name.into(), why });
        if !xenpod_api::manifest::is_kernel_name(name) {
            return wrong("a name has 1 to 63 letters, digits, '.', '_' and '-', and begins with a letter or digit");
        }
        if name == PACKAGED || name.strip_prefix(PACKAGED).is_some_and(|rest| rest.starts_with('-')) {
            return wrong("names that begin with \"packaged\" are for the package's own kernels; choose another");
        }
        Ok(())
    }
}

impl Kernels {
    /// Takes a kernel in. `progress` is told bytes done and in all; when `cancelled` says so, it ends. On an error nothing stays. The same
    /// kernel under the same name is success. Blocks.
    ///
    /// # Errors
    /// It cannot be used or cannot be called that; the disk.
    pub fn import(
        &self,
        import: Import,
        progress: &dyn Fn(u64, u64),
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Arc<KernelInfo>, KernelStoreError> {
        let Import { name, kernel, config, unchecked, by_uid } = import;
        Import::check_name(&name)?;
        let given = config.map(|fd| read_config(&name, fd)).transpose()?;
        let (source, size) = regular(&name, "kernel", kernel, MAX_KERNEL)?;
        let mut told = |done| {
            progress(done, size);
            if cancelled() { Err(()) } else { Ok(()) }
        };
        let (file, digest, size) = copy(&self.dir, &name, &source, &mut told)?;
        let image = KernelImage::new(BootImage::from_file(&name, handle(&file, &self.dir)?)?)?;
        let facts = facts(&name, file.as_file(), &self.dir, given.as_ref())?;
        match facts.proof {
            Proof::Unchecked if !unchecked => return Err(KernelStoreError::NoProof { name }),
            Proof::Unchecked => {}
            Proof::Embedded | Proof::Given => {
                let missing = missing(&facts.options);
                if !missing.is_empty() && !unchecked {
                    return Err(KernelStoreError::Lacks { name, missing });
                }
            }
        }
        drop(image);

        let _writing = self.writing();
        {
            let state = self.state();
            if let Some(there) = state.find(&name).filter(|e| e.info.name == name) {
                let same = there.info.digest == digest;
                return if same { Ok(there.info.clone()) } else { Err(KernelStoreError::Exists { name }) };
            }
            if let Some(there) = state.all.get(&digest) {
                return Err(KernelStoreError::SameBytes { other: there.info.name.clone() });
            }
            if state.all.len() >= MAX_KERNELS {
                return Err(KernelStoreError::TooMany(state.all.len()));
            }
        }
        if cancelled() {
            return Err(KernelStoreError::Cancelled { name });
        }
        let Facts { version, proof, options } = facts;
        let imported_usec = clock::now_usec();
        let info = KernelInfo { digest, name, size, version, imported_usec, by_uid, packaged: false, proof, options };
        self.add(file, info)
    }

    /// Gives it its place. `writing` is held.
    pub(super) fn add(&self, file: NamedTempFile, info: KernelInfo) -> Result<Arc<KernelInfo>, KernelStoreError> {
        files::add(&self.dir, file, &info)?;
        let entry = Entry::new(info);
        let info = entry.info.clone();
        self.state().all.insert(info.digest.clone(), entry);
        Ok(info)
    }
}

/// What is known of a kernel by its bytes and by the configuration that was given with it.
pub(super) fn facts(name: &str, file: &File, dir: &Path, given: Option<&Config>) -> Result<Facts, KernelStoreError> {
    let io = |source| at("read a kernel in", dir)(source);
    let version = inspect::version(file).map_err(io)?;
    let held = inspect::embedded_config(file).map_err(io)?.and_then(|text| Config::parse(&text));
    let bad = |why: String| KernelStoreError::BadConfig { name: name.into(), why };
    if let Some(given) = given {
        let differs = held.as_ref().and_then(|held| held.difference(given));
        if let Some((option, is, says)) = differs {
            return Err(bad(format!("is not the one it was built with: it has CONFIG_{option}={is}, not {says}")));
        }
        if let Some(why) = given.misfit(&version) {
            return Err(bad(why));
        }
    }
    let (proof, options) = match (&held, given) {
        (Some(held), _) => (Proof::Embedded, held.needed()),
        (None, Some(given)) => (Proof::Given, given.needed()),
        (None, None) => (Proof::Unchecked, BTreeMap::new()),
    };
    Ok(Facts { version, proof, options })
}

/// The file behind a descriptor, and its size.
fn regular(name: &str, what: &'static str, fd: OwnedFd, limit: u64) -> Result<(File, u64), KernelStoreError> {
    let not_a_file = || KernelStoreError::NotAFile { name: name.into(), what };
    let file = File::from(fd);
    if !is_plain(&file).unwrap_or(false) {
        return Err(not_a_file());
    }
    let size = file.metadata().map_err(|_| not_a_file())?.len();
    if size > limit {
        return Err(KernelStoreError::TooLarge { name: name.into(), what, size, limit });
    }
    Ok((file, size))
}

fn read_config(name: &str, fd: OwnedFd) -> Result<Config, KernelStoreError> {
    let (file, size) = regular(name, "configuration", fd, inspect::MAX_CONFIG)?;
    let bad = |why: String| KernelStoreError::BadConfig { name: name.into(), why };
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0).map_err(|e| bad(format!("cannot be read: {e}")))?;
    Config::parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| bad("has no line CONFIG_...=".into()))
}

fn handle(file: &NamedTempFile, dir: &Path) -> Result<File, KernelStoreError> {
    file.as_file().try_clone().map_err(at("open a file in", dir))
}

/// Copies a kernel into the folder: the file, which goes away unless it is kept, its digest and its size.
pub(super) fn copy(
    dir: &Path,
    name: &str,
    source: &File,
    told: &mut dyn FnMut(u64) -> Result<(), ()>,
) -> Result<(NamedTempFile, String, u64), KernelStoreError> {
    let mut file = files::temporary(dir)?;
    let (mut hash, mut done) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE];
    loop {
        told(done).map_err(|()| KernelStoreError::Cancelled { name: name.into() })?;
        let n = source.read_at(&mut piece, done).map_err(at("read kernel", Path::new(name)))?;
        if n == 0 {
            break;
        }
        done += n as u64;
        if done > MAX_KERNEL {
            let (name, what, limit) = (name.into(), "kernel", MAX_KERNEL);
            return Err(KernelStoreError::TooLarge { name, what, size: done, limit });
        }
        hash.update(&piece[..n]);
        file.write_all(&piece[..n]).map_err(at("write to", dir))?;
    }
    let hex: String = hash.finalize().iter().map(|b| format!("{b:02x}")).collect();
    Ok((file, format!("sha256:{hex}"), done))
}
