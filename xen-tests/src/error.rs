//! What can go wrong in the lab itself, as opposed to the commands that it runs.

use std::io;
use std::path::PathBuf;

/// The lab's own failures.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file or folder could not be read or written.
    #[error("{what} {path}: {source}")]
    File {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program of the host could not be started.
    #[error("{program} could not be started: {source}")]
    Start {
        /// Its name.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A program of the host failed.
    #[error("{program} failed ({status}){}", indent(output))]
    Tool {
        /// Its name, or the stage that it carries out.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// The end of what it said, when the lab had caught it.
        output: String,
    },
    /// Not root, and something is not installed.
    #[error("these Debian packages are missing: {0}; install them, or run this as root")]
    MissingPackages(String),
    /// QEMU refused a command, or left.
    #[error("QEMU: {0}")]
    Qemu(String),
    /// The serial port shows a panic.
    #[error("Xen or dom0 has crashed: {0}")]
    Crashed(String),
    /// QEMU is gone.
    #[error("the machine went away: QEMU ended ({0})")]
    Gone(std::process::ExitStatus),
    /// The agent stopped answering.
    #[error("dom0 is silent: its agent has not answered for {0} s")]
    Silent(u64),
    /// The agent said that it cannot run the command.
    #[error("dom0 cannot run it: {0}")]
    Refused(String),
    /// The command or a stage took too long.
    #[error("not finished after {0} s")]
    Timeout(u64),
    /// A stage in dom0 ended badly.
    #[error("{what} failed in dom0 with status {status}{}", indent(output))]
    Stage {
        /// What was to be done.
        what: &'static str,
        /// The exit status of it.
        status: i32,
        /// What it said.
        output: String,
    },
    /// An argument does not make sense.
    #[error("{0}")]
    Usage(String),
    /// The workspace has no package to install yet.
    #[error("there is no package to install: {0}; --no-package runs the bare dom0")]
    NoPackage(String),
}

impl LabError {
    /// For `map_err` on file operations.
    pub fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> LabError {
        let path = path.into();
        move |source| LabError::File { what, path, source }
    }

    /// Whether dom0 can still be asked for anything.
    pub fn is_fatal(&self) -> bool {
        matches!(self, LabError::Crashed(_) | LabError::Gone(_) | LabError::Silent(_) | LabError::Qemu(_))
    }

    /// What the lab exits with: statuses that commands seldom use, as timeout(1) and container runtimes do.
    pub fn exit_status(&self) -> u8 {
        match self {
            LabError::Timeout(_) => 124,
            LabError::Refused(_) => 127,
            _ => 125,
        }
    }
}

fn indent(output: &str) -> String {
    output.trim_end().lines().map(|line| format!("\n  | {line}")).collect()
}

/// For everything that the lab itself does.
pub type Result<T, E = LabError> = std::result::Result<T, E>;
