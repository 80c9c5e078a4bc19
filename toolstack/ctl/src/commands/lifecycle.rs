//! `xenpodctl start`, `pause` and `resume`

use std::collections::HashMap;
use std::process::ExitCode;

use super::print_names;
use crate::cli::{Pods, Start};
use crate::client::{Client, each};
use crate::failure::Failure;
use crate::given::Given;
use crate::progress;

pub async fn start(client: &Client, args: Start, json: bool) -> Result<ExitCode, Failure> {
    let mut given = Given::default();
    given.add(&args.given)?;
    let done = each(&args.pods.pods, async |name| {
        let mut options = HashMap::new();
        given.to_options(&mut options)?;
        let job = client.pod(name).await?.start(options).await?;
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
