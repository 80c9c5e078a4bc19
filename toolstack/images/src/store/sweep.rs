//! Opening a store: take its lock, read what is whole, remove what is not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::durable::{remove, sync_dir, write_names};
use super::record::Stored;
use super::{Record, State};
use crate::digest::Digest;
use crate::error::ErrorKind;

/// Blobs and downloads that nobody came back for.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

pub(super) fn open(dir: &Path) -> Result<(File, State), ErrorKind> {
    for dir in [dir.to_owned(), dir.join("images"), dir.join("ingest")] {
        make_dir(&dir)?;
    }
    let path = dir.join("lock");
    let lock = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = lock.map_err(|e| ErrorKind::store("open", &path, e))?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Err(ErrorKind::Busy { path: dir.to_owned() }),
        Err(e) => return Err(ErrorKind::store("lock", path, e.into())),
    }
    for stray in list(dir)?.iter().filter(|name| name.starts_with(super::durable::TEMPORARY)) {
        remove(&dir.join(stray))?;
    }
    let images = images(&dir.join("images"))?;
    let names = names(dir, &images)?;
    ingest(&dir.join("ingest"))?;
    Ok((lock, State { names, images }))
}

fn make_dir(dir: &Path) -> Result<(), ErrorKind> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| ErrorKind::store("create", dir, e))
}

/// Images whose record and filesystem agree; everything else in the directory goes.
fn images(dir: &Path) -> Result<BTreeMap<Digest, Record>, ErrorKind> {
    let mut images = BTreeMap::new();
    let names = list(dir)?;
    for name in &names {
        if let Some(id) = name.strip_suffix(".json").and_then(Digest::from_file_stem) {
            match load(dir, name, &id) {
                Ok(record) => drop(images.insert(id, record)),
                Err(reason) => tracing::warn!(image = %id, %reason, "image record is not usable; pull the image again"),
            }
        }
    }
    for name in &names {
        let id = name.rsplit_once('.').and_then(|(stem, _)| Digest::from_file_stem(stem));
        let ours = name.ends_with(".json") || name.ends_with(".erofs");
        if !ours || !id.is_some_and(|id| images.contains_key(&id)) {
            tracing::info!(file = %dir.join(name).display(), "removing what an interrupted run left");
            remove(&dir.join(name))?;
        }
    }
    sync_dir(dir)?;
    Ok(images)
}

fn load(dir: &Path, name: &str, id: &Digest) -> Result<Record, String> {
    let raw = fs::read(dir.join(name)).map_err(|e| e.to_string())?;
    let stored: Stored = serde_json::from_slice(&raw).map_err(|e| e.to_string())?;
    let record = stored.read(id).map_err(|e| e.to_string())?;
    let erofs = dir.join(format!("{}.erofs", id.file_stem()));
    let len = fs::metadata(&erofs).map_err(|e| format!("{}: {e}", erofs.display()))?.len();
    if len != record.size {
        return Err(format!("{} is {len} bytes, its record says {}", erofs.display(), record.size));
    }
    Ok(record)
}

/// Names of images that are here.
fn names(dir: &Path, images: &BTreeMap<Digest, Record>) -> Result<BTreeMap<String, Digest>, ErrorKind> {
    let path = dir.join("names.json");
    let mut names: BTreeMap<String, Digest> = match fs::read(&path) {
        Ok(raw) => serde_json::from_slice(&raw)
            .map_err(|e| ErrorKind::Corrupt { object: path.display().to_string(), reason: e.to_string() })?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
        Err(e) => return Err(ErrorKind::store("read", path, e)),
    };
    let before = names.len();
    names.retain(|_, id| images.contains_key(id));
    if names.len() != before {
        write_names(dir, &names)?;
    }
    Ok(names)
}

/// Keeps what a later pull can resume.
fn ingest(dir: &Path) -> Result<(), ErrorKind> {
    for name in list(dir)? {
        let path = dir.join(&name);
        let stem = name.strip_suffix(".partial").unwrap_or(&name);
        let modified = fs::metadata(&path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let fresh = SystemTime::now().duration_since(modified).map_or(true, |age| age < STALE);
        if Digest::from_file_stem(stem).is_none() || !fresh {
            remove(&path)?;
        }
    }
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<String>, ErrorKind> {
    let failed = |e| ErrorKind::store("list", dir, e);
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}
