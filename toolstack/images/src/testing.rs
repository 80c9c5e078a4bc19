//! A registry for tests and demonstrations: serves OCI layouts by the distribution API, read-only, and misbehaves on
//! request.

mod faults;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, LOCATION, RANGE, WWW_AUTHENTICATE,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::digest::Digest;
pub use faults::{Fault, Misdeed};

type Body = BoxBody<Bytes, io::Error>;

/// A running registry; it stops when this is dropped.
pub struct Registry {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    repositories: BTreeMap<String, PathBuf>,
    faults: Mutex<Vec<Fault>>,
    requests: Mutex<Vec<String>>,
}

impl Registry {
    /// Serves each repository from the OCI layout in its directory; tags are the layout's. Without `tls` it speaks
    /// HTTP.
    pub async fn serve(
        address: SocketAddr,
        repositories: BTreeMap<String, PathBuf>,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { repositories, faults: Mutex::default(), requests: Mutex::default() });
        let task = tokio::spawn(accept(listener, shared.clone(), tls));
        Ok(Self { address, shared, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The full name of an image here.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Misbehaves so from now on, besides in the ways asked for before.
    pub fn inject(&self, fault: Fault) {
        lock(&self.shared.faults).push(fault);
    }

    /// Behaves again.
    pub fn behave(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Requests so far, `METHOD PATH [RANGE]`; forgets them.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.requests))
    }

    /// Runs until the listener fails.
    pub async fn wait(mut self) {
        let _ = (&mut self.task).await;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<Arc<rustls::ServerConfig>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (shared, tls) = (shared.clone(), tls.clone());
        connections.spawn(connection(stream, shared, tls));
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, tls: Option<Arc<rustls::ServerConfig>>) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, io::Error>(answer(&shared, &request).await) }
    });
    let server = hyper::server::conn::http1::Builder::new();
    // Whatever ends a connection, the client sees it; here nobody has to.
    let _ = match tls {
        None => server.serve_connection(TokioIo::new(stream), service).await,
        Some(config) => match tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
            Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => return,
        },
    };
}

async fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<Body> {
    let header = |name| request.headers().get(name).and_then(|v: &hyper::header::HeaderValue| v.to_str().ok());
    let path = request.uri().path().to_owned();
    let range = header(RANGE).unwrap_or_default();
    let line = format!("{} {} {range}", request.method(), request.uri());
    lock(&shared.requests).push(line.trim_end().to_owned());
    let misdeed = faults::take(&mut lock(&shared.faults), &path);
    let host = header(HOST).unwrap_or_default();
    match &misdeed {
        Some(Misdeed::Status(status, after)) => {
            let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = error(status, "told to fail");
            if let Some(value) = after.as_ref().and_then(|a| a.to_string().parse().ok()) {
                response.headers_mut().insert("retry-after", value);
            }
            return response;
        }
        Some(Misdeed::Redirect(to)) => return with(error(StatusCode::TEMPORARY_REDIRECT, ""), LOCATION, to),
        Some(Misdeed::Token) if header(AUTHORIZATION) != Some("Bearer let-me-in") => {
            let challenge = format!(r#"Bearer realm="http://{host}/token",service="test",scope="repository:x:pull""#);
            return with(error(StatusCode::UNAUTHORIZED, "authentication required"), WWW_AUTHENTICATE, &challenge);
        }
        Some(Misdeed::Basic) => {
            return with(
                error(StatusCode::UNAUTHORIZED, "authentication required"),
                WWW_AUTHENTICATE,
                "Basic realm=\"x\"",
            );
        }
        Some(Misdeed::Hang) => std::future::pending().await,
        _ => {}
    }
    if path == "/token" {
        return document("application/json", json!({ "token": "let-me-in" }).to_string().into());
    }
    if path == "/v2/" {
        return document("application/json", "{}".into());
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return error(StatusCode::METHOD_NOT_ALLOWED, "read only");
    }
    match find(shared, &path) {
        Some((media_type, file)) => serve(request.method(), media_type, file, range, misdeed).await,
        None => error(StatusCode::NOT_FOUND, "no such manifest or blob"),
    }
}

/// The media type and file behind `/v2/REPOSITORY/{manifests,blobs}/SELECTOR`.
fn find(shared: &Shared, path: &str) -> Option<(String, PathBuf)> {
    let rest = path.strip_prefix("/v2/")?;
    let (front, selector) = rest.rsplit_once('/')?;
    let (repository, kind) = front.rsplit_once('/')?;
    let layout = shared.repositories.get(repository)?;
    let digest = match (kind, selector.parse::<Digest>()) {
        ("blobs" | "manifests", Ok(digest)) => digest,
        ("manifests", Err(_)) => tagged(layout, selector)?,
        _ => return None,
    };
    let file = layout.join("blobs").join(digest.algorithm()).join(digest.hex());
    let media_type = match kind {
        "manifests" => media_type_of(&file)?,
        _ => "application/octet-stream".to_owned(),
    };
    file.is_file().then_some((media_type, file))
}

fn tagged(layout: &Path, tag: &str) -> Option<Digest> {
    let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).ok()?).ok()?;
    let mut manifests = index["manifests"].as_array()?.iter();
    let entry = manifests.find(|m| m["annotations"]["org.opencontainers.image.ref.name"] == tag)?;
    entry["digest"].as_str()?.parse().ok()
}

