//! What pods use, for machines: OpenMetrics text over HTTP, on a Unix socket.
//!
//! ```text
//!  GET /metrics --> socket (root, and one group if the configuration says so) --> Engine::stats --> families --> text
//! ```
//!
//! The socket shows the pods of all users, so it is root's: members of the group xenpod see no pods but their own, and so it is not theirs.
//! Nothing is measured between requests. One request a connection, a few connections at a time, each with a deadline.

mod families;

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::engine::Engine;

/// What the text is.
pub const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Connections at a time; further ones wait.
const CONNECTIONS: usize = 8;
/// From the connection to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 10 });
/// Of a request's head; the least that hyper takes.
const HEAD: usize = 8192;

/// Where metrics are to be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// The socket; none when not given.
    pub socket: Option<PathBuf>,
    /// A group, by name or number, whose members may connect beside root.
    pub group: Option<String>,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { socket: Some("/run/xenpod/metrics.sock".into()), group: None }
    }
}

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The group is none of this host's.
    #[error("metrics: group {0} is not in /etc/group; make it, or name another")]
    NoSuchGroup(String),
    /// There is something else.
    #[error("metrics: {} is there and is no socket; remove it, or name another", .0.display())]
    NoSocket(PathBuf),
    /// The socket cannot be made.
    #[error("metrics: socket {}: {source}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The service, until it is dropped.
pub struct Metrics {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.task.abort();
        // Gone already is as well.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens from now on. `None`: the configuration names no socket.
///
/// # Errors
/// See [`MetricsError`].
pub fn serve(engine: Arc<Engine>, config: &MetricsConfig) -> Result<Option<Metrics>, MetricsError> {
    let Some(path) = &config.socket else { return Ok(None) };
    let group = config.group.as_deref().map(|name| gid(name, Path::new("/etc/group"))).transpose()?;
    let failed = |source| MetricsError::Socket { path: path.clone(), source };
    match std::fs::symlink_metadata(path) {
        // Of a daemon that was killed.
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path).map_err(failed)?,
        Ok(_) => return Err(MetricsError::NoSocket(path.clone())),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // The umask of the service lets in nobody but root until here.
    if group.is_some() {
        std::os::unix::fs::chown(path, None, group).map_err(failed)?;
    }
    let mode = if group.is_some() { 0o660 } else { 0o600 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    Ok(Some(Metrics { path: path.clone(), task: tokio::spawn(accept(engine, listener)) }))
}

/// The number of a group, which may be given as one.
fn gid(name: &str, file: &Path) -> Result<u32, MetricsError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut groups = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = groups.find(|fields| fields.first() == Some(&name));
    let number = found.and_then(|fields| fields.get(2)?.parse().ok());
    number.ok_or_else(|| MetricsError::NoSuchGroup(name.into()))
}

async fn accept(engine: Arc<Engine>, listener: UnixListener) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(permit) = free.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let engine = engine.clone();
                tokio::spawn(async move {
                    let _permit = permit;
                    if tokio::time::timeout(DEADLINE, converse(engine, stream)).await.is_err() {
                        tracing::debug!("a reader of metrics took too long");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a reader of metrics could not be let in");
                // No file can be opened, most likely: it does not help to try at once.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(engine: Arc<Engine>, stream: UnixStream) {
    let service = service_fn(|request| {
        let engine = engine.clone();
        async move { Ok::<_, Infallible>(answer(&engine, &request).await) }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    let served = http.keep_alive(false).max_buf_size(HEAD).serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a reader of metrics was refused or went away");
    }
}

async fn answer(engine: &Engine, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return plain(StatusCode::NOT_FOUND, "there is only /metrics\n");
    }
    // hyper leaves out the body of an answer to HEAD.
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "there is only GET\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match families::text(engine).await {
        Ok(text) => {
            let mut response = Response::new(Full::from(text));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
            response
        }
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written\n")
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests;
