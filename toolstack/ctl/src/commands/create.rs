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
    let (text, given) = manifest::text(&args.shape, false)?;
    let mut options = HashMap::new();
    given.to_options(&mut options)?;
    let (job, path) = client.manager.create_pod(&text, options).await?;
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
