//! Telling the caller how far a pull or an import is, and being told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::digest::Digest;
use crate::error::ErrorKind;

/// One step forward. Events of different layers interleave; those of one layer come in order.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The manifest is known.
    Resolved {
        /// The image's id.
        id: Digest,
        /// Digest and compressed size of each layer, lowest first.
        layers: Vec<(Digest, u64)>,
    },
    /// Bytes of a layer that are here and hashed, out of its compressed size.
    Fetching {
        /// Index of the layer, lowest first.
        layer: usize,
        /// Bytes so far, those of an earlier, interrupted pull included.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Uncompressed bytes of a layer written to the spool; how many there will be is not known beforehand.
    Unpacking {
        /// Index of the layer.
        layer: usize,
        /// Bytes so far.
        done: u64,
    },
    /// Bytes of the filesystem image written.
    Building {
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
}

/// Where progress goes. Called from worker threads, often: it must not block.
pub type ProgressFn = Arc<dyn Fn(Progress) + Send + Sync>;

/// Progress for those who do not care.
pub fn no_progress() -> ProgressFn {
    Arc::new(|_| {})
}

/// A flag that long synchronous work looks at between chunks.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop soon.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Refuses to go on once [`Cancel::cancel`] was called.
    pub fn check(&self) -> Result<(), ErrorKind> {
        if self.0.load(Ordering::Relaxed) { Err(ErrorKind::Cancelled) } else { Ok(()) }
    }

    /// Cancels when dropped: ties blocking work to the life of the future that waits for it.
    pub(crate) fn guard(&self) -> CancelGuard {
        CancelGuard(self.clone())
    }
}

pub(crate) struct CancelGuard(Cancel);

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
