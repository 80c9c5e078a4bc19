//! `xenpodctl rmi`

use std::collections::HashMap;
use std::process::ExitCode;

use zbus::Variant;

use super::print_names;
use crate::cli;
use crate::client::{Client, each};
use crate::failure::Failure;

pub async fn run(client: &Client, args: cli::Rmi, json: bool) -> Result<ExitCode, Failure> {
    let done = each(&args.images, async |name| {
        let image = client.image_at(client.manager.get_image(name).await?).await?;
        // By digest the whole image is meant, by name the name.
        let by_name = !name.starts_with("sha256:");
        let options = if by_name { HashMap::from([("name", Variant::from(name))]) } else { HashMap::new() };
        image.remove(options).await?;
        Ok(name.to_string())
    });
    Ok(print_names(&done.await?, json))
}
