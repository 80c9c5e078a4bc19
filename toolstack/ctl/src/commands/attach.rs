//! `xenpodctl attach`

use std::collections::HashMap;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use xenpod_api::proxy::ContainerProxy;
use zbus::Variant;

use super::{exit_code, no_json};
use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::streams::{self, Output, RawTerminal, copy_in_if, copy_out};

pub async fn run(client: &Client, args: cli::Attach, json: bool) -> Result<ExitCode, Failure> {
    no_json(json, "attach")?;
    let container = client.container(&args.pod, args.container.as_deref()).await?;
    let stdin = !args.no_stdin && container.stdin().await?;
    let tty = container.tty().await?;
    let run = container.restart_count().await?;
    let options = HashMap::from([("stdin", Variant::from(stdin)), ("logs", Variant::from(args.logs))]);
    let (input, out, err) = container.attach(options).await?;
    let raw = if tty && stdin { RawTerminal::enter() } else { None };
    let copies = [copy_out(out.into(), Output::Stdout, None), copy_out(err.into(), Output::Stderr, None)];
    let mut left = copy_in_if(stdin, input.into(), tty.then_some(&args.keys.detach_keys));
    let ended = tokio::task::spawn_blocking(move || copies.map(|copy| drop(copy.join())));
    tokio::pin!(ended);
    let mut resized = signal(SignalKind::window_change()).map_err(|e| Failure::Io("signal handler".into(), e))?;
    if tty {
        resize(&container).await;
    }
    loop {
        tokio::select! {
            _ = &mut ended => break,
            Some(_) = left.recv() => {
                drop(raw);
                eprintln!("detached");
                return Ok(ExitCode::SUCCESS);
            }
            _ = resized.recv(), if tty => resize(&container).await,
        }
    }
    drop(raw);
    if container.state().await? == "running" && container.restart_count().await? == run {
        let text = format!("the streams of pod {} ended and its container goes on: the daemon was restarted", args.pod);
        return Err(Failure::Io(text, std::io::ErrorKind::ConnectionReset.into()));
    }
    Ok(exit_code(container.exit_code().await?))
}

/// Tells the container's terminal the size of ours, if we have one.
pub(super) async fn resize(container: &ContainerProxy<'_>) {
    if let Some((rows, columns)) = streams::window() {
        // It may just have ended.
        let _ = container.resize(rows, columns, HashMap::new()).await;
    }
}
