//! The command line's shape. Manual pages and completions are made from it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    executed; 127 the command does not exist; 2 the command line is wrong.";

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create and start a pod, show its output, and end with its container's exit code.
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
    /// Wait until pods have stopped, and print their exit codes.
    Wait(Pods),
    /// Show what has happened, and with -f what happens.
    Events(Events),
    /// List pods.
    Ps(Ps),
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
        /// The folder.
        dir: PathBuf,
    },
}

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
    #[arg(short, long, value_name = "POD.yaml", conflicts_with_all = ["image", "name", "memory", "cpus", "env", "entrypoint", "label", "user", "workdir", "read_only", "interactive", "tty"])]
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

/// Some pods.
#[derive(Debug, Args)]
pub struct Pods {
    /// Names or ids.
    #[arg(required = true, value_name = "POD")]
    pub pods: Vec<String>,
}

/// `start`
#[derive(Debug, Args)]
pub struct Start {
    #[command(flatten)]
    pub given: Given,
    #[command(flatten)]
    pub pods: Pods,
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
    /etc/xenpod/xenpodd.yaml.\n\nTypes: pod-created, pod-state, pod-removed, container-created, container-started, container-waiting (to be \
    restarted), container-exited, container-removed, exec-started, exec-ended, image-added, image-removed, job-ended.";

/// `inspect`
#[derive(Debug, Args)]
pub struct Inspect {
    /// Names or ids of pods, or names or digests of images.
    #[arg(required = true)]
    pub objects: Vec<String>,
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn forms_that_scripts_rely_on() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|c| c.command);
        let Ok(Command::Run(run)) = parse("xenpodctl run --rm --name n --memory 64 --cpus 2 -e A=b img -- sh -c x")
        else {
            panic!("run");
        };
        assert_eq!((run.rm, run.shape.memory, run.shape.cpus), (true, Some(64), Some(2)));
        assert_eq!((run.shape.image.as_deref(), run.shape.command.join(" ")), (Some("img"), "sh -c x".to_string()));
        let Ok(Command::Run(run)) = parse("xenpodctl run img ls -l") else { panic!("run without --") };
        assert_eq!(run.shape.command, ["ls", "-l"]);
        let Ok(Command::Exec(exec)) = parse("xenpodctl exec pod -c web -it -- sh -l") else { panic!("exec") };
        assert_eq!((exec.container.as_deref(), exec.interactive, exec.tty), (Some("web"), true, true));
        assert_eq!(exec.command, ["sh", "-l"]);
        let Ok(Command::Kill(kill)) = parse("xenpodctl kill -s SIGUSR1 -c web pod") else { panic!("kill") };
        assert_eq!((kill.signal.signal, kill.pod.as_str()), (10, "pod"));
        assert!(parse("xenpodctl kill -s NOSUCH pod").is_err());
        let Ok(Command::Container(ContainerCommand::Create(create))) =
            parse("xenpodctl container create --start --name c pod img sh -c x")
        else {
            panic!("container create");
        };
        assert_eq!((create.start, create.command.join(" ")), (true, "sh -c x".to_string()));
        assert!(parse("xenpodctl container create pod").is_err());
        assert!(parse("xenpodctl container create -f c.yaml pod").is_ok());
        assert!(parse("xenpodctl container rm -f pod a b").is_ok());
        assert!(parse("xenpodctl container rename pod a b").is_ok());
        assert!(parse("xenpodctl logs pod -c web -f").is_ok());
        let Ok(Command::Logs(logs)) = parse("xenpodctl logs --tail 5 --since 2026-01-02T03:04:05Z -t -p pod") else {
            panic!("logs")
        };
        assert_eq!((logs.tail, logs.since), (Some(5), Some(1_767_323_045_000_000)));
        assert!(logs.timestamps && logs.previous);
        assert!(parse("xenpodctl logs -f -p pod").is_err());
        assert!(parse("xenpodctl create -f pod.yaml").is_ok());
        let Ok(Command::Run(run)) = parse("xenpodctl run -it --rm img sh -i") else { panic!("run -it") };
        assert!(run.shape.interactive && run.shape.tty && run.shape.command == ["sh", "-i"]);
        assert!(parse("xenpodctl run -i -f pod.yaml").is_err());
        let Ok(Command::PortForward(forward)) = parse("xenpodctl port-forward pod 80 8080:81 :82") else {
            panic!("port-forward")
        };
        assert_eq!(forward.ports, [(80, 80), (8080, 81), (0, 82)]);
        for bad in ["0", "65536", "a:80", "80:", "80:0", "1:2:3", ""] {
            assert!(parse(&format!("xenpodctl port-forward pod {bad}")).is_err(), "{bad}");
        }
        assert!(parse("xenpodctl rm -f a b").is_ok());
        assert!(parse("xenpodctl events -f --since 5 --filter pod=a --filter type=pod-state").is_ok());
        assert!(parse("xenpodctl events --since yesterday").is_err());
        assert!(parse("xenpodctl run -f pod.yaml --memory 5").is_err());
        assert!(parse("xenpodctl run").is_err());
    }
}
