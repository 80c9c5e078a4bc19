//! The command line's shape. Manual pages and completions are made from it.

mod change;
mod container;
mod explain;
mod kernel;
mod shape;
mod stats;
mod streams;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::change::*;
pub use self::container::*;
pub use self::explain::*;
pub use self::kernel::*;
pub use self::shape::*;
pub use self::stats::*;
pub use self::streams::*;

/// Run pods of OCI containers, each in a Xen domain of its own.
#[derive(Debug, Parser)]
#[command(name = "xenpodctl", version, max_term_width = 100, after_long_help = EXIT_CODES)]
pub struct Cli {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; of run and exec, the container's own; 125 xenpod failed; 126 the command could not be \
    executed; 127 the command does not exist; 2 the command line is wrong.\n\nxenpodctl-VERB(1) is the page of a verb. Manifests are \
    described in xenpod-manifest(5) and by `xenpodctl explain`, the daemon in xenpodd(8), its configuration in xenpodd.yaml(5), its D-Bus \
    interfaces in org.xenpod1.Manager(5), and how to call them in xenpod-recipes(7).";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create and start a pod, show its output, and end with its container's exit code.
    ///
    /// Signals are passed on to its containers. SIGTERM stops the pod in order, as does an interrupt that they have not heeded after
    /// 10 s; a second one stops it at once. Before the pod runs, either cancels what is being done.
    Run(Run),
    /// Create a pod without starting it.
    Create(Create),
    /// Start created or stopped pods.
    Start(Start),
    /// Stop pods: the stop signal, a time of grace, then the end.
    Stop(Stop),
    /// Remove pods.
    Rm(Rm),
    /// Pause pods: their domains get no CPU.
    Pause(Pods),
    /// Let paused pods run on.
    #[command(alias = "unpause")]
    Resume(Pods),
    /// Give a pod another size: memory, vCPUs, or both.
    Resize(Resize),
    /// Give a pod another name.
    Rename(Rename),
    /// Set and remove labels of a pod.
    Label(Describe),
    /// Set and remove annotations of a pod.
    Annotate(Describe),
    /// Wait until pods have stopped, and print their exit codes.
    Wait(Pods),
    /// Show what has happened, and with -f what happens.
    Events(Events),
    /// List pods.
    Ps(Ps),
    /// Show what pods use, again and again.
    Stats(Stats),
    /// Watch what pods use, on a terminal.
    Top(Top),
    /// Show everything that is known of pods, containers or images.
    Inspect(Inspect),
    /// Show a container's output.
    Logs(Logs),
    /// Run a command in a container.
    Exec(Exec),
    /// Send a signal to a container.
    Kill(Kill),
    /// Make, start, end, remove and rename containers one by one, in a running pod.
    #[command(subcommand)]
    Container(ContainerCommand),
    /// Take part in a running container's own input and output.
    Attach(Attach),
    /// Let programs here reach ports of a pod.
    PortForward(PortForward),
    /// Fetch an image from a registry.
    Pull(Pull),
    /// Take an image from an archive or a layout.
    Import(Import),
    /// List images.
    Images,
    /// Remove images.
    Rmi(Rmi),
    /// Explain a field of a pod's manifest: its type, its default, and what xenpod does with it.
    Explain(Explain),
    /// Bring guest kernels, choose the default, and remove them.
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// Show the versions of client, daemon and hypervisor.
    Version,
    /// Check this host, and say what to do about what is wrong.
    Doctor,
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Manpages {
        /// The installed tree, as it is in the sources: what the pages are made of.
        #[arg(long, value_name = "DIR")]
        sources: PathBuf,
        /// The folder.
        dir: PathBuf,
    },
}

/// Some pods.
#[derive(Debug, Args)]
pub struct Pods {
    /// Names or ids.
    #[arg(required = true, value_name = "POD")]
    pub pods: Vec<String>,
}

/// `stop`
#[derive(Debug, Args)]
pub struct Stop {
    /// Seconds between the stop signal and the end; the pod's own when not given.
    #[arg(short = 't', long, value_name = "S")]
    pub time: Option<u32>,
    #[command(flatten)]
    pub pods: Pods,
}

/// `rm`
#[derive(Debug, Args)]
pub struct Rm {
    /// Even when it runs.
    #[arg(short, long)]
    pub force: bool,
    #[command(flatten)]
    pub pods: Pods,
}

/// `ps`
#[derive(Debug, Args)]
pub struct Ps {
    /// Show stopped and failed pods too.
    #[arg(short, long)]
    pub all: bool,
    /// Print ids only.
    #[arg(short, long)]
    pub quiet: bool,
}

/// `events`
#[derive(Debug, Args)]
#[command(after_long_help = EVENTS)]
pub struct Events {
    /// Go on as things happen; without --since, only what happens from now on.
    #[arg(short, long)]
    pub follow: bool,
    /// Only events after this number.
    #[arg(long, value_name = "N")]
    pub since: Option<u64>,
    /// Only events of one pod, of one type, or of pods with a label. May be given once for each.
    #[arg(long, value_name = "pod=NAME|type=TYPE|label=KEY[=VALUE]")]
    pub filter: Vec<String>,
}

const EVENTS: &str = "Each event is a line: its time, its number, its type, the pod (or the object, where there is none), and what is to be said \
    of it; with --json, an object. Numbers only grow, over restarts of the daemon too; after one that was not orderly some are left out. \
    Events of others' objects are not shown, and their numbers are left out. How many are kept is said by events_kept in \
    /etc/xenpod/xenpodd.yaml.\n\nTypes: pod-created, pod-state, pod-renamed, pod-resized, pod-updated (labels, annotations), pod-removed, container-created, container-started, container-waiting (to be \
    restarted), container-exited, container-removed, exec-started, exec-ended, image-added, image-removed, kernel-added, kernel-default, kernel-removed, job-ended.";

/// `inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// Names or ids of pods, or names or digests of images.
    #[arg(required = true)]
    pub objects: Vec<String>,
}

/// `kill`
#[derive(Debug, Args)]
pub struct Kill {
    /// The container; needed when the pod has several.
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,
    #[command(flatten)]
    pub signal: Signal,
    /// The pod.
    pub pod: String,
}

/// A signal and whom it is for.
#[derive(Debug, Args)]
pub struct Signal {
    /// The signal, by name or number.
    #[arg(short, long, default_value = "KILL", value_parser = signal)]
    pub signal: u32,
    /// Send it to all processes of the container, not just the first.
    #[arg(short, long)]
    pub all: bool,
}

fn signal(text: &str) -> Result<u32, String> {
    xenpod_api::signal::parse(text).ok_or_else(|| "not a signal: a name such as TERM, or 1 to 64".into())
}

/// `pull`
#[derive(Debug, Args)]
pub struct Pull {
    /// Allow plain HTTP.
    #[arg(long)]
    pub insecure: bool,
    /// The image's reference, such as `registry.example/app/web:1.2`.
    pub reference: String,
}

/// `import`
#[derive(Debug, Args)]
pub struct Import {
    /// `oci-archive:FILE`, `docker-archive:FILE` or `oci:DIR`.
    pub source: String,
    /// What the image is to be called here.
    pub name: String,
}

/// `rmi`
#[derive(Debug, Args)]
pub struct Rmi {
    /// Names or digests.
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<String>,
}
