//! `xenpodctl rm`

use std::collections::HashMap;
use std::process::ExitCode;

use xenpod_api::proxy::Options;
use zbus::Variant;

use super::print_names;
use crate::cli;
use crate::client::{Client, each};
use crate::failure::Failure;
use crate::progress;

pub async fn run(client: &Client, args: cli::Rm, json: bool) -> Result<ExitCode, Failure> {
    let done = each(&args.pods.pods, async |name| {
        let mut options: Options<'_> = HashMap::new();
        if args.force {
            options.insert("force", Variant::from(true));
        }
        let job = client.pod(name).await?.remove(options).await?;
        progress::wait(&client.bus, &job).await?;
        Ok(name.to_string())
    });
    Ok(print_names(&done.await?, json))
}
