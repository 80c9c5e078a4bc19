//! `lab shell`: a shell in a fresh machine. Without a terminal it reads its commands from the standard input.

use std::process::ExitCode;

use crate::cache::Cache;
use crate::channel::Through;
use crate::commands::Options;
use crate::error::{LabError, Result};
use crate::lab;
use crate::terminal::{Raw, pass_keys, pass_size, size};
use crate::wire::Start;

/// Boots a lab and opens a shell in its dom0
#[derive(Debug, clap::Args)]
pub struct Shell {
    #[command(flatten)]
    options: Options,
}

/// Runs it; the status is the shell's.
pub fn run(arguments: Shell) -> Result<ExitCode> {
    let config = arguments.options.config()?;
    let cache = Cache::open()?;
    let mut lab = lab::open(&cache, &config, arguments.options.no_package, &arguments.options.copies)?;
    let broken = || LabError::file("cannot use", "the terminal");
    let keyboard = || lab.machine.channel().keyboard().map_err(broken());
    let (keys, sizes) = (keyboard()?, keyboard()?);
    let raw = Raw::enter().map_err(broken())?;
    let term = std::env::var("TERM").unwrap_or_else(|_| "linux".into());
    let start = Start {
        argv: vec!["bash".into(), "--login".into()],
        env: vec![("TERM".into(), term)],
        tty: raw.is_some().then(size),
        stdin: true,
    };
    // The keys are queued behind the command, on the same port.
    let result = lab.machine.exec_with(start, &mut Through, None, || {
        pass_keys(keys);
        if raw.is_some() {
            pass_size(sizes);
        }
    });
    drop(raw);
    Ok(ExitCode::from(result? as u8))
}
