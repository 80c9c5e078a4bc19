//! What passes streams on: `logs`, `exec`, `attach` and `port-forward`.

use clap::Args;

use super::Keys;

/// `logs`
#[derive(Debug, Args)]
pub struct Logs {
    /// Go on as output comes, until the container ends.
    #[arg(short, long, conflicts_with = "previous")]
    pub follow: bool,
    /// Only the last lines.
    #[arg(long, value_name = "N")]
    pub tail: Option<u64>,
    /// Only lines from that time on: `10m` ago, or `2026-01-02T03:04:05Z`.
    #[arg(long, value_name = "TIME", value_parser = crate::time::since)]
    pub since: Option<u64>,
    /// Put the time before each line.
    #[arg(short, long)]
    pub timestamps: bool,
    /// The output of the run before the last start.
    #[arg(short, long)]
    pub previous: bool,
    /// The container; needed when the pod has several.
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// The pod.
    pub pod: String,
}

/// `exec`
#[derive(Debug, Args)]
pub struct Exec {
    /// The container; needed when the pod has several.
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Pass standard input on.
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the command a terminal.
    #[arg(short, long)]
    pub tty: bool,
    /// Set an environment variable.
    #[arg(short, long, value_name = "K=V")]
    pub env: Vec<String>,
    /// Run as this user.
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Start in this folder.
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    #[command(flatten)]
    pub keys: Keys,
    /// The pod.
    pub pod: String,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// `attach`
#[derive(Debug, Args)]
pub struct Attach {
    /// The container; needed when the pod has several.
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    /// Do not pass standard input on.
    #[arg(long)]
    pub no_stdin: bool,
    /// Show first what it has written since it was started.
    #[arg(long)]
    pub logs: bool,
    #[command(flatten)]
    pub keys: Keys,
    /// The pod.
    pub pod: String,
}

/// `port-forward`
#[derive(Debug, Args)]
pub struct PortForward {
    /// The address here to listen on.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub address: std::net::IpAddr,
    /// The pod.
    pub pod: String,
    /// A port of the pod, after a port here if that is another; `:80` takes any that is free.
    #[arg(required = true, value_name = "[LOCAL:]REMOTE", value_parser = crate::commands::ports)]
    pub ports: Vec<(u16, u16)>,
}
