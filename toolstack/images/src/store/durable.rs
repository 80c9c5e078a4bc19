//! Files that are there whole or not at all.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::digest::Digest;
use crate::error::ErrorKind;

/// Begins the name of every file that is not yet what it will be.
pub(super) const TEMPORARY: &str = ".new-";

/// Writes aside, syncs, renames, syncs the directory.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ErrorKind> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = temporary(dir)?;
    file.write_all(bytes).map_err(|e| ErrorKind::store("write", path, e))?;
    persist(file, path)
}

/// A named file that goes away unless [`persist`]ed.
pub(super) fn temporary(dir: &Path) -> Result<tempfile::NamedTempFile, ErrorKind> {
    tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(dir)
        .map_err(|e| ErrorKind::store("create a file in", dir, e))
}

/// Gives a finished file its name.
pub(super) fn persist(file: tempfile::NamedTempFile, path: &Path) -> Result<(), ErrorKind> {
    file.as_file().sync_all().map_err(|e| ErrorKind::store("sync", path, e))?;
    file.persist(path).map_err(|e| ErrorKind::store("rename to", path, e.error))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Makes renames and removals in `dir` last.
pub(super) fn sync_dir(dir: &Path) -> Result<(), ErrorKind> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|e| ErrorKind::store("sync", dir, e))
}

/// Removes a file; that it is not there is fine.
pub(super) fn remove(path: &Path) -> Result<(), ErrorKind> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(ErrorKind::store("remove", path, e)),
        _ => Ok(()),
    }
}

/// Replaces `names.json`.
pub(super) fn write_names(dir: &Path, names: &BTreeMap<String, Digest>) -> Result<(), ErrorKind> {
    let path = dir.join("names.json");
    let text = serde_json::to_vec_pretty(names).map_err(|e| ErrorKind::store("write", &path, e.into()))?;
    write(&path, &text)
}
