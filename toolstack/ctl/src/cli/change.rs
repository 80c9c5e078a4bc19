//! The verbs that change what a pod is: its size, its name, what is said of it.

use clap::Args;
use xenpod_api::quantity::{parse_milli, parse_units};

/// `resize`
#[derive(Debug, Args)]
#[command(after_long_help = RESIZE)]
pub struct Resize {
    /// The domain's memory, in MiB.
    #[arg(short, long, value_name = "MiB", required_unless_present = "cpus")]
    pub memory: Option<u64>,
    /// The domain's vCPUs.
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// Seconds that it may take.
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub wait: u32,
    /// The pod.
    pub pod: String,
}

const RESIZE: &str = "A running pod gets its new size at once; one that has ended, from its next start on. Memory that the containers \
    use is not taken from them: the pod is then left as it is, or as far as it came, and the message says how far that is. More vCPUs \
    than a running pod's domain was built with need annotation xenpod.org/max-cpus in its manifest, or a stop.\n\nPrints what was \
    reached; with --json, an object with pod, memory_kib and vcpus.";

/// `rename`
#[derive(Debug, Args)]
pub struct Rename {
    /// The pod.
    pub pod: String,
    /// Its new name.
    pub name: String,
}

/// `label` and `annotate`
#[derive(Debug, Args)]
pub struct Describe {
    /// The pod.
    pub pod: String,
    /// What to set, and keys to remove.
    #[arg(required = true, value_name = "KEY=VALUE|KEY-", allow_hyphen_values = false)]
    pub changes: Vec<String>,
}

/// `container update`
#[derive(Debug, Args)]
pub struct ContainerUpdate {
    /// The most memory that it may use, as in a manifest: 64Mi; 0 for no limit.
    #[arg(short, long, value_name = "SIZE", value_parser = bytes, required_unless_present_any = ["memory_request", "cpus", "cpu_request"])]
    pub memory: Option<u64>,
    /// Memory that is left to it when memory is short.
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub memory_request: Option<u64>,
    /// The most CPU time that it may use, as in a manifest: 1.5 or 500m; 0 for no limit.
    #[arg(long, value_name = "CPUS", value_parser = milli)]
    pub cpus: Option<u32>,
    /// Its share of CPU time beside the others.
    #[arg(long, value_name = "CPUS", value_parser = milli)]
    pub cpu_request: Option<u32>,
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
}

fn bytes(text: &str) -> Result<u64, String> {
    parse_units(text).map_err(|e| e.to_string())
}

fn milli(text: &str) -> Result<u32, String> {
    let milli = parse_milli(text).map_err(|e| e.to_string())?;
    u32::try_from(milli).map_err(|_| "more than any machine has".into())
}
