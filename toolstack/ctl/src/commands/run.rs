//! `xenpodctl run`: create, start, show the output, end as the container ends.

use std::collections::HashMap;
use std::process::ExitCode;

use serde_json::json;
use xenpod_api::proxy::{Options, PodProxy};
use zbus::Variant;

use super::{exit_code, manifest, no_json};
use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::progress;
use crate::streams::{Output, copy_out};

pub async fn run(client: &Client, args: cli::Run, json: bool) -> Result<ExitCode, Failure> {
    if !args.detach {
        no_json(json, "run without --detach")?;
    }
    let text = manifest::text(&args.shape)?;
    let (job, path) = client.manager.create_pod(&text, HashMap::new()).await?;
    progress::wait(&client.bus, &job).await?;
    let pod = client.pod_at(path).await?;
    let outcome = foreground(client, &pod, &args, json).await;
    if args.rm && (outcome.is_err() || !args.detach) {
        let job = pod.remove(HashMap::from([("force", Variant::from(true))])).await?;
        progress::wait(&client.bus, &job).await?;
    }
    outcome
}

async fn foreground(client: &Client, pod: &PodProxy<'_>, args: &cli::Run, json: bool) -> Result<ExitCode, Failure> {
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
        return Ok(ExitCode::SUCCESS);
    }
    let (state, code) = wait_or_stop(pod).await?;
    for copy in copies {
        // A reader of ours that went away is no failure of the pod.
        let _ = copy.join();
    }
    if state == "failed" {
        return Err(Failure::Daemon {
            name: xenpod_api::error::ErrorName::GuestFailed.as_str().into(),
            message: format!("pod {}: {}", pod.name().await?, pod.message().await?),
        });
    }
    Ok(exit_code(code))
}

/// Waits for the end. The first interrupt stops the pod in order, the second at once.
async fn wait_or_stop(pod: &PodProxy<'_>) -> Result<(String, i32), Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let io = |e| Failure::Io("signal handler".into(), e);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(io)?;
    let ended = pod.wait(HashMap::new());
    tokio::pin!(ended);
    let mut asked = 0;
    loop {
        tokio::select! {
            ended = &mut ended => return Ok(ended?),
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
