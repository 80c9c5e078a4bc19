//! The cache: `KIND/HASH/` folders, each named by the hash of all that went into it and made whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use crate::error::{LabError, Result};
use crate::host::say;

/// How many entries of a kind are kept, counted by their last use.
const KEPT: [(&str, usize); 6] =
    [("root", 2), ("disk", 3), ("package", 4), ("booted", 6), ("installed", 6), ("failed", 10)];

/// What goes into an artefact. The order matters.
#[derive(Default)]
pub struct Inputs(Sha256);

impl Inputs {
    /// Adds a named value.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Inputs {
        let value = value.as_ref();
        self.0.update(format!("{name} {}\n", value.len()));
        self.0.update(value);
        self
    }

    /// Adds a file, or all files below a folder: paths from `base` on, modes and contents. Where the checkout lies does not
    /// matter.
    pub fn add_tree(&mut self, base: &Path, name: &str) -> Result<&mut Inputs> {
        let path = base.join(name);
        let metadata = fs::symlink_metadata(&path).map_err(LabError::file("cannot read", &path))?;
        if metadata.is_dir() {
            let mut children: Vec<String> = fs::read_dir(&path)
                .and_then(|entries| {
                    entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned())).collect()
                })
                .map_err(LabError::file("cannot list", &path))?;
            children.sort();
            for child in children {
                self.add_tree(base, &format!("{name}/{child}"))?;
            }
        } else if metadata.is_symlink() {
            let target = fs::read_link(&path).map_err(LabError::file("cannot read", &path))?;
            self.add(name, target.to_string_lossy().as_bytes());
        } else {
            let content = fs::read(&path).map_err(LabError::file("cannot read", &path))?;
            self.add(name, [metadata.permissions().mode() as u8 & 0o111]).add("content", content);
        }
        Ok(self)
    }

    /// The name of the artefact.
    pub fn hash(&mut self) -> String {
        self.0.finalize_reset().iter().take(10).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// One artefact.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its folder.
    pub path: PathBuf,
    /// Differs each time that it is made: what is built on an artefact does not fit its rebuilt twin.
    pub id: String,
}

/// The cache folder.
pub struct Cache {
    root: PathBuf,
}

/// Held for as long as the value lives.
pub struct Lock(#[allow(dead_code, reason = "open is locked")] File);

impl Cache {
    /// Finds or makes the folder.
    pub fn open() -> Result<Cache> {
        let root = folder()?;
        fs::create_dir_all(&root).map_err(LabError::file("cannot make", &root))?;
        Ok(Cache { root })
    }

    /// Waits, with a word, until no other lab holds the lock: `machine` for running one, `package` for building it.
    pub fn lock(&self, name: &str) -> Result<Lock> {
        let path = self.root.join(format!("{name}.lock"));
        let mut lock = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(LabError::file("cannot open", &path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            say(&format!("another lab (process {}) has the {name}; waiting for it", holder.trim()));
            flock(&lock, FlockOperation::LockExclusive)
                .map_err(|error| LabError::file("cannot lock", &path)(error.into()))?;
        }
        lock.set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(LabError::file("cannot write", &path))?;
        Ok(Lock(lock))
    }

    /// The folder of the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// An empty folder for one run, removed with the next one. For the holder of the machine's lock.
    pub fn scratch(&self) -> Result<PathBuf> {
        // Those of labs that were killed go too.
        let _ = fs::remove_dir_all(self.root.join("run"));
        self.fresh(self.root.join("run").join(std::process::id().to_string()))
    }

    /// The artefact, made by `make` in a folder that becomes the entry once it returns well.
    pub fn entry(&self, kind: &str, hash: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<Entry> {
        let path = self.root.join(kind).join(hash);
        let stamp = path.join("id");
        if let Ok(id) = fs::read_to_string(&stamp) {
            // Its time of use is what pruning goes by.
            let now = SystemTime::now();
            File::open(&stamp)
                .and_then(|file| file.set_modified(now))
                .map_err(LabError::file("cannot touch", &stamp))?;
            return Ok(Entry { path, id });
        }
        let draft = self.fresh(self.root.join(kind).join(format!("{hash}.draft")))?;
        make(&draft)?;
        let id = format!("{:?}", SystemTime::now());
        fs::write(draft.join("id"), &id).map_err(LabError::file("cannot write", draft.join("id")))?;
        let _ = fs::remove_dir_all(&path);
        fs::rename(&draft, &path).map_err(LabError::file("cannot rename", &draft))?;
        self.prune(kind);
        Ok(Entry { path, id })
    }

    /// A folder for what is left of a failed run.
    pub fn failed(&self) -> Result<PathBuf> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let path = self.root.join("failed").join(now.as_millis().to_string());
        fs::create_dir_all(&path).map_err(LabError::file("cannot make", &path))?;
        self.prune("failed");
        Ok(path)
    }

    fn fresh(&self, path: PathBuf) -> Result<PathBuf> {
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(LabError::file("cannot make", &path))?;
        Ok(path)
    }

    fn prune(&self, kind: &str) {
        let kept = KEPT.iter().find(|(name, _)| *name == kind).map_or(4, |(_, kept)| *kept);
        let Ok(entries) = fs::read_dir(self.root.join(kind)) else { return };
        let mut found: Vec<(SystemTime, PathBuf)> = entries
            .flatten()
            .map(|entry| {
                let path = entry.path();
                let used =
                    fs::metadata(path.join("id")).or_else(|_| fs::metadata(&path)).and_then(|data| data.modified());
                (used.unwrap_or(SystemTime::UNIX_EPOCH), path)
            })
            .collect();
        found.sort();
        for (_, path) in found.iter().rev().skip(kept) {
            if let Err(error) = fs::remove_dir_all(path) {
                say(&format!("{} was not pruned: {error}", path.display()));
            }
        }
    }
}

fn folder() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = set("XENPOD_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|path| path.join("xenpod")))
        .or_else(|| set("HOME").map(|path| path.join(".cache/xenpod")))
        .ok_or_else(|| LabError::Usage("none of XENPOD_CACHE, XDG_CACHE_HOME and HOME is set".into()))?;
    // The sockets of a run live in it, and the kernel takes no path of more than 107 bytes.
    if !path.is_absolute() || path.as_os_str().len() > 80 {
        return Err(LabError::Usage(format!(
            "the cache folder {} must be absolute and short; set XENPOD_CACHE",
            path.display()
        )));
    }
    Ok(path)
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
