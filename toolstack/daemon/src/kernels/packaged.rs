//! The package's own kernel: copied when it is new, so that its bytes outlast the package.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xenpod_xen::kernel::KernelImage;

use super::error::{KernelStoreError, at};
use super::import::{Facts, copy, facts};
use super::options::{Config, missing};
use super::{KernelInfo, Kernels, PACKAGED, Proof, files};
use crate::clock;

/// Which file the package's kernel was when it was last read: while that is so, its digest is known without reading it again.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

#[derive(Serialize, Deserialize)]
struct Seen {
    file: Stamp,
    digest: String,
}

fn stamp(path: &Path, file: &File) -> std::io::Result<Stamp> {
    let m = file.metadata()?;
    Ok(Stamp {
        path: path.into(),
        device: m.dev(),
        inode: m.ino(),
        size: m.size(),
        modified: (m.mtime(), m.mtime_nsec()),
        changed: (m.ctime(), m.ctime_nsec()),
    })
}

/// Takes it in, if it is not what it was. `writing` is held.
pub(super) fn take_in(kernels: &Kernels) -> Result<(), KernelStoreError> {
    let path = &kernels.packaged;
    // First, for its errors.
    KernelImage::open(path)?;
    let source = File::open(path).map_err(at("open", path))?;
    let now = stamp(path, &source).map_err(at("look at", path))?;
    let seen: Option<Seen> = files::read(&kernels.dir.join(files::PACKAGED))?;
    let known = |digest: &String| kernels.state().all.contains_key(digest);
    let digest = match seen {
        Some(Seen { file, digest }) if file == now && known(&digest) => digest,
        _ => {
            let digest = copy_in(kernels, &source)?;
            let seen = Seen { file: now, digest: digest.clone() };
            files::write_json(&kernels.dir, files::PACKAGED, &seen)?;
            digest
        }
    };
    let mut state = kernels.state();
    state.current = Some(digest);
    state.why_not.clear();
    state.name_packaged();
    Ok(())
}

/// Returns its digest.
fn copy_in(kernels: &Kernels, source: &File) -> Result<String, KernelStoreError> {
    let path = &kernels.packaged;
    let (file, digest, size) = copy(&kernels.dir, &path.display().to_string(), source, &mut |_| Ok(()))?;
    if kernels.state().all.contains_key(&digest) {
        return Ok(digest);
    }
    let Facts { version, proof, options } = judged(kernels, file.as_file())?;
    let info = KernelInfo {
        digest,
        name: PACKAGED.into(),
        size,
        version,
        imported_usec: clock::now_usec(),
        by_uid: 0,
        packaged: true,
        proof,
        options,
    };
    tracing::info!(digest = info.digest, version = info.version, "the packaged kernel is {}", info.version);
    Ok(kernels.add(file, info)?.digest.clone())
}

/// It is the administrator's word that pods run on this kernel: what speaks against it is said, and not more.
fn judged(kernels: &Kernels, file: &File) -> Result<Facts, KernelStoreError> {
    let path = &kernels.packaged;
    let name = path.display().to_string();
    let beside = PathBuf::from(format!("{name}.config"));
    let given = fs::read_to_string(&beside).ok().and_then(|text| Config::parse(&text));
    let found = match facts(&name, file, &kernels.dir, given.as_ref()) {
        Err(error @ KernelStoreError::BadConfig { .. }) => {
            tracing::warn!("{}: {error}", beside.display());
            facts(&name, file, &kernels.dir, None)?
        }
        found => found?,
    };
    let missing = missing(&found.options);
    if found.proof != Proof::Unchecked && !missing.is_empty() {
        tracing::warn!("kernel {name} was built without {missing}: pods may not run on it");
    }
    Ok(found)
}
