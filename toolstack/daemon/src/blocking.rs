//! Work that waits for the disk or for Xen, off the runtime's thread; and what it does with files.

use std::fs::File;
use std::io;
use std::path::Path;

/// `FUSE_SUPER_MAGIC` (fs/fuse/inode.c): its reads wait for a process of whoever mounted it.
const FUSE: i64 = 0x6573_5546;

/// Runs `work` on a thread that may block. A panic there is one here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Whether nobody can keep a reader of it waiting: a regular file or a memfd, and not on FUSE.
///
/// # Errors
/// Its descriptor tells nothing.
pub fn is_plain(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.is_file() && rustix::fs::fstatfs(file)?.f_type != FUSE)
}

/// Writes a folder's names to the disk.
///
/// # Errors
/// The disk.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir).and_then(|d| d.sync_all())
}
