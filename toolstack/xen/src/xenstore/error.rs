//! What can go wrong between us and the store.

use std::fmt;

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The daemon read the request and said no.
    #[error("xenstore: cannot {operation} {object}: {code}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// The path or the domain it was asked of.
        object: String,
        /// What the daemon said.
        code: Code,
    },
    /// A transaction lost against others each time it was tried.
    #[error(
        "xenstore: a transaction was overtaken by others {attempts} times in a row; try again when the host is calmer"
    )]
    Conflict {
        /// How many times it was tried.
        attempts: u32,
    },
    /// The request has a path that no store takes. It was not sent.
    #[error("xenstore: {path:?} is no path: {reason}")]
    InvalidPath {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The request does not fit into a message. It was not sent.
    #[error("xenstore: cannot {operation} {object}: {len} bytes, a message holds {max}", max = super::wire::PAYLOAD_MAX)]
    TooLong {
        /// What was asked.
        operation: &'static str,
        /// The path it was asked of.
        object: String,
        /// Bytes of the payload.
        len: usize,
    },
    /// There is no daemon to connect to.
    #[error("xenstore: cannot connect to {tried}; is this dom0, and is xenstored running?")]
    Unavailable {
        /// Each place that was tried, and what came of it.
        tried: String,
    },
    /// The connection broke before the reply. Whether the request was carried out is not known.
    #[error("xenstore: the connection to xenstored was lost")]
    Disconnected,
    /// The peer does not speak the protocol.
    #[error("xenstore: broken protocol: {0}")]
    Protocol(String),
    /// What the daemon holds is not what it should be.
    #[error("xenstore: {path}: {reason}")]
    BadValue {
        /// The node.
        path: String,
        /// What is wrong with its value.
        reason: String,
    },
    /// A wait for a node took too long.
    #[error("xenstore: {path} was {found} after {waited_ms} ms, waited for {wanted}")]
    Timeout {
        /// The node.
        path: String,
        /// Its value at the end.
        found: String,
        /// What it should have become.
        wanted: String,
        /// How long that was.
        waited_ms: u64,
    },
}

impl Error {
    /// What the daemon said, if it was the daemon that refused.
    pub fn code(&self) -> Option<&Code> {
        match self {
            Error::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the node was not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(&Code::NotFound)
    }

    /// Whether a transaction was overtaken and may be tried again.
    pub fn is_again(&self) -> bool {
        self.code() == Some(&Code::Again)
    }
}

/// The daemon's word for an error. They travel as the names of errno values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// `EINVAL`
    Invalid,
    /// `EACCES`
    Denied,
    /// `EEXIST`
    Exists,
    /// `ENOENT`
    NotFound,
    /// `EAGAIN`: a transaction was overtaken.
    Again,
    /// `E2BIG`: the answer does not fit into a message, or a quota was met.
    TooBig,
    /// `ENOSYS`: the daemon does not know the operation.
    Unknown,
    /// `EQUOTA`, which only oxenstored says.
    Quota,
    /// Any other name, as it came.
    Other(String),
}

impl Code {
    const NAMES: [(&'static str, Code); 8] = [
        ("EINVAL", Code::Invalid),
        ("EACCES", Code::Denied),
        ("EEXIST", Code::Exists),
        ("ENOENT", Code::NotFound),
        ("EAGAIN", Code::Again),
        ("E2BIG", Code::TooBig),
        ("ENOSYS", Code::Unknown),
        ("EQUOTA", Code::Quota),
    ];

    /// The code behind a name from the wire.
    pub fn from_name(name: &str) -> Code {
        match Self::NAMES.iter().find(|(known, _)| *known == name) {
            Some((_, code)) => code.clone(),
            // A name is a dozen letters; what a broken daemon sends beyond that need not be carried about.
            None => Code::Other(name.chars().take(32).collect()),
        }
    }

    /// The name on the wire.
    pub fn name(&self) -> &str {
        match self {
            Code::Other(name) => name,
            known => Self::NAMES.iter().find(|(_, code)| code == known).map_or("EINVAL", |(name, _)| name),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self {
            Code::Invalid => "invalid argument",
            Code::Denied => "permission denied",
            Code::Exists => "it exists already",
            Code::NotFound => "no such node",
            Code::Again => "overtaken by another change",
            Code::TooBig => "too big, or over a quota",
            Code::Unknown => "xenstored does not know the operation",
            Code::Quota => "over a quota",
            Code::Other(name) => return f.write_str(name),
        };
        write!(f, "{meaning} ({})", self.name())
    }
}