fn media_type_of(file: &Path) -> Option<String> {
    let value: Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let default = if value["manifests"].is_array() { "index" } else { "manifest" };
    let default = format!("application/vnd.oci.image.{default}.v1+json");
    Some(value["mediaType"].as_str().map_or(default, str::to_owned))
}

async fn serve(
    method: &Method,
    media_type: String,
    path: PathBuf,
    range: &str,
    misdeed: Option<Misdeed>,
) -> Response<Body> {
    let Ok(mut bytes) = tokio::fs::read(path).await else { return error(StatusCode::NOT_FOUND, "unreadable") };
    match misdeed {
        Some(Misdeed::Truncate(len)) => bytes.truncate(len),
        Some(Misdeed::Append(len)) => bytes.resize(bytes.len() + len, b'!'),
        Some(Misdeed::Corrupt(at)) if at < bytes.len() => bytes[at] ^= 0x55,
        _ => {}
    }
    let total = bytes.len();
    let from = range.strip_prefix("bytes=").and_then(|r| r.strip_suffix('-')).and_then(|n| n.parse::<usize>().ok());
    let from = from.filter(|_| !matches!(misdeed, Some(Misdeed::IgnoreRange(_))));
    if from.is_some_and(|from| from >= total) {
        return error(StatusCode::RANGE_NOT_SATISFIABLE, "nothing there");
    }
    let start = from.unwrap_or(0);
    let bytes = Bytes::from(bytes).slice(start..);
    let len = bytes.len();
    let cut = match misdeed {
        Some(Misdeed::Drop(after) | Misdeed::IgnoreRange(after)) => after,
        _ => usize::MAX,
    };
    let body = if *method == Method::HEAD { full(Bytes::new()) } else { pieces(bytes, cut) };
    let mut response = Response::new(body);
    if from.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response = with(response, CONTENT_RANGE, &format!("bytes {start}-{}/{total}", total - 1));
    }
    with(with(response, CONTENT_TYPE, &media_type), CONTENT_LENGTH, &len.to_string())
}

/// Sends in pieces, and after `cut` bytes breaks the connection.
fn pieces(bytes: Bytes, cut: usize) -> Body {
    const PIECE: usize = 16 << 10;
    let mut at = 0;
    let frames = std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        if at >= cut {
            at = bytes.len();
            return Some(Err(io::Error::other("told to drop the connection")));
        }
        let end = (at + PIECE).min(bytes.len()).min(cut);
        let piece = bytes.slice(at..end);
        at = end;
        Some(Ok(Frame::data(piece)))
    });
    // A pause before each piece lets the ones before reach the client, also if the connection breaks next.
    let frames = futures_util::StreamExt::then(futures_util::stream::iter(frames), |frame| async move {
        if frame.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        frame
    });
    BodyExt::boxed(StreamBody::new(frames))
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn document(media_type: &str, bytes: Bytes) -> Response<Body> {
    with(Response::new(full(bytes)), CONTENT_TYPE, media_type)
}

fn error(status: StatusCode, message: &str) -> Response<Body> {
    let text = json!({ "errors": [{ "code": "TEST", "message": message }] }).to_string();
    let mut response = document("application/json", text.into());
    *response.status_mut() = status;
    response
}

fn with(mut response: Response<Body>, name: hyper::header::HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
    response
}
