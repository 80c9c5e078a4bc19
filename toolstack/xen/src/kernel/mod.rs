//! The kernel and the boot image of a domain: checked once, then loaded into any number of domains.
//!
//! Neither is kept in memory: a build reads the file (from the page cache) straight into the domain's pages.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod elf;

pub use elf::{Segment, XEN_ELFNOTE_PHYS32_ENTRY};

#[cfg(test)]
pub(crate) use elf::tests::elf_for_tests;

/// The largest kernel or boot image that is accepted. A larger one is a mistake.
pub const MAX_IMAGE_SIZE: u64 = 256 << 20;

/// A kernel or boot image that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// The file cannot be read.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Not an uncompressed ELF file, or not of this machine.
    #[error("kernel {}: not an uncompressed x86-64 ELF image: {reason}", path.display())]
    NotElf {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        reason: String,
    },
    /// An ELF file that Xen cannot enter in PVH mode.
    #[error(
        "kernel {} has no PVH entry note (XEN_ELFNOTE_PHYS32_ENTRY); build it with CONFIG_PVH=y, and keep its notes when stripping",
        path.display()
    )]
    NoPvhEntry {
        /// The file.
        path: PathBuf,
    },
    /// Its program headers contradict themselves.
    #[error("kernel {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Empty, or larger than [`MAX_IMAGE_SIZE`].
    #[error("{}: {size} bytes; an image has 1 to {MAX_IMAGE_SIZE}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// The domain's memory does not hold it.
    #[error(
        "{needed_kib} KiB of memory are the least this kernel and boot image start in, the domain has {memory_kib} KiB"
    )]
    TooLarge {
        /// The least memory.
        needed_kib: u64,
        /// What the domain was given.
        memory_kib: u64,
    },
}

/// Where an image's bytes are.
#[derive(Clone, Debug)]
enum Bytes {
    File(Arc<File>),
    Memory(Arc<[u8]>),
}

/// A file that was opened once, or bytes in memory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BootImage {
    path: Arc<Path>,
    bytes: Bytes,
    size: u64,
}

impl BootImage {
    /// Opens a file. It is held open: replacing it (by rename) later does not change what is loaded.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KernelError> {
        let path = path.as_ref();
        let failed = |error: io::Error| KernelError::Io { path: path.into(), reason: error.to_string() };
        Self::from_file(path, File::open(path).map_err(failed)?)
    }

    /// Takes a file that is open already; `name` is for messages.
    pub fn from_file(name: impl AsRef<Path>, file: File) -> Result<Self, KernelError> {
        let path = name.as_ref();
        let failed = |error: io::Error| KernelError::Io { path: path.into(), reason: error.to_string() };
        let size = file.metadata().map_err(failed)?.len();
        Self::new(path, Bytes::File(Arc::new(file)), size)
    }

    /// Takes bytes that are in memory already; `name` is for messages.
    pub fn from_bytes(name: impl AsRef<Path>, bytes: impl Into<Arc<[u8]>>) -> Result<Self, KernelError> {
        let bytes = bytes.into();
        let size = bytes.len() as u64;
        Self::new(name.as_ref(), Bytes::Memory(bytes), size)
    }

    fn new(path: &Path, bytes: Bytes, size: u64) -> Result<Self, KernelError> {
        if size == 0 || size > MAX_IMAGE_SIZE {
            return Err(KernelError::Size { path: path.into(), size });
        }
        Ok(BootImage { path: path.into(), bytes, size })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The file's name, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads exactly `to.len()` bytes at `offset`.
    pub fn read_exact_at(&self, to: &mut [u8], offset: u64) -> Result<(), KernelError> {
        let result = match &self.bytes {
            Bytes::File(file) => file.read_exact_at(to, offset),
            Bytes::Memory(bytes) => usize::try_from(offset)
                .ok()
                .and_then(|start| bytes.get(start..start.checked_add(to.len())?))
                .map(|from| to.copy_from_slice(from))
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
        };
        result.map_err(|error| KernelError::Io { path: self.path.to_path_buf(), reason: error.to_string() })
    }
}

/// A kernel that has been checked: an ELF image with a PVH entry. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KernelImage {
    image: BootImage,
    layout: Arc<elf::Layout>,
}

impl KernelImage {
    /// Opens and checks a file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, KernelError> {
        Self::new(BootImage::open(path)?)
    }

    /// Checks an image.
    pub fn new(image: BootImage) -> Result<Self, KernelError> {
        let layout = Arc::new(elf::parse(&image)?);
        Ok(KernelImage { image, layout })
    }

    /// The file behind it.
    pub fn image(&self) -> &BootImage {
        &self.image
    }

    /// Physical address of the 32-bit entry point.
    pub fn entry(&self) -> u32 {
        self.layout.entry
    }

    /// What is loaded where, by rising address.
    pub fn segments(&self) -> &[Segment] {
        &self.layout.segments
    }

    /// First physical address it uses.
    pub fn start(&self) -> u64 {
        self.layout.segments.first().map_or(0, |segment| segment.address)
    }

    /// End of the physical addresses it uses, `.bss` included.
    pub fn end(&self) -> u64 {
        self.layout.segments.last().map_or(0, |segment| segment.address + segment.memory_size)
    }
}
