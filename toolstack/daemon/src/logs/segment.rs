//! One file of a log, as those who read it hold it: it can be read to its end after it was renamed or removed, and then says
//! which file came after it. So a reader that is slow loses nothing over rotations, up to [`MAX_BEHIND`] of them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// So many files after the one that a reader holds are kept for it, removed ones too. One that is further behind skips what
/// is in between: else a reader that sleeps would keep a container's output on disk without bound.
pub const MAX_BEHIND: usize = 8;

/// A file.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    /// Counts the container's starts.
    pub(super) run: u64,
    next: Mutex<Option<Arc<Segment>>>,
}

impl Segment {
    pub(super) fn open(path: &Path, run: u64) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { file: File::open(path)?, run, next: Mutex::new(None) }))
    }

    /// The file after this one. When there is one, this one does not grow any more.
    pub(super) fn next(&self) -> Option<Arc<Self>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_next(&self, next: Arc<Self>) {
        // The one before is dropped outside the lock: it may be the last of a chain.
        let before = self.next.lock().unwrap_or_else(PoisonError::into_inner).replace(next);
        drop(before);
    }
}

/// Reads a file from some offset on; what is appended later can be read as well.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) segment: Arc<Segment>,
    pub(super) offset: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.segment.file.read_at(buffer, self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}
