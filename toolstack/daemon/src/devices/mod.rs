//! Block devices of dom0 that pods see: loop devices over files of ours.
//!
//! ```text
//! <state>/images/.../x.erofs --read-only loop, shared--> blkback --> xvda of every pod that runs the image
//! <state>/pods/<uuid>/scratch.img --loop--> blkback --> the pod's scratch disk
//! ```
//!
//! dom0 never mounts any of them. Whose a loop device is follows from its backing file: everything under the state
//! folder is ours, nothing else is.

mod loops;
mod scratch;

use std::path::PathBuf;

pub use loops::{Block, Loops};
pub use scratch::Scratch;

/// Why a block device could not be made or taken away.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The loop driver is not there.
    #[error("/dev/loop-control: {0}; load the module: modprobe loop")]
    NoLoop(std::io::Error),
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Every free loop device was taken by somebody else before we could.
    #[error("no loop device could be had for {}: others take them as fast as we find them", path.display())]
    Contended {
        /// The file it was for.
        path: PathBuf,
    },
    /// The file system of a scratch disk could not be made.
    #[error("mke2fs for a scratch disk of {bytes} bytes: {why}; is the package e2fsprogs installed?")]
    Mke2fs {
        /// Its size.
        bytes: u64,
        /// What mke2fs said, or why it did not run.
        why: String,
    },
}

fn at<'a>(what: &'static str, path: &'a std::path::Path) -> impl FnOnce(std::io::Error) -> DeviceError + use<'a> {
    move |source| DeviceError::Io { what, path: path.into(), source }
}
