//! What a container leaves behind as its last words: a file that its processes may write to, read when it has ended.
//!
//! The files of all containers are in a small file system of their own: what one of them writes there cannot fill the guest.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::mounts;
use crate::error::Error;

/// Where the files are, in the guest's own root.
const FOLDER: &str = "/run/xenpod/termination";
/// Bytes of all files together.
const SIZE: u64 = 1 << 20;
/// Bytes that are told, as the kubelet does (MaxContainerTerminationMessageLength, pkg/kubelet/container/runtime.go).
const TOLD: u64 = 4096;

/// The file of a container.
pub fn file(container: &str) -> PathBuf {
    Path::new(FOLDER).join(container)
}

/// Makes the file, empty, for any user to write to.
pub fn prepare(container: &str) -> Result<(), Error> {
    let folder = Path::new(FOLDER);
    if !folder.exists() {
        mounts::make_private(folder, 0o700)?;
        mounts::tmpfs(folder, SIZE, 0o700)?;
    }
    let path = file(container);
    let made = File::create(&path).and_then(|file| file.set_permissions(Permissions::from_mode(0o666)));
    made.map_err(Error::io("make", path.display().to_string()))
}

/// What is in the file, up to the bound; nothing when it cannot be read.
pub fn read(container: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(file(container)) {
        let _ = file.take(TOLD).read_to_end(&mut bytes);
    }
    bytes
}

/// Deletes the file.
pub fn forget(container: &str) {
    let _ = fs::remove_file(file(container));
}
