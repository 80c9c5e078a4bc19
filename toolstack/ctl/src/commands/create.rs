//! `xenpodctl create`

use std::collections::HashMap;
use std::process::ExitCode;

use serde_json::json;

use super::manifest;
use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::progress;

pub async fn run(client: &Client, args: cli::Create, json: bool) -> Result<ExitCode, Failure> {
    let text = manifest::text(&args.shape, false)?;
    let (job, path) = client.manager.create_pod(&text, HashMap::new()).await?;
    progress::wait(&client.bus, &job).await?;
    let pod = client.pod_at(path).await?;
    let (id, name) = (pod.id().await?, pod.name().await?);
    if json {
        crate::json::print(&json!({"id": id, "name": name}));
    } else {
        println!("{id}");
    }
    Ok(ExitCode::SUCCESS)
}
