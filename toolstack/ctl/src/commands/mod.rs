//! The verbs, one a file, and the choice between them.

mod attach;
mod change;
mod container;
mod create;
mod doctor;
mod events;
mod exec;
mod explain;
mod images;
mod import;
mod inspect;
mod kernel;
mod lifecycle;
mod logs;
mod manifest;
mod port_forward;
mod ps;
mod pull;
mod rm;
mod rmi;
mod run;
mod stats;
mod stop;
mod top;
mod version;
mod wait;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::cli::{Cli, Command};
use crate::client::Client;
use crate::failure::Failure;

pub use port_forward::ports;

/// Does what the command line says.
pub async fn dispatch(cli: Cli) -> Result<ExitCode, Failure> {
    let json = cli.json;
    let client = match cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "xenpodctl", &mut std::io::stdout());
            return Ok(ExitCode::SUCCESS);
        }
        Command::Manpages { sources, dir } => {
            crate::pages::write(&sources, &dir)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Explain(args) => return explain::run(&args, json),
        // These two have something to say without a daemon.
        Command::Doctor => return doctor::run(json).await,
        Command::Version => return version::run(json).await,
        _ => Client::connect().await?,
    };
    match cli.command {
        Command::Run(args) => run::run(&client, args, json).await,
        Command::Create(args) => create::run(&client, args, json).await,
        Command::Start(args) => lifecycle::start(&client, args, json).await,
        Command::Stop(args) => stop::run(&client, args, json).await,
        Command::Rm(args) => rm::run(&client, args, json).await,
        Command::Pause(args) => lifecycle::pause(&client, args, json).await,
        Command::Resume(args) => lifecycle::resume(&client, args, json).await,
        Command::Resize(args) => change::resize(&client, args, json).await,
        Command::Rename(args) => change::rename(&client, args, json).await,
        Command::Label(args) => change::describe(&client, args, false, json).await,
        Command::Annotate(args) => change::describe(&client, args, true, json).await,
        Command::Wait(args) => wait::run(&client, args, json).await,
        Command::Events(args) => events::run(&client, args, json).await,
        Command::Ps(args) => ps::run(&client, args, json).await,
        Command::Stats(args) => stats::run(&client, args, json).await,
        Command::Top(args) => top::run(&client, args, json).await,
        Command::Inspect(args) => inspect::run(&client, args).await,
        Command::Logs(args) => logs::run(&client, args, json).await,
        Command::Exec(args) => exec::run(&client, args, json).await,
        Command::Kill(args) => container::kill(&client, args, json).await,
        Command::Container(command) => container::run(&client, command, json).await,
        Command::Attach(args) => attach::run(&client, args, json).await,
        Command::PortForward(args) => port_forward::run(&client, args, json).await,
        Command::Pull(args) => pull::run(&client, args, json).await,
        Command::Import(args) => import::run(&client, args, json).await,
        Command::Images => images::run(&client, json).await,
        Command::Kernel(command) => kernel::run(&client, command, json).await,
        Command::Rmi(args) => rmi::run(&client, args, json).await,
        Command::Completions { .. }
        | Command::Manpages { .. }
        | Command::Explain(_)
        | Command::Doctor
        | Command::Version => Ok(ExitCode::SUCCESS),
    }
}

/// Prints the names of what was done: one a line, or as a JSON list.
fn print_names(names: &[String], json: bool) -> ExitCode {
    if json {
        crate::json::print(&names.into());
    } else {
        names.iter().for_each(|n| println!("{n}"));
    }
    ExitCode::SUCCESS
}

/// An exit code of a container as one of a process: what does not fit is 255.
fn exit_code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(255))
}

/// Refuses `--json` where the output is the container's own.
fn no_json(json: bool, verb: &str) -> Result<(), Failure> {
    if json {
        Err(Failure::Usage(format!("--json has no meaning for {verb}: the output is the container's own")))
    } else {
        Ok(())
    }
}
