//! `xenpodctl start`, `pause` and `resume`

use std::collections::HashMap;
use std::process::ExitCode;

use super::print_names;
use crate::cli::Pods;
use crate::client::{Client, each};
use crate::failure::Failure;
use crate::progress;

pub async fn start(client: &Client, args: Pods, json: bool) -> Result<ExitCode, Failure> {
    let done = each(&args.pods, async |name| {
        let job = client.pod(name).await?.start(HashMap::new()).await?;
        progress::wait(&client.bus, &job).await?;
        Ok(name.to_string())
    });
    Ok(print_names(&done.await?, json))
}

pub async fn pause(client: &Client, args: Pods, json: bool) -> Result<ExitCode, Failure> {
    let done = each(&args.pods, async |name| {
        client.pod(name).await?.pause(HashMap::new()).await?;
        Ok(name.to_string())
    });
    Ok(print_names(&done.await?, json))
}

pub async fn resume(client: &Client, args: Pods, json: bool) -> Result<ExitCode, Failure> {
    let done = each(&args.pods, async |name| {
        client.pod(name).await?.resume(HashMap::new()).await?;
        Ok(name.to_string())
    });
    Ok(print_names(&done.await?, json))
}
