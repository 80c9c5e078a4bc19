//! The Debian package of the workspace, as `cargo deb` makes it.

use std::fs;

use crate::cache::{Cache, Entry};
use crate::error::{LabError, Result};
use crate::host::checkout;

/// The package, in the entry's `xenpod.deb`.
pub fn package(_cache: &Cache) -> Result<Entry> {
    let manifest = checkout().join("toolstack/daemon/Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(LabError::file("cannot read", &manifest))?;
    if !text.contains("[package.metadata.deb]") {
        return Err(LabError::NoPackage(format!("{} describes none", manifest.display())));
    }
    Err(LabError::NoPackage("the lab does not build it yet".into()))
}
