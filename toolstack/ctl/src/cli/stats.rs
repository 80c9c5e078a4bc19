//! What pods use.

use clap::Args;

/// `stats`
#[derive(Debug, Args)]
#[command(after_long_help = STATS)]
pub struct Stats {
    /// Show it once.
    #[arg(long)]
    pub no_stream: bool,
    /// From one look to the next: `5`, `500ms`, `1m`.
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = crate::time::interval)]
    pub interval: std::time::Duration,
    /// Names or ids; all of one's pods when there are none.
    #[arg(value_name = "POD")]
    pub pods: Vec<String>,
}

const STATS: &str = "CPU % is of one CPU: two busy vCPUs are 200. MEMORY is what of the guest's memory cannot be had any more, DOMAIN what the domain \
    owns. NET and DISK count from the start of the domain; in is towards the pod. A dash is what is not known: a pod that is stopped has no \
    domain, a guest that is paused says nothing. With --json, an object a line for each pod with all that the daemon knows \
    (org.xenpod1.Pod.GetStats), and why what is missing is missing; with --no-stream, a list of them.";

/// `top`
#[derive(Debug, Args)]
#[command(after_long_help = TOP)]
pub struct Top {
    /// From one look to the next: `5`, `500ms`, `1m`.
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = crate::time::interval)]
    pub interval: std::time::Duration,
}

const TOP: &str = "Keys: q, Esc or ctrl-c quit; up, down, j, k choose a pod; Enter shows all of it, and hides that; s sorts by another column; p \
    pauses. The history of a pod's CPU is a block a look, as high as its vCPUs were busy.";
