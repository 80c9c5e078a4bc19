//! `xenpodctl resize`, `rename`, `label`, `annotate` and `container update`

use std::collections::HashMap;
use std::process::ExitCode;

use serde_json::json;
use xenpod_api::proxy::{JobProxy, Options};
use zbus::Variant;
use zbus::proxy::CacheProperties;

use super::print_names;
use crate::cli::{ContainerUpdate, Describe, Rename, Resize};
use crate::client::Client;
use crate::failure::Failure;
use crate::progress;

pub async fn resize(client: &Client, args: Resize, json: bool) -> Result<ExitCode, Failure> {
    let mut options: Options<'_> = HashMap::from([("wait", Variant::from(args.wait))]);
    if let Some(mib) = args.memory {
        options.insert("memory_mib", Variant::from(mib));
    }
    if let Some(cpus) = args.cpus {
        options.insert("vcpus", Variant::from(cpus));
    }
    let job = client.pod(&args.pod).await?.resize(options).await?;
    let ended = progress::wait(&client.bus, &job).await;
    let job = JobProxy::builder(&client.bus).path(&job).cache_properties(CacheProperties::No).build().await?;
    // Of what was refused at once there is nothing to say.
    let reached = job.reached().await.unwrap_or_default();
    if let (Some(kib), Some(vcpus)) = (reached.get("memory_kib"), reached.get("vcpus")) {
        if json {
            crate::json::print(&json!({"pod": args.pod, "memory_kib": kib, "vcpus": vcpus}));
        } else {
            println!("{}: {} MiB, {vcpus} vCPU{}", args.pod, kib / 1024, if *vcpus == 1 { "" } else { "s" });
        }
    }
    ended.map(|()| ExitCode::SUCCESS)
}

pub async fn rename(client: &Client, args: Rename, json: bool) -> Result<ExitCode, Failure> {
    client.pod(&args.pod).await?.rename(&args.name, HashMap::new()).await?;
    Ok(print_names(&[args.name], json))
}

/// True: annotations.
pub async fn describe(client: &Client, args: Describe, annotations: bool, json: bool) -> Result<ExitCode, Failure> {
    let (set, remove) = changes(&args.changes)?;
    let pod = client.pod(&args.pod).await?;
    if annotations {
        pod.set_annotations(set, &remove, HashMap::new()).await?;
    } else {
        pod.set_labels(set, &remove, HashMap::new()).await?;
    }
    Ok(print_names(&[args.pod], json))
}

/// `k=v` sets, `k-` removes.
fn changes(words: &[String]) -> Result<(HashMap<&str, &str>, Vec<&str>), Failure> {
    let (mut set, mut remove) = (HashMap::new(), Vec::new());
    for word in words {
        match (word.split_once('='), word.strip_suffix('-')) {
            (Some((key, value)), _) => drop(set.insert(key, value)),
            (None, Some(key)) => remove.push(key),
            (None, None) => return Err(Failure::Usage(format!("{word:?} is neither KEY=VALUE nor KEY-"))),
        }
    }
    Ok((set, remove))
}

pub async fn update(client: &Client, args: ContainerUpdate, json: bool) -> Result<ExitCode, Failure> {
    let mut options: Options<'_> = HashMap::new();
    for (key, bytes) in [("memory_limit", args.memory), ("memory_request", args.memory_request)] {
        if let Some(bytes) = bytes {
            options.insert(key, Variant::from(bytes));
        }
    }
    for (key, milli) in [("cpu_limit_milli", args.cpus), ("cpu_request_milli", args.cpu_request)] {
        if let Some(milli) = milli {
            options.insert(key, Variant::from(milli));
        }
    }
    client.container(&args.pod, Some(&args.container)).await?.update(options).await?;
    Ok(print_names(&[args.container], json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_set_and_remove() {
        let words = ["a=b", "example.org/c=", "d-", "e=f=g-"].map(String::from);
        let (set, remove) = changes(&words).unwrap();
        assert_eq!(set, HashMap::from([("a", "b"), ("example.org/c", ""), ("e", "f=g-")]));
        assert_eq!(remove, ["d"]);
        assert!(changes(&["plain".into()]).unwrap_err().to_string().contains("neither KEY=VALUE nor KEY-"));
    }
}
