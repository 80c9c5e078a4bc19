//! `lab package`: the Debian package, for a real dom0.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::cache::Cache;
use crate::error::{LabError, Result};
use crate::host::{require_packages, say};
use crate::package;

/// Builds the Debian package
#[derive(Debug, clap::Args)]
pub struct Package {
    /// The folder to put it into
    #[arg(default_value = ".")]
    folder: PathBuf,
}

/// Copies it out of the cache, under the name that Debian would give it.
pub fn run(arguments: Package) -> Result<ExitCode> {
    require_packages()?;
    let cache = Cache::open()?;
    let built = package::package(&cache)?.path.join("xenpod.deb");
    let target = arguments.folder.join(format!("xenpod_{}_amd64.deb", env!("CARGO_PKG_VERSION")));
    fs::copy(&built, &target).map_err(LabError::file("cannot write", &target))?;
    say(&format!("{} is built", target.display()));
    Ok(ExitCode::SUCCESS)
}
