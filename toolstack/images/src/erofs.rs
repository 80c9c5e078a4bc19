//! Writing an uncompressed EROFS image from a [`Tree`], in user space, in one go.
//!
//! ```text
//! | 1024 zeros | superblock | inodes, xattrs, small tails ... | directories ... | file data ... |
//! ```
//!
//! [`plan`] lays everything out first, [`write`] then streams it, copying contents from the layers' spools. The layout
//! depends on the tree alone: the same layers give the same bytes. [`format`] has the on-disk structures, with their
//! sources. No crate writes EROFS with file contents, which is why this is our own.

mod format;
mod plan;
mod write;

use std::fs::File;

use crate::error::ErrorKind;
use crate::layer::Spool;
use crate::limits::Limits;
use crate::progress::Cancel;
use crate::tree::Tree;

pub(crate) use format::xattr_index;

/// Builds the image into `out`, an empty file, and returns its length in bytes, a multiple of 4096. Not synced.
///
/// `object` names the image in errors. The file is sparse where the contents are.
#[allow(clippy::too_many_arguments)]
pub fn build(
    tree: &Tree,
    spools: &[Spool],
    uuid: [u8; 16],
    out: &File,
    object: &str,
    limits: &Limits,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<u64, ErrorKind> {
    let plan = plan::Plan::new(tree, object, limits)?;
    write::write(tree, &plan, spools, uuid, out, cancel, progress)
}

#[cfg(test)]
mod tests;
