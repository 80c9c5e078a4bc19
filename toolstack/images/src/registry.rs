//! A client of the OCI distribution API, as far as pulling goes: manifests and blobs, anonymous, with bearer tokens.
//!
//! HTTP only to loopback and to registries the operator lists as insecure, and there only if they do not speak TLS;
//! everything else is TLS with the system's roots and, per registry, one more CA ([`tls`]). Nothing a registry says is
//! believed: documents are bounded and hashed, blobs too ([`download`]). Failures that may pass are tried again; which
//! those are is decided in [`Failure`]'s constructors.
//! The client crate at hand would bring a second TLS provider and leave bounds, retries and resuming to us; what
//! remains is little, so this is our own, on `reqwest`.

mod auth;
pub(crate) mod download;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Response, StatusCode, Url};
use tokio::sync::Mutex;

use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::manifest::{self, Blob, Document, Manifest};
use crate::platform::{Platform, choose};
use crate::reference::{Reference, is_loopback};
use crate::source::verify;

/// Tries of one request, without any progress between them.
const ATTEMPTS: u32 = 5;
/// Pause before the second try; it doubles up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A registry that asks for a longer pause than this has its error reported instead.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence in the middle of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 10;

/// How registries are reached.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// `host[:port]` of registries that may be spoken to without TLS.
    pub insecure: Vec<String>,
    /// A directory with `<host[:port]>/ca.crt` for registries whose CA the system does not know.
    pub certs_dir: Option<PathBuf>,
}

impl Access {
    fn allows_http(&self, host: &str) -> bool {
        is_loopback(host) || self.insecure.iter().any(|listed| listed == host)
    }
}

/// A repository of a registry.
pub(crate) struct Client {
    http: reqwest::Client,
    /// `https://host/v2/path/`
    base: String,
    /// For messages.
    registry: String,
    repository: String,
    access: Access,
    token: Mutex<Option<String>>,
}

/// A failed try.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: ErrorKind,
    /// Whether another try might do, and after which pause at least.
    retry: Option<Duration>,
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, retry: None }
    }
}

