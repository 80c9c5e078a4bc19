//! `xenpodctl images`

use std::collections::HashMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::client::Client;
use crate::failure::Failure;
use crate::table;

pub async fn run(client: &Client, as_json: bool) -> Result<ExitCode, Failure> {
    let images = client.manager.list_images(HashMap::new()).await?;
    if as_json {
        let all = images.iter().map(|(digest, names, size, _)| json!({"digest": digest, "names": names, "size": size}));
        crate::json::print(&Value::Array(all.collect()));
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = Vec::new();
    for (digest, names, size, _) in images {
        let short: String = digest.chars().take("sha256:".len() + 12).collect();
        let names = if names.is_empty() { vec!["<none>".to_string()] } else { names };
        rows.extend(names.into_iter().map(|name| vec![name, short.clone(), table::size(size)]));
    }
    rows.sort();
    print!("{}", table::render(&["NAME", "DIGEST", "SIZE"], &rows));
    Ok(ExitCode::SUCCESS)
}

/// Prints the digest of an image that was just fetched, or all that is known of it as JSON.
pub async fn print_image_of(client: &Client, name: &str, as_json: bool) -> Result<ExitCode, Failure> {
    let path = client.manager.get_image(name).await?;
    if as_json {
        crate::json::print(&Value::Object(client.properties(&path, "org.xenpod1.Image").await?));
    } else {
        println!("{}", client.image_at(path).await?.id().await?);
    }
    Ok(ExitCode::SUCCESS)
}
