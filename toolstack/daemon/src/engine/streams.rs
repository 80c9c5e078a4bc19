//! Requests about what flows in and out of a pod besides commands: containers' own streams, and connections to its ports.

use std::os::fd::OwnedFd;

use tokio::sync::oneshot;

use super::failure::Failure;

/// A request to write to a container's standard input, or to make sure that it runs.
#[derive(Debug)]
pub struct AttachRequest {
    /// Which.
    pub container: String,
    /// Its standard input is wanted.
    pub stdin: bool,
    /// The end to write to, if it is wanted.
    pub answer: oneshot::Sender<Result<Option<OwnedFd>, Failure>>,
}

/// A request to give a container's terminal a size.
#[derive(Debug)]
pub struct ResizeRequest {
    /// Which.
    pub container: String,
    /// Rows.
    pub rows: u32,
    /// Columns.
    pub columns: u32,
    /// When it is done.
    pub answer: oneshot::Sender<Result<(), Failure>>,
}

/// A request to connect to a TCP port inside a pod.
#[derive(Debug)]
pub struct ForwardRequest {
    /// Which; not 0.
    pub port: u16,
    /// A socket: what is written to it is sent, what is received can be read from it.
    pub answer: oneshot::Sender<Result<OwnedFd, Failure>>,
}
