//! The xenpod command line: one verb a file under `commands`, all of them clients of `org.xenpod1`.
//!
//! Exit codes: 0 done; of `run` and `exec` the container's own; 125 xenpod failed; 126 the command could not be executed; 127 it does not
//! exist; 2 the command line is wrong.

mod cli;
mod client;
mod commands;
mod detach;
mod documents;
mod failure;
mod given;
mod json;
mod pages;
mod progress;
mod streams;
mod table;
mod time;
mod usage;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return failure::report(&failure::Failure::Io("the event loop".into(), e)),
    };
    let outcome = runtime.block_on(commands::dispatch(cli));
    // A thread may still be blocked in a read of standard input: it must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code,
        Err(failure) => failure::report(&failure),
    }
}
