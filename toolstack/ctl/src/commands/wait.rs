//! `xenpodctl wait`

use std::collections::HashMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::cli::Pods;
use crate::client::{Client, each};
use crate::failure::Failure;

pub async fn run(client: &Client, args: Pods, as_json: bool) -> Result<ExitCode, Failure> {
    let done = each(&args.pods, async |name| {
        let (state, code) = client.pod(name).await?.wait(HashMap::new()).await?;
        if !as_json {
            println!("{code}");
        }
        Ok(json!({"pod": name, "state": state, "exit_code": code}))
    });
    let done = done.await?;
    if as_json {
        crate::json::print(&Value::Array(done));
    }
    Ok(ExitCode::SUCCESS)
}
