//! The folder of kernels: each file is there whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::NamedTempFile;

use super::KernelInfo;
use super::error::{KernelStoreError, at};
use crate::blocking::sync_dir;

/// Begins the name of what is not yet what it will be.
const TEMPORARY: &str = ".new-";
const DEFAULT: &str = "default";
pub(super) const PACKAGED: &str = "packaged.json";
/// The version of the form of `<hex>.json`.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Meta {
    format: u32,
    #[serde(flatten)]
    info: KernelInfo,
}

/// The hexadecimal part of a digest.
pub(super) fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Makes the folder where it is not there, sweeps it, and reads what it has.
pub(super) fn open(dir: &Path) -> Result<Vec<KernelInfo>, KernelStoreError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at("make", dir))?;
    let mut kernels: BTreeMap<String, u64> = BTreeMap::new();
    let mut metas = Vec::new();
    for entry in fs::read_dir(dir).map_err(at("list", dir))? {
        let entry = entry.map_err(at("list", dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(TEMPORARY) {
            fs::remove_file(entry.path()).map_err(at("remove", &entry.path()))?;
        } else if is_hex(&name) {
            kernels.insert(name, entry.metadata().map_err(at("look at", &entry.path()))?.len());
        } else if let Some(hex) = name.strip_suffix(".json").filter(|h| is_hex(h)) {
            metas.push((hex.to_string(), entry.path()));
        }
    }
    let mut found = Vec::new();
    for (hex, path) in metas {
        let size = kernels.remove(&hex);
        match read::<Meta>(&path)? {
            Some(Meta { format: FORMAT, info })
                if info.digest == format!("sha256:{hex}") && size == Some(info.size) =>
            {
                found.push(info);
            }
            // It may hold what a pod needs: an administrator decides.
            _ => tracing::error!("kernel {}: it, or what is known of it, is damaged; it is left out", path.display()),
        }
    }
    // Imports that did not get to their last step.
    for hex in kernels.keys() {
        let path = dir.join(hex);
        fs::remove_file(&path).map_err(at("remove", &path))?;
    }
    Ok(found)
}

/// Reads JSON; `None` when it is not there, or is none.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, KernelStoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at("read", path)(e)),
    }
}

/// A file that goes away unless it is kept.
pub(super) fn temporary(dir: &Path) -> Result<NamedTempFile, KernelStoreError> {
    tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(at("create a file in", dir))
}

fn keep(file: NamedTempFile, path: &Path) -> Result<(), KernelStoreError> {
    file.as_file().sync_all().map_err(at("sync", path))?;
    file.persist(path).map_err(|e| at("rename to", path)(e.error))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    sync_dir(dir).map_err(at("sync", dir))
}

/// Replaces a small file.
pub(super) fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), KernelStoreError> {
    let mut file = temporary(dir)?;
    let path = dir.join(name);
    file.write_all(bytes).map_err(at("write", &path))?;
    keep(file, &path)
}

/// Replaces a small file of JSON.
pub(super) fn write_json(dir: &Path, name: &str, value: &impl Serialize) -> Result<(), KernelStoreError> {
    let bytes = serde_json::to_vec_pretty(value).map_err(|e| at("write", &dir.join(name))(e.into()))?;
    write(dir, name, &bytes)
}

/// Gives a kernel its place, and then says what it is: only with that it is one.
pub(super) fn add(dir: &Path, kernel: NamedTempFile, info: &KernelInfo) -> Result<(), KernelStoreError> {
    let hex = hex(&info.digest);
    let path = dir.join(hex);
    kernel.as_file().set_permissions(fs::Permissions::from_mode(0o400)).map_err(at("protect", &path))?;
    keep(kernel, &path)?;
    let told = write_json(dir, &format!("{hex}.json"), &Meta { format: FORMAT, info: info.clone() });
    if told.is_err() {
        // Nobody knows of it.
        let _ = fs::remove_file(&path);
    }
    told
}

/// Removes a kernel: what is known of it first.
pub(super) fn remove(dir: &Path, digest: &str) -> Result<(), KernelStoreError> {
    for name in [format!("{}.json", hex(digest)), hex(digest).to_string()] {
        let path = dir.join(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at("remove", &path)(e)),
            _ => {}
        }
    }
    sync_dir(dir).map_err(at("sync", dir))
}

/// The digest of the chosen default, if one was chosen.
pub(super) fn read_default(dir: &Path) -> Result<Option<String>, KernelStoreError> {
    let path = dir.join(DEFAULT);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at("read", &path)(e)),
    }
}

/// Notes the default; `None` for the package's own.
pub(super) fn write_default(dir: &Path, digest: Option<&str>) -> Result<(), KernelStoreError> {
    let Some(digest) = digest else {
        let path = dir.join(DEFAULT);
        return match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at("remove", &path)(e)),
            _ => sync_dir(dir).map_err(at("sync", dir)),
        };
    };
    write(dir, DEFAULT, format!("{digest}\n").as_bytes())
}
