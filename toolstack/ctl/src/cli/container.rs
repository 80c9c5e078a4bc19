//! `container`: the verbs for one container of a pod.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Signal;

/// `container`
#[derive(Debug, Subcommand)]
pub enum ContainerCommand {
    /// Make a container in a running pod.
    Create(ContainerCreate),
    /// Start containers that were made or have ended.
    Start(Containers),
    /// End containers: the stop signal, a time of grace, SIGKILL. They stay ended, and their pod runs on.
    Stop(ContainerStop),
    /// Send a signal to containers.
    Kill(ContainerKill),
    /// Remove containers.
    Rm(ContainerRm),
    /// Give a container another name.
    Rename(ContainerRename),
    /// Change a container's limits, at once when it runs.
    Update(super::ContainerUpdate),
    /// List the containers of a pod.
    Ls(ContainerLs),
}

/// `container create`
#[derive(Debug, Args)]
pub struct ContainerCreate {
    /// Take it from a Kubernetes Container in YAML or JSON; `-` is standard input.
    #[arg(short, long, value_name = "CONTAINER.yaml", conflicts_with_all = ["image", "name", "env", "workdir"])]
    pub file: Option<PathBuf>,
    /// Its name; made of the image's name when it is not given.
    #[arg(long)]
    pub name: Option<String>,
    /// Set an environment variable; without `=V`, take it from here.
    #[arg(short, long, value_name = "K=V")]
    pub env: Vec<String>,
    /// Start in this folder.
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// What happens when it ends.
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "OnFailure", "Never"])]
    pub restart: Option<String>,
    /// Start it too.
    #[arg(short, long)]
    pub start: bool,
    /// The pod.
    pub pod: String,
    /// The image.
    #[arg(required_unless_present = "file")]
    pub image: Option<String>,
    /// The command and its arguments, instead of the image's.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Containers of a pod.
#[derive(Debug, Args)]
pub struct Containers {
    /// The pod.
    pub pod: String,
    /// The containers' names.
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

/// `container stop`
#[derive(Debug, Args)]
pub struct ContainerStop {
    /// Seconds between the stop signal and the end; the pod's own when not given.
    #[arg(short = 't', long, value_name = "S")]
    pub time: Option<u32>,
    #[command(flatten)]
    pub of: Containers,
}

/// `container kill`
#[derive(Debug, Args)]
pub struct ContainerKill {
    #[command(flatten)]
    pub signal: Signal,
    #[command(flatten)]
    pub of: Containers,
}

/// `container rm`
#[derive(Debug, Args)]
pub struct ContainerRm {
    /// Even when they run.
    #[arg(short, long)]
    pub force: bool,
    #[command(flatten)]
    pub of: Containers,
}

/// `container rename`
#[derive(Debug, Args)]
pub struct ContainerRename {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Its new name.
    pub name: String,
}

/// `container ls`
#[derive(Debug, Args)]
pub struct ContainerLs {
    /// The pod.
    pub pod: String,
}
