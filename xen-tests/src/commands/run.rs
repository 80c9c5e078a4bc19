//! `lab run`: one command in a fresh machine.

use std::process::ExitCode;

use crate::cache::Cache;
use crate::channel::Through;
use crate::commands::Options;
use crate::error::Result;
use crate::lab;
use crate::wire::Start;

/// Boots a lab and runs a command in its dom0 as root
#[derive(Debug, clap::Args)]
pub struct Run {
    #[command(flatten)]
    options: Options,
    /// Give the command up after so many seconds, with status 124
    #[arg(long, value_name = "S", default_value_t = 600)]
    timeout: u64,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    argv: Vec<String>,
}

/// Runs it; its status is the lab's.
pub fn run(arguments: Run) -> Result<ExitCode> {
    let config = arguments.options.config()?;
    let limit = lab::limit(arguments.timeout)?;
    let cache = Cache::open()?;
    let mut lab = lab::open(&cache, &config, arguments.options.no_package, &arguments.options.copies)?;
    let start = Start { argv: arguments.argv, env: Vec::new(), tty: None, stdin: false };
    let status = lab.exec(&cache, start, &mut Through, Some(limit))?;
    Ok(ExitCode::from(status as u8))
}
