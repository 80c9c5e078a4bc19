//! The lab: real Xen in QEMU, with the tests, benchmarks and the demo that run on it.
//!
//! commands: what a person asks for. lab: the saved machines. machine: QEMU; channel, wire: its agent in dom0.
//! suite, checks: the tests, on Xen and off it. dom0: the disk; package: our .deb; cache: everything that was made before.

mod cache;
mod carrier;
mod channel;
mod checks;
mod commands;
mod dom0;
mod error;
mod host;
mod lab;
mod machine;
mod package;
mod qmp;
#[cfg(test)]
mod readme_tests;
mod serial;
mod suite;
mod tally;
mod terminal;
mod wire;

use std::process::ExitCode;

use clap::Parser;

/// Real Xen in QEMU: tests, benchmarks and the demo of xenpod
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
enum Command {
    Demo(commands::demo::Demo),
    Test(commands::test::Test),
    Run(commands::run::Run),
    Shell(commands::shell::Shell),
    Bench(commands::bench::Bench),
    Package(commands::package::Package),
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Demo(arguments) => commands::demo::run(arguments),
        Command::Test(arguments) => commands::test::run(arguments),
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Bench(arguments) => commands::bench::run(arguments),
        Command::Package(arguments) => commands::package::run(arguments),
        Command::Shell(arguments) => commands::shell::run(arguments),
    };
    result.unwrap_or_else(|error| {
        host::say(&error.to_string());
        ExitCode::from(error.exit_status())
    })
}
