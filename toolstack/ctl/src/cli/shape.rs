//! What a pod is made of: `run`, `create` and `start`.

use std::path::PathBuf;

use clap::Args;

use super::Pods;

/// What a manifest refers to.
#[derive(Debug, Default, Args)]
pub struct Given {
    /// Give the config map NAME: a file's content under KEY (the file's name when it is not said), or every file of a
    /// folder. May be given often; `-` is standard input.
    #[arg(long, value_name = "NAME=[KEY=]PATH")]
    pub config_map: Vec<String>,
    /// Give the secret NAME, in the same way. It is passed as a file descriptor and kept in memory only.
    #[arg(long, value_name = "NAME=[KEY=]PATH")]
    pub secret: Vec<String>,
}

/// What a pod is made of when no manifest is given.
#[derive(Debug, Args)]
pub struct Shape {
    /// Take the pod from a Kubernetes Pod manifest; `-` is standard input. ConfigMaps and Secrets may stand beside it, as
    /// further documents of the file.
    #[arg(short, long, value_name = "POD.yaml", conflicts_with_all = ["image", "name", "memory", "cpus", "env", "entrypoint", "label", "user", "workdir", "read_only", "interactive", "tty", "kernel", "kernel_args"])]
    pub file: Option<PathBuf>,
    /// The pod's name; made up when it is not given.
    #[arg(long)]
    pub name: Option<String>,
    /// The domain's memory, in MiB.
    #[arg(short, long, value_name = "MiB")]
    pub memory: Option<u64>,
    /// The domain's vCPUs.
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// The guest kernel, by name or digest; `xenpodctl kernel ls` lists them.
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Option<String>,
    /// Add parameters to the kernel's command line, as far as the host allows them.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub kernel_args: Option<String>,
    /// Set an environment variable; without `=V`, take it from here.
    #[arg(short, long, value_name = "K=V")]
    pub env: Vec<String>,
    /// Replace the image's entry point.
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Label the pod.
    #[arg(short, long, value_name = "K=V")]
    pub label: Vec<String>,
    /// Run as this uid, or uid:gid.
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// Start in this folder.
    #[arg(short, long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Give the container a standard input.
    #[arg(short, long)]
    pub interactive: bool,
    /// Give the container a terminal.
    #[arg(short, long)]
    pub tty: bool,
    /// Let nothing be written to the image's file system.
    #[arg(long)]
    pub read_only: bool,
    #[command(flatten)]
    pub given: Given,
    /// The image.
    #[arg(required_unless_present = "file")]
    pub image: Option<String>,
    /// The command and its arguments, instead of the image's.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// Remove the pod when it has ended.
    #[arg(long)]
    pub rm: bool,
    /// Print the pod's id and return once it runs.
    #[arg(short, long)]
    pub detach: bool,
    #[command(flatten)]
    pub keys: Keys,
    #[command(flatten)]
    pub shape: Shape,
}

/// How to leave what runs on a terminal.
#[derive(Debug, Args)]
pub struct Keys {
    /// What to type on a terminal to leave the program without ending it; empty for nothing.
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q", value_parser = crate::detach::Keys::parse)]
    pub detach_keys: crate::detach::Keys,
}

/// `create`
#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    pub shape: Shape,
}

/// `start`
#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    pub given: Given,
    #[command(flatten)]
    pub pods: Pods,
}
