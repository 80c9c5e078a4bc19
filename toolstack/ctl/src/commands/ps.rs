//! `xenpodctl ps`

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::table;

/// No domain: `Domid` of a pod that has none.
const NO_DOMID: u64 = u32::MAX as u64;

pub async fn run(client: &Client, args: cli::Ps, json: bool) -> Result<ExitCode, Failure> {
    let mut pods = Vec::new();
    for (_, _, state, path) in client.manager.list_pods(HashMap::new()).await? {
        if !args.all && matches!(state.as_str(), "stopped" | "failed") {
            continue;
        }
        match client.properties(&path, "org.xenpod1.Pod").await {
            Ok(properties) => pods.push(properties),
            // Removed between the two calls.
            Err(Failure::Daemon { name, .. }) if name == "org.freedesktop.DBus.Error.UnknownObject" => {}
            Err(other) => return Err(other),
        }
    }
    pods.sort_by_key(|p| p.get("created").and_then(Value::as_u64));
    let text = |p: &Map<String, Value>, key: &str| p.get(key).and_then(Value::as_str).unwrap_or_default().to_string();
    if args.quiet {
        let ids: Vec<String> = pods.iter().map(|p| text(p, "id")).collect();
        return Ok(super::print_names(&ids, json));
    }
    if json {
        crate::json::print(&Value::Array(pods.into_iter().map(Value::Object).collect()));
        return Ok(ExitCode::SUCCESS);
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let now = u64::try_from(now).unwrap_or(u64::MAX);
    let rows: Vec<Vec<String>> = pods
        .iter()
        .map(|p| {
            let number = |key: &str| p.get(key).and_then(Value::as_u64).unwrap_or_default();
            let addresses = p.get("addresses").and_then(Value::as_array).cloned().unwrap_or_default();
            let containers = p.get("containers").and_then(Value::as_array).map_or(0, Vec::len);
            vec![
                text(p, "name"),
                text(p, "id").chars().take(8).collect(),
                text(p, "state"),
                if number("domid") == NO_DOMID { "-".into() } else { number("domid").to_string() },
                containers.to_string(),
                format!("{} MiB", number("memory_kib") / 1024),
                number("vcpus").to_string(),
                addresses.first().and_then(Value::as_str).unwrap_or("-").to_string(),
                table::age(number("created"), now),
                [text(p, "reason"), text(p, "message")]
                    .into_iter()
                    .filter(|t| !t.is_empty())
                    .collect::<Vec<_>>()
                    .join(": "),
            ]
        })
        .collect();
    let heading = ["NAME", "ID", "STATE", "DOMID", "CONTAINERS", "MEMORY", "VCPUS", "ADDRESS", "AGE", "REASON"];
    print!("{}", table::render(&heading, &rows));
    Ok(ExitCode::SUCCESS)
}