impl Client {
    pub fn new(name: &Reference, access: &Access) -> Result<Self, ErrorKind> {
        let host = name.host();
        let (tls, has_ca) = tls::config(host, access.certs_dir.as_deref())?;
        let allowed = access.clone();
        let redirect = reqwest::redirect::Policy::custom(move |attempt| {
            let host = authority(attempt.url());
            if attempt.previous().len() > REDIRECTS {
                attempt.error("too many redirects")
            } else if attempt.url().scheme() != "https" && !allowed.allows_http(&host) {
                attempt.error("redirected from TLS to plain HTTP")
            } else {
                attempt.follow()
            }
        });
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("xenpod/", env!("CARGO_PKG_VERSION")));
        if is_loopback(host) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|e| ErrorKind::Internal(chain(&e)))?;
        // Docker Hub's name is not its registry's.
        let server = if host == "docker.io" { "registry-1.docker.io" } else { host };
        // Whoever has given it a CA of its own means TLS.
        let scheme = if access.allows_http(host) && !has_ca { "http" } else { "https" };
        Ok(Self {
            http,
            base: format!("{scheme}://{server}/v2/{}/", name.path()),
            registry: host.to_owned(),
            repository: name.path().to_owned(),
            access: access.clone(),
            token: Mutex::new(None),
        })
    }

    /// A client that has found out whether a registry that may be spoken to without TLS does speak it.
    pub async fn connect(name: &Reference, access: &Access) -> Result<Self, ErrorKind> {
        let (host, access) = (name.clone(), access.clone());
        // Reading the system's certificates takes a while.
        let new = tokio::task::spawn_blocking(move || Self::new(&host, &access)).await;
        let mut client = new.unwrap_or_else(|e| Err(ErrorKind::Internal(e.to_string())))?;
        if let Some(rest) = client.base.strip_prefix("http://") {
            let base = format!("https://{rest}");
            if !client.speaks_http().await && client.speaks_tls(&base).await {
                client.base = base;
            }
        }
        Ok(client)
    }

    /// Servers for TLS answer plain HTTP with 400, or with bytes that are no HTTP. No connection at all tells nothing.
    async fn speaks_http(&self) -> bool {
        match self.http.get(self.version_url(&self.base)).send().await {
            Ok(response) => response.status() != StatusCode::BAD_REQUEST,
            Err(e) => e.is_connect() || e.is_timeout(),
        }
    }

    /// Also if its certificate is not trusted: that is then the error to report.
    async fn speaks_tls(&self, base: &str) -> bool {
        match self.http.get(self.version_url(base)).send().await {
            Ok(_) => true,
            Err(e) => causes(&e).any(|cause| {
                matches!(
                    cause.downcast_ref(),
                    Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
                )
            }),
        }
    }

    fn version_url(&self, base: &str) -> String {
        base.strip_suffix(&format!("{}/", self.repository)).unwrap_or(base).to_owned()
    }

    /// Follows indexes from the name to the manifest for `platform`.
    pub async fn manifest(
        &self,
        name: &Reference,
        platform: &Platform,
        limits: &Limits,
    ) -> Result<Manifest, ErrorKind> {
        let mut selector = name.selector();
        let mut expected = name.digest().map(|digest| (digest.clone(), None));
        for _ in 0..=limits.max_index_depth {
            let (raw, content_type) = self.document(&format!("manifests/{selector}"), limits).await?;
            if let Some((digest, size)) = &expected {
                verify("manifest", &raw, digest, *size)?;
            }
            match manifest::parse(&raw, content_type.as_deref(), limits)? {
                Document::Manifest(manifest) => return Ok(manifest),
                Document::Index(offers) => {
                    let blob = choose(&offers, platform)?;
                    selector = blob.digest.to_string();
                    expected = Some((blob.digest.clone(), Some(blob.size)));
                }
            }
        }
        let limit = limits.max_index_depth as u64;
        Err(ErrorKind::TooLarge { object: format!("manifest {selector}"), what: "the depth of its indexes", limit })
    }

    /// A small blob, verified.
    pub async fn small_blob(&self, what: &str, blob: &Blob, limits: &Limits) -> Result<Vec<u8>, ErrorKind> {
        let limit = limits.max_document_bytes;
        if blob.size > limit {
            return Err(ErrorKind::TooLarge { object: format!("{what} {}", blob.digest), what: "its size", limit });
        }
        let (raw, _) = self.document(&format!("blobs/{}", blob.digest), limits).await?;
        verify(what, &raw, &blob.digest, Some(blob.size))?;
        Ok(raw)
    }

    async fn document(&self, path: &str, limits: &Limits) -> Result<(Vec<u8>, Option<String>), ErrorKind> {
        let mut tries = Tries::default();
        loop {
            match self.try_document(path, limits).await {
                Ok(document) => return Ok(document),
                Err(failure) => tries.again(failure, path).await?,
            }
        }
    }

    async fn try_document(&self, path: &str, limits: &Limits) -> Result<(Vec<u8>, Option<String>), Failure> {
        let mut response = self.get(path, None).await?;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let content_type = content_type.map(|v| v.split(';').next().unwrap_or(v).trim().to_owned());
        let mut raw = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.broken(&e))? {
            if (raw.len() + chunk.len()) as u64 > limits.max_document_bytes {
                let (object, limit) = (path.to_owned(), limits.max_document_bytes);
                return Err(ErrorKind::TooLarge { object, what: "its size", limit }.into());
            }
            raw.extend_from_slice(&chunk);
        }
        Ok((raw, content_type))
    }

    /// One request, with a token if the registry asks for one. The answer is a success.
    async fn get(&self, path: &str, from: Option<u64>) -> Result<Response, Failure> {
        let mut asked = false;
        loop {
            let mut request = self.http.get(format!("{}{path}", self.base)).header(ACCEPT, manifest::ACCEPT);
            if let Some(from) = from {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            if let Some(token) = &*self.token.lock().await {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request.send().await.map_err(|e| self.broken(&e))?;
            if response.status() == StatusCode::UNAUTHORIZED && !asked {
                let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|v| v.to_str().ok());
                let token = self.fetch_token(challenge.unwrap_or_default()).await?;
                *self.token.lock().await = Some(token);
                asked = true;
                continue;
            }
            if response.status().is_success() {
                return Ok(response);
            }
            return Err(self.refused(path, response).await);
        }
    }

    /// What an answer other than success means.
    async fn refused(&self, path: &str, response: Response) -> Failure {
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        let after = after.map_or(Duration::ZERO, Duration::from_secs);
        let words = error_words(response).await;
        let registry = self.registry.clone();
        let answer = format!("{status}{}{words}", if words.is_empty() { "" } else { ": " });
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ErrorKind::Unauthorized { registry, repository: self.repository.clone(), detail: answer }
            }
            StatusCode::NOT_FOUND => ErrorKind::NotFound { place: format!("registry {registry} ({path})") },
            _ => ErrorKind::Registry { registry, answer, request: format!("GET {path}") },
        };
        let passing =
            status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        Failure { kind, retry: (passing && after <= RETRY_AFTER_MAX).then_some(after) }
    }

    /// What a failed connection means. A certificate does not get better by trying again.
    fn broken(&self, error: &reqwest::Error) -> Failure {
        let final_ = error.is_redirect() || error.is_builder() || causes(error).any(|e| e.is::<rustls::Error>());
        let kind = ErrorKind::Unreachable { registry: self.registry.clone(), detail: chain(error) };
        Failure { kind, retry: (!final_).then_some(Duration::ZERO) }
    }
}

/// Counts tries and pauses between them.
#[derive(Default)]
pub(crate) struct Tries {
    failed: u32,
}

impl Tries {
    /// After progress, counting starts anew.
    pub fn progressed(&mut self) {
        self.failed = 0;
    }

    /// Pauses, or gives up with the failure's error.
    pub async fn again(&mut self, failure: Failure, what: &str) -> Result<(), ErrorKind> {
        self.failed += 1;
        let Some(at_least) = failure.retry.filter(|_| self.failed < ATTEMPTS) else {
            return Err(failure.kind);
        };
        let pause = (PAUSE * 2u32.saturating_pow(self.failed - 1)).min(PAUSE_MAX).max(at_least);
        tracing::debug!(error = %failure.kind, ?pause, what, "trying again");
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// The first message of the registry's error document, shortened.
async fn error_words(mut response: Response) -> String {
    let mut raw = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        raw.extend_from_slice(&chunk);
        if raw.len() > 64 << 10 {
            break;
        }
    }
    let value: serde_json::Value = serde_json::from_slice(&raw).unwrap_or_default();
    let error = &value["errors"][0];
    let words = error["message"].as_str().or(error["code"].as_str()).or(value["details"].as_str()).unwrap_or_default();
    words.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// `host[:port]`, as a reference writes it.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let error = next?;
        // An io::Error shows what it wraps only through get_ref.
        let inner = error.downcast_ref::<std::io::Error>().and_then(|e| e.get_ref());
        next = inner.map(|e| e as &(dyn std::error::Error + 'static)).or_else(|| error.source());
        Some(error)
    })
}

/// An error and its causes in one line, without repetitions.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut out = String::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if !out.contains(&text) {
            if !out.is_empty() {
                out.push_str(": ");
            }
            out.push_str(&text);
        }
    }
    out
}

#[cfg(test)]
mod tests;
