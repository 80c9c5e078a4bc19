//! `xenpodctl pull`

use std::collections::HashMap;
use std::process::ExitCode;

use xenpod_api::proxy::Options;
use zbus::Variant;

use super::images::print_image_of;
use crate::cli;
use crate::client::Client;
use crate::failure::Failure;

pub async fn run(client: &Client, args: cli::Pull, json: bool) -> Result<ExitCode, Failure> {
    let mut options: Options<'_> = HashMap::new();
    if args.insecure {
        options.insert("insecure", Variant::from(true));
    }
    let job = client.manager.pull_image(&args.reference, options).await?;
    crate::progress::wait(&client.bus, &job).await?;
    print_image_of(client, &args.reference, json).await
}
