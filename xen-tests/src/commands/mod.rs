//! One command of the lab, one file.

pub mod bench;
pub mod demo;
pub mod package;
pub mod run;
pub mod shell;
pub mod test;

use crate::error::{LabError, Result};
use crate::machine::{Config, DOM0_MIB, Xenstored};

/// What `run` and `shell` have in common.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// A file or folder to copy into dom0; a DST that ends in / is a folder to put it into
    #[arg(long = "copy", value_name = "SRC:DST")]
    pub copies: Vec<crate::carrier::Copy>,
    /// Memory of the machine in MiB; dom0 has 1024 of it
    #[arg(long = "mem", value_name = "MiB", default_value_t = 3072)]
    pub mem_mib: u32,
    /// Count instructions: a clock that is the same in every run
    #[arg(long)]
    pub icount: bool,
    /// Which xenstored dom0 runs
    #[arg(long, value_enum, default_value_t = Xenstored::Oxenstored)]
    pub xenstored: Xenstored,
    /// The bare dom0, without our package
    #[arg(long, hide = true)]
    pub no_package: bool,
}

impl Options {
    /// The machine asked for.
    pub fn config(&self) -> Result<Config> {
        // Xen and its own heap take some 200 MiB.
        if !(DOM0_MIB + 256..=65536).contains(&self.mem_mib) {
            return Err(LabError::Usage(format!(
                "--mem {}: from {} to 65536 MiB make a lab",
                self.mem_mib,
                DOM0_MIB + 256
            )));
        }
        Ok(Config { mem_mib: self.mem_mib, icount: self.icount, xenstored: self.xenstored })
    }
}
