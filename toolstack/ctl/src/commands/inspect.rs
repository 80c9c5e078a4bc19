//! `xenpodctl inspect`: JSON in any case, since no table holds it.

use std::process::ExitCode;

use serde_json::Value;
use xenpod_api::error::ErrorName;

use crate::cli;
use crate::client::{Client, each};
use crate::failure::Failure;

pub async fn run(client: &Client, args: cli::Inspect) -> Result<ExitCode, Failure> {
    let found = each(&args.objects, async |name| one(client, name).await).await?;
    crate::json::print(&Value::Array(found));
    Ok(ExitCode::SUCCESS)
}

/// A pod of that name, else an image.
async fn one(client: &Client, name: &str) -> Result<Value, Failure> {
    match client.manager.get_pod(name).await.map_err(Failure::from) {
        Ok(path) => {
            let mut pod = client.properties(&path, "org.xenpod1.Pod").await?;
            let mut containers = Vec::new();
            for path in client.pod_at(path).await?.containers().await? {
                containers.push(Value::Object(client.properties(&path, "org.xenpod1.Container").await?));
            }
            pod.insert("containers".into(), Value::Array(containers));
            Ok(Value::Object(pod))
        }
        Err(Failure::Daemon { name: error, .. }) if error == ErrorName::NoSuchPod.as_str() => {
            let path = client.manager.get_image(name).await.map_err(|e| match Failure::from(e) {
                Failure::Daemon { name: error, .. } if error == ErrorName::NoSuchImage.as_str() => {
                    Failure::Daemon { name: error, message: format!("there is no pod and no image {name:?}") }
                }
                other => other,
            })?;
            Ok(Value::Object(client.properties(&path, "org.xenpod1.Image").await?))
        }
        Err(other) => Err(other),
    }
}
