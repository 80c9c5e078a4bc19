//! Why a request was not done, in words and in the protocol's kinds.

use rustix::io::Errno;
use xenpod_protocol::message::{self, ErrorKind};

/// A refusal or failure of one request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A request of a newer protocol.
    #[error("{0} is not known to this guest-init")]
    Unsupported(&'static str),
    /// A value that makes no sense.
    #[error("{what} {value:?}: {why}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// As it came.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nothing of that name.
    #[error("no {what} {name:?}")]
    NoSuch {
        /// What was looked for.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A disk or interface that was announced and did not come.
    #[error("{what} {name} did not appear within {seconds} s")]
    Absent {
        /// What was waited for.
        what: &'static str,
        /// Its name.
        name: String,
        /// For how long.
        seconds: u64,
    },
    /// The name is taken.
    #[error("{what} {name:?} exists already")]
    Exists {
        /// What has it.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Not now.
    #[error("{what} {name:?} is {state}")]
    BadState {
        /// Of what.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why it cannot be done.
        state: &'static str,
    },
    /// No such program.
    #[error("command {command:?} not found in container {container}: {}", describe(*errno))]
    CommandNotFound {
        /// As given.
        command: String,
        /// Where.
        container: String,
        /// The last path tried.
        path: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// A script or program whose interpreter is missing.
    #[error("command {command:?} in container {container} needs {interpreter}, which does not exist there")]
    NoInterpreter {
        /// As given.
        command: String,
        /// Where.
        container: String,
        /// The command's path.
        path: String,
        /// What is missing.
        interpreter: String,
    },
    /// A file that is not executable, or not for this user.
    #[error("command {command:?} in container {container} cannot be executed: {}", describe(*errno))]
    NotExecutable {
        /// As given.
        command: String,
        /// Where.
        container: String,
        /// The path tried.
        path: String,
        /// What the kernel said: permission, or format.
        errno: Errno,
    },
    /// A working directory that cannot be entered.
    #[error("working directory {path:?} in container {container}: {}", describe(*errno))]
    Directory {
        /// Where.
        container: String,
        /// The directory.
        path: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// A name that is in no password file.
    #[error("{what} {name:?} is not in {file} of container {container}")]
    BadUser {
        /// `user` or `group`.
        what: &'static str,
        /// Its name.
        name: String,
        /// Which file.
        file: &'static str,
        /// Where.
        container: String,
    },
    /// A mount, or making what it needs.
    #[error("cannot mount {what} at {path}: {}", describe(*errno))]
    Mount {
        /// What was to be mounted.
        what: String,
        /// Where.
        path: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// A port that nobody serves.
    #[error("cannot connect to port {port} of the pod: {}", describe(*errno))]
    Unconnected {
        /// Which.
        port: u16,
        /// What the kernel said.
        errno: Errno,
    },
    /// A limit below what is used and cannot be reclaimed.
    #[error(
        "container {container} uses {used} bytes of memory that cannot be reclaimed: it cannot be limited to {wanted}"
    )]
    InUse {
        /// Which.
        container: String,
        /// What it uses.
        used: u64,
        /// What it was to be limited to.
        wanted: u64,
    },
    /// Any other call to the kernel.
    #[error("cannot {what} {object}: {}", describe(*errno))]
    System {
        /// What was tried: `write`, `set the limit of`.
        what: &'static str,
        /// To what.
        object: String,
        /// What the kernel said.
        errno: Errno,
    },
}

/// The kernel's error in words: `no such file or directory`.
pub fn describe(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

impl Error {
    /// For `map_err`: a failed call and what it was for.
    pub fn system(what: &'static str, object: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::System { what, object: object.into(), errno }
    }

    /// The same for the standard library's errors.
    pub fn io(what: &'static str, object: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::System { what, object: object.into(), errno: errno_of(&error) }
    }

    /// For `map_err`: a failed mount.
    pub fn mount(what: impl Into<String>, path: impl Into<String>) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::Mount { what: what.into(), path: path.into(), errno }
    }

    /// As the daemon gets it.
    pub fn to_wire(&self) -> message::Error {
        let (kind, errno, path) = match self {
            Self::Unsupported(_) => (ErrorKind::Unsupported, None, None),
            Self::Invalid { .. } => (ErrorKind::Invalid, None, None),
            Self::NoSuch { .. } | Self::Absent { .. } => (ErrorKind::NoSuch, None, None),
            Self::Exists { .. } => (ErrorKind::Exists, None, None),
            Self::BadState { .. } => (ErrorKind::BadState, None, None),
            Self::CommandNotFound { path, errno, .. } => (ErrorKind::NotFound, Some(*errno), Some(path)),
            Self::NoInterpreter { path, .. } => (ErrorKind::NotFound, Some(Errno::NOENT), Some(path)),
            Self::NotExecutable { path, errno: Errno::ACCESS | Errno::PERM, .. } => {
                (ErrorKind::PermissionDenied, Some(Errno::ACCESS), Some(path))
            }
            Self::NotExecutable { path, errno, .. } => (ErrorKind::BadFormat, Some(*errno), Some(path)),
            Self::Directory { path, errno: Errno::ACCESS, .. } => {
                (ErrorKind::PermissionDenied, Some(Errno::ACCESS), Some(path))
            }
            Self::Directory { path, errno, .. } => (ErrorKind::NotFound, Some(*errno), Some(path)),
            Self::BadUser { .. } => (ErrorKind::BadUser, None, None),
            Self::Mount { errno: Errno::NOMEM, path, .. } => (ErrorKind::NoMemory, Some(Errno::NOMEM), Some(path)),
            Self::Mount { errno, path, .. } => (ErrorKind::MountFailed, Some(*errno), Some(path)),
            Self::Unconnected { errno, .. } => (ErrorKind::Unconnected, Some(*errno), None),
            Self::InUse { .. } => (ErrorKind::NoMemory, None, None),
            Self::System { errno: Errno::NOMEM, .. } => (ErrorKind::NoMemory, Some(Errno::NOMEM), None),
            Self::System { errno, .. } => (ErrorKind::Internal, Some(*errno), None),
        };
        message::Error {
            kind: kind.into(),
            message: self.to_string(),
            errno: errno.map_or(0, Errno::raw_os_error),
            path: path.cloned().unwrap_or_default(),
        }
    }
}

/// The error number in an error of the standard library; EIO when it has none.
pub fn errno_of(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}

#[cfg(test)]
mod tests;
