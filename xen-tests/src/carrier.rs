//! Files on their way into dom0: a tar archive on a read-only drive. Through a port it would take a second a megabyte.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{LabError, Result};
use crate::machine::CARRIER_SIZE;

/// One file or folder, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// On the host.
    pub from: PathBuf,
    /// In dom0: its new name, or with a slash at the end the folder that it goes into.
    pub to: String,
}

impl FromStr for Copy {
    type Err = String;

    fn from_str(text: &str) -> Result<Copy, String> {
        let (from, to) = text.rsplit_once(':').ok_or("it is not SRC:DST")?;
        if from.is_empty() || !to.starts_with('/') {
            return Err("it is not SRC:DST with an absolute DST".into());
        }
        Ok(Copy { from: from.into(), to: to.into() })
    }
}

impl Copy {
    /// The path in the archive, below the root.
    fn target(&self) -> Result<PathBuf> {
        let below = self.to.trim_start_matches('/');
        if !self.to.ends_with('/') {
            return Ok(below.into());
        }
        let named = self.from.canonicalize().map_err(LabError::file("cannot find", &self.from))?;
        let name = named.file_name().ok_or_else(|| LabError::Usage(format!("{} has no name", self.from.display())))?;
        Ok(Path::new(below).join(name))
    }
}

/// Writes the drive. Links are carried as links; a link named as the source itself is followed.
pub fn pack(copies: &[Copy], drive: &Path) -> Result<()> {
    let failed = |path: &Path| LabError::file("cannot copy", path.to_owned());
    let file = File::create(drive).map_err(failed(drive))?;
    let mut archive = tar::Builder::new(file);
    archive.follow_symlinks(false);
    archive.sparse(true);
    for copy in copies {
        let target = copy.target()?;
        let source = copy.from.canonicalize().map_err(LabError::file("cannot find", &copy.from))?;
        if source.is_dir() {
            let appended = if target.as_os_str().is_empty() {
                archive.append_dir_all(".", &source)
            } else {
                archive.append_dir_all(&target, &source)
            };
            appended.map_err(failed(&source))?;
        } else {
            let mut file = File::open(&source).map_err(failed(&source))?;
            archive.append_file(&target, &mut file).map_err(failed(&source))?;
        }
    }
    let file = archive.into_inner().map_err(failed(drive))?;
    let size = file.metadata().map_err(failed(drive))?.len();
    if size > CARRIER_SIZE {
        return Err(LabError::Usage(format!("{size} bytes to copy are more than the drive's {CARRIER_SIZE}")));
    }
    file.set_len(CARRIER_SIZE).map_err(failed(drive))
}

/// Takes the files out, in dom0. A saved machine may remember what an earlier drive held: it is told to forget.
pub const UNPACK: &str = "blockdev --flushbufs /dev/vdb
tar --extract --file=/dev/vdb --blocking-factor=512 --directory=/ --preserve-permissions --no-same-owner --no-overwrite-dir";

#[cfg(test)]
#[path = "carrier_tests.rs"]
mod tests;
