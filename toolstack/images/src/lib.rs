//! OCI images: pulled, verified and made into one read-only EROFS each.
//!
//! ```text
//! registry  --+                          +-- tree --> erofs --> store
//!             +--> manifest --> layers --+
//! archive   --+    config      (spools)
//! ```
//!
//! [`ImageStore`] is the way in: [`ImageStore::pull`] and [`ImageStore::import`] bring images in, [`ImageStore::get`]
//! finds them, [`ImageStore::remove`] lets them go. What an image is made of passes through here as bytes only:
//! nothing is mounted, and nothing is unpacked to a filesystem. All of it is hostile input: see [`Limits`] for the
//! bounds, [`ErrorKind`] for the refusals.
//!
//! Network I/O is asynchronous and must run on a tokio runtime with I/O and time; hashing, unpacking and building run
//! on its blocking threads. Features: `make` writes images, `testing` serves them.

// Module documentation is read by those who work on the module too.
#![allow(rustdoc::private_intra_doc_links)]

pub mod config;
pub mod digest;
pub mod erofs;
pub mod error;
pub mod layer;
pub mod limits;
#[cfg(feature = "make")]
pub mod make;
pub mod manifest;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod registry;
pub mod source;
pub mod store;
#[cfg(test)]
mod test_support;
#[cfg(feature = "testing")]
pub mod testing;
pub mod tree;

pub use config::ImageConfig;
pub use digest::Digest;
pub use error::{Error, ErrorKind};
pub use limits::Limits;
pub use platform::Platform;
pub use progress::{Progress, ProgressFn, no_progress};
pub use reference::Reference;
pub use registry::Access;
pub use source::{Source, SourceKind};
pub use store::{Image, ImageStore, PullOptions, Removed};
