//! `xenpodctl logs`

use std::collections::HashMap;
use std::process::ExitCode;

use zbus::Variant;

use super::no_json;
use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::streams::{Output, copy_out};

pub async fn run(client: &Client, args: cli::Logs, json: bool) -> Result<ExitCode, Failure> {
    no_json(json, "logs")?;
    let container = client.container(&args.pod, args.container.as_deref()).await?;
    let flags = [("follow", args.follow), ("timestamps", args.timestamps), ("previous", args.previous)];
    let mut options: HashMap<_, _> = flags.map(|(key, on)| (key, Variant::from(on))).into();
    options.extend(args.tail.map(|lines| ("tail", Variant::from(lines))));
    options.extend(args.since.map(|usec| ("since", Variant::from(usec))));
    let (out, err) = container.logs(options).await?;
    let copies = [copy_out(out.into(), Output::Stdout, None), copy_out(err.into(), Output::Stderr, None)];
    let joined = tokio::task::spawn_blocking(move || copies.map(|c| c.join()));
    for outcome in joined.await.into_iter().flatten().flatten() {
        match outcome {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => return Err(Failure::Io("output".into(), e)),
            _ => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}
