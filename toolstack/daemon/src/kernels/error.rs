//! What can go wrong with kernels.

use std::path::PathBuf;

use xenpod_xen::kernel::KernelError;

/// Why a kernel was not taken in, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum KernelStoreError {
    /// It cannot be called that.
    #[error("kernel {name:?}: {why}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What was handed over is no file.
    #[error("kernel {name}: the descriptor of the {what} must be of a regular file or a memfd, not on FUSE")]
    NotAFile {
        /// The kernel.
        name: String,
        /// `kernel` or `configuration`.
        what: &'static str,
    },
    /// What was handed over is too large.
    #[error(
        "kernel {name}: the {what} has {size} bytes; at most {limit} are taken. Strip a kernel of what debuggers need"
    )]
    TooLarge {
        /// The kernel.
        name: String,
        /// `kernel` or `configuration`.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// It is no PVH kernel.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// Nothing says how it was built.
    #[error(
        "kernel {name} holds no configuration (CONFIG_IKCONFIG) and none was given, so whether pods can run on it is not known: give its \
         .config with it (--config, option config), or take it as it is (--unchecked, option unchecked)"
    )]
    NoProof {
        /// The kernel.
        name: String,
    },
    /// The configuration is none, or another kernel's.
    #[error("kernel {name}: the configuration that was given {why}")]
    BadConfig {
        /// The kernel.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// It lacks options.
    #[error("pods cannot run on kernel {name}, which was built without {missing}")]
    Lacks {
        /// The kernel.
        name: String,
        /// Which options, each with its reason.
        missing: String,
    },
    /// The name is taken.
    #[error("there is a kernel {name} already, with other bytes; remove it or choose another name")]
    Exists {
        /// The name.
        name: String,
    },
    /// The bytes are here under another name.
    #[error("these are the bytes of kernel {other}; it needs no second name")]
    SameBytes {
        /// What they are called.
        other: String,
    },
    /// No kernel of that name or digest.
    #[error("no kernel has the name or digest {name:?}; `xenpodctl kernel ls` lists them")]
    NotFound {
        /// What was asked for.
        name: String,
    },
    /// Pods pin it.
    #[error("kernel {name} is used by {}; remove them first", pods.join(", "))]
    InUse {
        /// The kernel.
        name: String,
        /// Names of the pods.
        pods: Vec<String>,
    },
    /// New pods get it.
    #[error("kernel {name} is the default; make another one the default first (`xenpodctl kernel default NAME`)")]
    IsDefault {
        /// The kernel.
        name: String,
    },
    /// It is the package's.
    #[error("kernel {name} is the package's own and stays as long as that is installed")]
    Packaged {
        /// The kernel.
        name: String,
    },
    /// There is nothing to start pods with.
    #[error(
        "{why}; install the package again, set `kernel` in the configuration, or make an imported kernel the default"
    )]
    NoDefault {
        /// Why the package's kernel cannot be used.
        why: String,
    },
    /// Too many.
    #[error("{0} kernels are here, and more are not taken; remove some")]
    TooMany(usize),
    /// The work was cancelled.
    #[error("the import of kernel {name} was cancelled")]
    Cancelled {
        /// The kernel.
        name: String,
    },
    /// The disk.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

/// An error of the disk.
pub(super) fn at<'a>(
    what: &'static str,
    path: &'a std::path::Path,
) -> impl FnOnce(std::io::Error) -> KernelStoreError + use<'a> {
    move |source| KernelStoreError::Io { what, path: path.into(), source }
}
