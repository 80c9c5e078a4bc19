//! `xenpodctl run`: create, start, show the output, end as the container ends.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use serde_json::json;
use tokio::sync::mpsc;
use xenpod_api::error::ErrorName;
use xenpod_api::proxy::{ContainerProxy, Options, PodProxy};
use zbus::Variant;

use super::{attach, exit_code, manifest, no_json};
use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::progress;
use crate::streams::{Output, RawTerminal, copy_in, copy_out};

pub async fn run(client: &Client, args: cli::Run, json: bool) -> Result<ExitCode, Failure> {
    if !args.detach {
        no_json(json, "run without --detach")?;
    }
    let (text, given) = manifest::text(&args.shape, !args.detach)?;
    let mut options = HashMap::new();
    given.to_options(&mut options)?;
    let (job, path) = client.manager.create_pod(&text, options).await?;
    progress::wait(&client.bus, &job).await?;
    let pod = client.pod_at(path).await?;
    let outcome = foreground(client, &pod, &args, json).await;
    let left = matches!(outcome, Ok(None));
    if args.rm && (outcome.is_err() || !(args.detach || left)) {
        let job = pod.remove(HashMap::from([("force", Variant::from(true))])).await?;
        progress::wait(&client.bus, &job).await?;
    }
    if left {
        let stays = if args.rm { "; it is not removed when it ends" } else { "" };
        eprintln!("detached from pod {}{stays}", pod.name().await?);
    }
    Ok(outcome?.unwrap_or(ExitCode::SUCCESS))
}

/// `None`: the caller has left, and it goes on.
async fn foreground(
    client: &Client,
    pod: &PodProxy<'_>,
    args: &cli::Run,
    json: bool,
) -> Result<Option<ExitCode>, Failure> {
    let mut copies = Vec::new();
    if !args.detach {
        // Before the start, so that nothing is missed; the log is read from its beginning in any case.
        let containers = pod.containers().await?;
        let many = containers.len() > 1;
        for path in containers {
            let container = client.container_at(path).await?;
            let prefix = if many { Some(format!("[{}] ", container.name().await?)) } else { None };
            let (out, err) = container.logs(HashMap::from([("follow", Variant::from(true))])).await?;
            copies.push(copy_out(out.into(), Output::Stdout, prefix.clone()));
            copies.push(copy_out(err.into(), Output::Stderr, prefix));
        }
    }
    let job = pod.start(HashMap::new()).await?;
    progress::wait(&client.bus, &job).await?;
    if args.detach {
        let (id, name) = (pod.id().await?, pod.name().await?);
        if json {
            crate::json::print(&json!({"id": id, "name": name}));
        } else {
            println!("{id}");
        }
        return Ok(Some(ExitCode::SUCCESS));
    }
    let input = input(client, pod, args).await?;
    let Some((state, code)) = wait_or_stop(pod, input).await? else { return Ok(None) };
    for copy in copies {
        // A reader of ours that went away is no failure of the pod.
        let _ = copy.join();
    }
    if state == "failed" {
        return Err(Failure::Daemon {
            name: ErrorName::GuestFailed.as_str().into(),
            message: format!("pod {}: {}", pod.name().await?, pod.message().await?),
        });
    }
    Ok(Some(exit_code(code)))
}

/// The container's input and its terminal.
struct Input {
    container: ContainerProxy<'static>,
    left: mpsc::Receiver<OwnedFd>,
    raw: Option<RawTerminal>,
    tty: bool,
}

/// Connects the caller to the container's standard input, if it has one.
async fn input(client: &Client, pod: &PodProxy<'_>, args: &cli::Run) -> Result<Option<Input>, Failure> {
    let (interactive, tty) = (args.shape.interactive, args.shape.tty);
    let Some(path) = pod.containers().await?.into_iter().next().filter(|_| interactive || tty) else { return Ok(None) };
    let container = client.container_at(path).await?;
    if tty {
        attach::resize(&container).await;
    }
    let mut left = mpsc::channel(1).1;
    if interactive {
        // Its output is read from its log already.
        match container.attach(HashMap::from([("stdin", Variant::from(true))])).await.map_err(Failure::from) {
            Ok((stdin, ..)) => left = copy_in(stdin.into(), tty.then_some(&args.keys.detach_keys)),
            // It has ended without asking for anything.
            Err(Failure::Daemon { name, .. }) if name == ErrorName::BadState.as_str() => return Ok(None),
            Err(failure) => return Err(failure),
        }
    }
    let raw = if tty && interactive { RawTerminal::enter() } else { None };
    Ok(Some(Input { container, left, raw, tty }))
}

/// Waits for the end; `None` when the caller has left. The first interrupt stops the pod in order, the second at once.
async fn wait_or_stop(pod: &PodProxy<'_>, mut input: Option<Input>) -> Result<Option<(String, i32)>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let io = |e| Failure::Io("signal handler".into(), e);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(io)?;
    let mut resized = signal(SignalKind::window_change()).map_err(io)?;
    let ended = pod.wait(HashMap::new());
    tokio::pin!(ended);
    let mut asked = 0;
    loop {
        tokio::select! {
            ended = &mut ended => return Ok(Some(ended?)),
            true = typed(&mut input) => return Ok(None),
            _ = resized.recv() => {
                if let Some(Input { container, tty: true, .. }) = &input {
                    attach::resize(container).await;
                }
                continue;
            }
            _ = interrupt.recv() => asked += 1,
            _ = terminate.recv() => asked += 1,
        }
        let mut options: Options<'_> = HashMap::new();
        if asked > 1 {
            options.insert("grace_seconds", Variant::from(0u32));
        }
        pod.stop(options).await?;
    }
}

/// True when the detach keys were typed: the terminal is the caller's again.
async fn typed(input: &mut Option<Input>) -> bool {
    let typed = match input {
        Some(input) => input.left.recv().await.is_some(),
        None => false,
    };
    if typed && let Some(input) = input {
        input.raw = None;
    }
    typed
}
