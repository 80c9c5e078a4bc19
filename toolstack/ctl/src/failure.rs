//! What can go wrong in the client, and the exit codes that say so.

use std::process::ExitCode;

use xenpod_api::error::ErrorName;

/// xenpod failed, as against the container.
pub const XENPOD_FAILED: u8 = 125;
/// The command could not be executed.
pub const CANNOT_EXECUTE: u8 = 126;
/// The command does not exist.
pub const NOT_FOUND: u8 = 127;

/// A failure of one verb.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon answered with an error.
    #[error("{message}")]
    Daemon {
        /// Its D-Bus name.
        name: String,
        /// What it said.
        message: String,
    },
    /// The bus or the daemon is not there.
    #[error("cannot reach xenpodd on the system bus: {0}; is it running? `systemctl status xenpodd` tells")]
    Bus(zbus::Error),
    /// A file or stream of the caller's.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// The request makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Several objects were named; these failed, and the others were done.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\nxenpodctl: "))]
    Several(Vec<Failure>),
}

impl Failure {
    /// The exit code.
    pub fn code(&self) -> u8 {
        let Self::Daemon { name, .. } = self else {
            return if matches!(self, Self::Usage(_)) { 2 } else { XENPOD_FAILED };
        };
        match ErrorName::parse(name) {
            Some(ErrorName::CommandNotFound) => NOT_FOUND,
            Some(ErrorName::ExecFailed) => CANNOT_EXECUTE,
            _ => XENPOD_FAILED,
        }
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        match error {
            zbus::Error::MethodError(name, message, _) => {
                let message = message.unwrap_or_else(|| name.to_string());
                if name.as_str() == "org.freedesktop.DBus.Error.ServiceUnknown" {
                    Self::Bus(zbus::Error::Failure(message))
                } else {
                    Self::Daemon { name: name.to_string(), message }
                }
            }
            zbus::Error::FDO(e) => {
                use zbus::DBusError;
                let name = e.name().to_string();
                Self::Daemon { message: e.description().unwrap_or(name.as_str()).to_string(), name }
            }
            other => Self::Bus(other),
        }
    }
}

/// Prints a failure and gives its exit code.
pub fn report(failure: &Failure) -> ExitCode {
    eprintln!("xenpodctl: {failure}");
    if let Failure::Daemon { name, .. } = failure
        && std::env::var_os("XENPODCTL_ERROR_NAMES").is_some()
    {
        eprintln!("xenpodctl: error name: {name}");
    }
    ExitCode::from(failure.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_who_failed() {
        let daemon = |name: ErrorName| Failure::Daemon { name: name.as_str().into(), message: "m".into() };
        assert_eq!(daemon(ErrorName::CommandNotFound).code(), 127);
        assert_eq!(daemon(ErrorName::ExecFailed).code(), 126);
        assert_eq!(daemon(ErrorName::NoSuchPod).code(), 125);
        assert_eq!(Failure::Usage("u".into()).code(), 2);
        assert_eq!(Failure::Io("f".into(), std::io::Error::other("x")).code(), 125);
    }
}
