//! Scratch disks: one sparse file a pod, ext4, holding the writable layers of its containers.
//!
//! An empty file system of each size is made once, by mke2fs, and kept; a pod's disk is a copy of its few written blocks.
//! Its contents die with the pod, so it has no journal.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::SeekFrom;

use super::{DeviceError, at};

/// The smallest disk that is worth a file system.
pub const MIN_BYTES: u64 = 1 << 20;

/// Makes scratch disks.
#[derive(Clone, Debug)]
pub struct Scratch {
    templates: PathBuf,
}

impl Scratch {
    /// Templates are kept under `cache_dir`.
    #[must_use]
    pub fn new(cache_dir: &Path) -> Self {
        Self { templates: cache_dir.join("scratch") }
    }

    /// Makes the disk `file`, of `bytes` rounded up to 4 KiB. One that is there is replaced: a pod's writable layers last
    /// from its start to its stop. Blocks, for long the first time a size is used.
    ///
    /// # Errors
    /// See [`DeviceError`]; no file is then left.
    pub fn make(&self, file: &Path, bytes: u64) -> Result<(), DeviceError> {
        let bytes = bytes.max(MIN_BYTES).next_multiple_of(4096);
        let template = self.template(bytes)?;
        let result = copy_sparse(&template, file);
        if result.is_err() {
            let _ = fs::remove_file(file);
        }
        result
    }

    fn template(&self, bytes: u64) -> Result<PathBuf, DeviceError> {
        let path = self.templates.join(format!("ext4-{bytes}.img"));
        if path.exists() {
            return Ok(path);
        }
        fs::create_dir_all(&self.templates).map_err(at("make", &self.templates))?;
        let partial = self.templates.join(format!("ext4-{bytes}.{}.new", std::process::id()));
        let made = make_file_system(&partial, bytes);
        if let Err(e) = made {
            let _ = fs::remove_file(&partial);
            return Err(e);
        }
        fs::rename(&partial, &path).map_err(at("rename", &partial))?;
        Ok(path)
    }
}

fn make_file_system(path: &Path, bytes: u64) -> Result<(), DeviceError> {
    let file = File::create(path).map_err(at("create", path))?;
    file.set_len(bytes).map_err(at("size", path))?;
    file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(at("set the mode of", path))?;
    let output = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "scratch"])
        // No journal: the contents are lost with the domain anyway. Tables are initialised in the guest when used.
        .args(["-O", "^has_journal,^resize_inode", "-E", "lazy_itable_init=1,nodiscard,assume_storage_prezeroed=1"])
        .arg(path)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .map_err(|e| DeviceError::Mke2fs { bytes, why: e.to_string() })?;
    if !output.status.success() {
        let why = format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        return Err(DeviceError::Mke2fs { bytes, why });
    }
    Ok(())
}

/// Copies the data of a sparse file and leaves its holes holes.
fn copy_sparse(from: &Path, to: &Path) -> Result<(), DeviceError> {
    let source = File::open(from).map_err(at("open", from))?;
    let len = source.metadata().map_err(at("stat", from))?.len();
    match fs::remove_file(to) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(at("remove", to)(e)),
        _ => {}
    }
    let target = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(at("create", to))?;
    target.set_len(len).map_err(at("size", to))?;
    let mut offset = 0;
    loop {
        let data = match rustix::fs::seek(&source, SeekFrom::Data(offset)) {
            Ok(data) => data,
            // No data from here to the end.
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(e) => return Err(at("seek in", from)(e.into())),
        };
        let hole = rustix::fs::seek(&source, SeekFrom::Hole(data)).map_err(|e| at("seek in", from)(e.into()))?;
        let (mut read, mut write) = (data, data);
        while read < hole {
            let want = usize::try_from(hole - read).unwrap_or(usize::MAX);
            let n = rustix::fs::copy_file_range(&source, Some(&mut read), &target, Some(&mut write), want)
                .map_err(|e| at("copy to", to)(e.into()))?;
            if n == 0 {
                return Err(at("copy to", to)(std::io::ErrorKind::UnexpectedEof.into()));
            }
        }
        offset = hole;
    }
}

#[cfg(test)]
#[path = "scratch_tests.rs"]
mod tests;
