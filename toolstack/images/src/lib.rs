//! OCI images: pulled, verified and made into one read-only EROFS each.

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
