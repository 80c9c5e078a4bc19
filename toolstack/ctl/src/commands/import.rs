//! `xenpodctl import`: the source is opened here, with the caller's rights, and handed to the daemon as a descriptor.

use std::collections::HashMap;
use std::os::fd::AsFd;
use std::process::ExitCode;

use super::images::print_image_of;
use crate::cli;
use crate::client::Client;
use crate::failure::Failure;

pub async fn run(client: &Client, args: cli::Import, json: bool) -> Result<ExitCode, Failure> {
    let (transport, path) = match args.source.split_once(':') {
        Some((t @ ("oci-archive" | "docker-archive" | "oci"), path)) if !path.is_empty() => (t, path),
        _ => {
            let text = format!(
                "{:?} is not an image source; write oci-archive:FILE, docker-archive:FILE or oci:DIR",
                args.source
            );
            return Err(Failure::Usage(text));
        }
    };
    let source = std::fs::File::open(path).map_err(|e| Failure::Io(path.into(), e))?;
    let is_dir = source.metadata().map_err(|e| Failure::Io(path.into(), e))?.is_dir();
    if is_dir != (transport == "oci") {
        let (is, wants) = if is_dir { ("a folder", "a file") } else { ("a file", "a folder") };
        return Err(Failure::Usage(format!("{path} is {is}; {transport} takes {wants}")));
    }
    let job = client.manager.import_image(transport, source.as_fd().into(), &args.name, HashMap::new()).await?;
    crate::progress::wait(&client.bus, &job).await?;
    print_image_of(client, &args.name, json).await
}
