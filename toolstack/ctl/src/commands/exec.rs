//! `xenpodctl exec`

use std::collections::HashMap;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use xenpod_api::proxy::{ExecProxy, Options};
use zbus::Variant;
use zbus::proxy::CacheProperties;

use super::{exit_code, no_json};
use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::streams::{self, Output, RawTerminal, copy_in_if, copy_out};

pub async fn run(client: &Client, args: cli::Exec, json: bool) -> Result<ExitCode, Failure> {
    no_json(json, "exec")?;
    let container = client.container(&args.pod, args.container.as_deref()).await?;
    let mut options: Options<'_> = HashMap::new();
    options.insert("stdin", Variant::from(args.interactive));
    options.insert("tty", Variant::from(args.tty));
    if !args.env.is_empty() {
        options.insert("env", Variant::from(args.env.clone()));
    }
    if let Some(user) = &args.user {
        options.insert("user", Variant::from(user.clone()));
    }
    if let Some(dir) = &args.workdir {
        options.insert("cwd", Variant::from(dir.clone()));
    }
    if let Some((rows, columns)) = streams::window().filter(|_| args.tty) {
        options.insert("rows", Variant::from(rows));
        options.insert("cols", Variant::from(columns));
    }
    let command: Vec<&str> = args.command.iter().map(String::as_str).collect();
    let (path, stdin, stdout, stderr) = container.exec(&command, options).await?;
    let exec = ExecProxy::builder(&client.bus).path(path).cache_properties(CacheProperties::No).build().await?;
    let raw = if args.tty && args.interactive { RawTerminal::enter() } else { None };
    let copies = [copy_out(stdout.into(), Output::Stdout, None), copy_out(stderr.into(), Output::Stderr, None)];
    // Ends with standard input or with the process; nobody waits for it.
    let mut left = copy_in_if(args.interactive, stdin.into(), args.tty.then_some(&args.keys.detach_keys));
    let mut resized = signal(SignalKind::window_change()).map_err(|e| Failure::Io("signal handler".into(), e))?;
    let ended = exec.wait(HashMap::new());
    tokio::pin!(ended);
    let (code, _) = loop {
        tokio::select! {
            ended = &mut ended => break ended?,
            Some(stdin) = left.recv() => {
                // Before its pipes are closed.
                exec.detach(HashMap::new()).await?;
                drop((stdin, raw));
                eprintln!("detached");
                return Ok(ExitCode::SUCCESS);
            }
            _ = resized.recv(), if args.tty => {
                if let Some((rows, columns)) = streams::window() {
                    // The command may just have ended.
                    let _ = exec.resize(rows, columns, HashMap::new()).await;
                }
            }
        }
    };
    for copy in copies {
        // A reader of ours that went away is no failure of the command.
        let _ = copy.join();
    }
    drop(raw);
    Ok(exit_code(code))
}
