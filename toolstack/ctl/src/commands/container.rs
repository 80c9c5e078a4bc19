//! `xenpodctl container` and `kill`

use std::collections::HashMap;
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use xenpod_api::proxy::Options;
use zbus::Variant;

use super::{manifest, print_names};
use crate::cli::{self, ContainerCommand, Containers};
use crate::client::{Client, each};
use crate::failure::Failure;
use crate::{progress, table};

pub async fn run(client: &Client, command: ContainerCommand, json: bool) -> Result<ExitCode, Failure> {
    match command {
        ContainerCommand::Create(args) => create(client, args, json).await,
        ContainerCommand::Start(of) => {
            let done = each(&of.containers, async |name| {
                let job = client.container(&of.pod, Some(name)).await?.start(HashMap::new()).await?;
                progress::wait(&client.bus, &job).await?;
                Ok(name.to_string())
            });
            Ok(print_names(&done.await?, json))
        }
        ContainerCommand::Stop(args) => stop(client, &args.of, args.time, json).await,
        ContainerCommand::Kill(args) => {
            let done = each(&args.of.containers, async |name| {
                let container = client.container(&args.of.pod, Some(name)).await?;
                container.kill(args.signal.signal, all(args.signal.all)).await?;
                Ok(name.to_string())
            });
            Ok(print_names(&done.await?, json))
        }
        ContainerCommand::Rm(args) => {
            let done = each(&args.of.containers, async |name| {
                let force: Options<'_> = HashMap::from([("force", Variant::from(args.force))]);
                let job = client.container(&args.of.pod, Some(name)).await?.remove(force).await?;
                progress::wait(&client.bus, &job).await?;
                Ok(name.to_string())
            });
            Ok(print_names(&done.await?, json))
        }
        ContainerCommand::Rename(args) => {
            let container = client.container(&args.pod, Some(&args.container)).await?;
            container.rename(&args.name, HashMap::new()).await?;
            Ok(print_names(&[args.name], json))
        }
        ContainerCommand::Update(args) => super::change::update(client, args, json).await,
        ContainerCommand::Ls(args) => list(client, &args.pod, json).await,
    }
}

/// `xenpodctl kill`
pub async fn kill(client: &Client, args: cli::Kill, json: bool) -> Result<ExitCode, Failure> {
    let container = client.container(&args.pod, args.container.as_deref()).await?;
    container.kill(args.signal.signal, all(args.signal.all)).await?;
    Ok(print_names(&[container.name().await?], json))
}

fn all(all: bool) -> Options<'static> {
    HashMap::from([("all", Variant::from(all))])
}

async fn create(client: &Client, args: cli::ContainerCreate, json: bool) -> Result<ExitCode, Failure> {
    let text = manifest::container(&args)?;
    let mut options: Options<'_> = HashMap::from([("start", Variant::from(args.start))]);
    if let Some(policy) = args.restart {
        options.insert("restart_policy", Variant::from(policy));
    }
    let (job, path) = client.pod(&args.pod).await?.create_container(&text, options).await?;
    progress::wait(&client.bus, &job).await?;
    let name = client.container_at(path).await?.name().await?;
    if json {
        crate::json::print(&json!({"pod": args.pod, "name": name}));
    } else {
        println!("{name}");
    }
    Ok(ExitCode::SUCCESS)
}

async fn stop(client: &Client, of: &Containers, seconds: Option<u32>, json: bool) -> Result<ExitCode, Failure> {
    let done = each(&of.containers, async |name| {
        let mut options: Options<'_> = HashMap::new();
        if let Some(seconds) = seconds {
            options.insert("grace_seconds", Variant::from(seconds));
        }
        let job = client.container(&of.pod, Some(name)).await?.stop(options).await?;
        progress::wait(&client.bus, &job).await?;
        Ok(name.to_string())
    });
    Ok(print_names(&done.await?, json))
}

async fn list(client: &Client, pod: &str, json: bool) -> Result<ExitCode, Failure> {
    let mut all = Vec::new();
    for path in client.pod(pod).await?.containers().await? {
        all.push(client.properties(&path, "org.xenpod1.Container").await?);
    }
    if json {
        crate::json::print(&Value::Array(all.into_iter().map(Value::Object).collect()));
        return Ok(ExitCode::SUCCESS);
    }
    let text = |c: &Map<String, Value>, key: &str| c.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    let number = |c: &Map<String, Value>, key: &str| c.get(key).and_then(Value::as_i64).unwrap_or_default();
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|c| {
            let ended = number(c, "finished") > 0;
            vec![
                text(c, "name"),
                text(c, "role"),
                text(c, "state"),
                number(c, "restart_count").to_string(),
                if ended { number(c, "exit_code").to_string() } else { "-".into() },
                text(c, "image"),
                [text(c, "reason"), text(c, "message")]
                    .into_iter()
                    .filter(|t| !t.is_empty())
                    .collect::<Vec<_>>()
                    .join(": "),
            ]
        })
        .collect();
    print!("{}", table::render(&["NAME", "ROLE", "STATE", "RESTARTS", "EXIT", "IMAGE", "REASON"], &rows));
    Ok(ExitCode::SUCCESS)
}
