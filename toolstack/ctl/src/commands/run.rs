//! `xenpodctl run`: create, start, show the output, end as the container ends.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::SignalKind;
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

/// How long the containers have to end after an interrupt that was passed on to them; then the pod is stopped.
const INTERRUPTED: Duration = Duration::from_secs(10);

pub async fn run(client: &Client, args: cli::Run, json: bool) -> Result<ExitCode, Failure> {
    if !args.detach {
        no_json(json, "run without --detach")?;
    }
    // From here on no signal ends us and leaves a pod behind that nobody asked to keep.
    let signals = signals()?;
    let (text, given) = manifest::text(&args.shape, !args.detach)?;
    let mut options = HashMap::new();
    given.to_options(&mut options)?;
    let (job, path) = client.manager.create_pod(&text, options).await?;
    progress::wait(&client.bus, &job).await?;
    let pod = client.pod_at(path).await?;
    let outcome = foreground(client, &pod, &args, json, signals).await;
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
    signals: mpsc::Receiver<SignalKind>,
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
    let Some((state, code)) = wait_or_stop(client, pod, input, signals).await? else { return Ok(None) };
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

/// What comes for this process.
fn signals() -> Result<mpsc::Receiver<SignalKind>, Failure> {
    let (to, signals) = mpsc::channel(8);
    for kind in [
        SignalKind::interrupt(),
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::quit(),
        SignalKind::user_defined1(),
        SignalKind::user_defined2(),
        SignalKind::window_change(),
    ] {
        let mut came = tokio::signal::unix::signal(kind).map_err(|e| Failure::Io("signal handler".into(), e))?;
        let to = to.clone();
        tokio::spawn(async move {
            while came.recv().await.is_some() {
                if to.send(kind).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(signals)
}

/// Waits for the end; `None` when the caller has left. Signals are passed on to the containers, but for SIGTERM, which stops the pod
/// in order, as an interrupt does that nobody heeds. The second one of these two stops the pod at once.
async fn wait_or_stop(
    client: &Client,
    pod: &PodProxy<'_>,
    mut input: Option<Input>,
    mut signals: mpsc::Receiver<SignalKind>,
) -> Result<Option<(String, i32)>, Failure> {
    let ended = pod.wait(HashMap::new());
    tokio::pin!(ended);
    let (mut asked, mut patience) = (0, None);
    loop {
        let heeded = async {
            match patience {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = &mut ended => return Ok(Some(ended?)),
            true = typed(&mut input) => return Ok(None),
            () = heeded => patience = None,
            Some(signal) = signals.recv() => match signal {
                signal if signal == SignalKind::window_change() => {
                    if let Some(Input { container, tty: true, .. }) = &input {
                        attach::resize(container).await;
                    }
                    continue;
                }
                signal => {
                    let ends = [SignalKind::interrupt(), SignalKind::terminate()].contains(&signal);
                    asked += u32::from(ends);
                    if !ends || asked == 1 && signal == SignalKind::interrupt() {
                        pass_on(client, pod, signal).await?;
                        if ends {
                            patience = Some(tokio::time::Instant::now() + INTERRUPTED);
                        }
                        continue;
                    }
                    patience = None;
                }
            }
        }
        let mut options: Options<'_> = HashMap::new();
        if asked > 1 {
            options.insert("grace_seconds", Variant::from(0u32));
        }
        pod.stop(options).await?;
    }
}

/// Sends a signal to the first process of each container.
async fn pass_on(client: &Client, pod: &PodProxy<'_>, signal: SignalKind) -> Result<(), Failure> {
    for path in pod.containers().await? {
        // What does not run any more, or not yet, needs none.
        let _ = client.container_at(path).await?.kill(signal.as_raw_value() as u32, HashMap::new()).await;
    }
    Ok(())
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
