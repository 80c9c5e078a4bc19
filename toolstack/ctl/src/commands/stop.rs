//! `xenpodctl stop`

use std::collections::HashMap;
use std::process::ExitCode;

use xenpod_api::proxy::Options;
use zbus::Variant;

use super::print_names;
use crate::cli;
use crate::client::{Client, each};
use crate::failure::Failure;
use crate::progress;

pub async fn run(client: &Client, args: cli::Stop, json: bool) -> Result<ExitCode, Failure> {
    let done = each(&args.pods.pods, async |name| {
        let mut options: Options<'_> = HashMap::new();
        if let Some(seconds) = args.time {
            options.insert("grace_seconds", Variant::from(seconds));
        }
        let job = client.pod(name).await?.stop(options).await?;
        progress::wait(&client.bus, &job).await?;
        Ok(name.to_string())
    });
    Ok(print_names(&done.await?, json))
}
