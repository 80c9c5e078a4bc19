//! The daemon's xenstore client: one connection, any number of requests in flight.
//!
//! ```text
//!   callers --encode, write--> socket --> xenstored
//!      ^                                     |
//!      +-- by request id -- connection task <+     watch events --by token--> one queue per watch
//! ```
//!
//! A caller encodes its requests and writes them itself, in one `write` however many they are; only what the socket does
//! not take at once is left to the connection's task. That task reads, and hands each reply to the call that waits for it:
//! a batch is woken once, by its last reply. A watch's events go to a queue of its own, which forgets duplicates and
//! collapses into one [`WatchEvent::Resync`] when it is full, so that nobody can stall the replies.
//!
//! When the connection breaks, every call in flight fails with [`Error::Disconnected`]; the task connects again, sets all
//! watches again, and tells each watcher to look at everything.

mod connection;
mod devices;
mod transaction;
mod transport;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

pub use transaction::Transaction;
pub use watch::{Watch, WatchEvent};

use super::error::{Code, Error, Result};
use super::op::Op;
use super::path;
use super::perms::Perms;
use super::wire::{self, Kind, NO_TRANSACTION};
use crate::ids::Domid;
use connection::Connection;

/// How often a listing in parts is started again because the directory changed meanwhile. C xenstored's generation
/// changes with any child made or removed, so this is met only when domains come and go faster than one can be listed.
const LIST_ATTEMPTS: u32 = 50;

/// A client of the store. Clones share one connection; it closes when the last of them, and of its watches, is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    /// Connects to this host's xenstored: its socket, or else the kernel's device (xenstored in a domain of its own).
    ///
    /// # Errors
    /// [`Error::Unavailable`], saying what was tried.
    pub async fn connect() -> Result<Client> {
        Self::start(transport::Connector::host()).await
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`Error::Unavailable`], naming the path.
    pub async fn connect_to(path: impl AsRef<Path>) -> Result<Client> {
        Self::start(transport::Connector::socket(path.as_ref())).await
    }

    /// A client on a stream that is connected already. It is not connected again when it breaks.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Client {
        Client { connection: Connection::start(Box::new(stream), None) }
    }

    /// A client that gets its streams from `connect`, now and whenever one breaks.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the first attempt fails.
    pub async fn with_connector<S, F>(connect: F) -> Result<Client>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Fn() -> std::io::Result<S> + Send + Sync + 'static,
    {
        Self::start(transport::Connector::custom(move || Ok(Box::new(connect()?) as transport::BoxStream))).await
    }

    async fn start(connector: transport::Connector) -> Result<Client> {
        let stream = connector.connect().await.map_err(|tried| Error::Unavailable { tried })?;
        Ok(Client { connection: Connection::start(stream, Some(connector)) })
    }

    /// A node's value; `None` when there is no such node.
    ///
    /// # Errors
    /// The daemon's refusal, or [`Error::Disconnected`]; so for every call below.
    pub async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        self.read_in(NO_TRANSACTION, path).await
    }

    /// A node's value as text; `None` when there is no such node.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`Error::BadValue`] when it is not UTF-8.
    pub async fn read_text(&self, path: &str) -> Result<Option<String>> {
        let Some(value) = self.read(path).await? else { return Ok(None) };
        match String::from_utf8(value) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Error::BadValue { path: path.to_owned(), reason: "it is not UTF-8".to_owned() }),
        }
    }

    /// The values of several nodes, asked for at once.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_all(&self, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        self.read_all_in(NO_TRANSACTION, paths).await
    }

    async fn read_in(&self, transaction: u32, path: &str) -> Result<Option<Vec<u8>>> {
        let submitted = self.submit_read(transaction, path)?;
        optional(submitted.value(Kind::Read, path).await)
    }

    async fn read_all_in(&self, transaction: u32, paths: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        let submitted = paths.iter().map(|path| self.submit_read(transaction, path)).collect::<Result<Vec<_>>>()?;
        let mut values = Vec::with_capacity(paths.len());
        for (path, submitted) in paths.iter().zip(submitted) {
            values.push(optional(submitted.value(Kind::Read, path).await)?);
        }
        Ok(values)
    }

    fn submit_read(&self, transaction: u32, path: &str) -> Result<connection::Submitted> {
        path::check(path)?;
        self.connection.submit_one(Kind::Read, transaction, &[path.as_bytes(), b"\0"])
    }

    /// The names of a node's children, however many; empty when there is no such node.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn list(&self, path: &str) -> Result<Vec<String>> {
        self.list_in(NO_TRANSACTION, path).await
    }

    async fn list_in(&self, transaction: u32, path: &str) -> Result<Vec<String>> {
        path::check(path)?;
        match self.call(Kind::Directory, transaction, path, &[path.as_bytes(), b"\0"]).await {
            Ok(payload) => Ok(wire::strings(&payload)),
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) if error.code() == Some(&Code::TooBig) => self.list_in_parts(transaction, path).await,
            Err(error) => Err(error),
        }
    }

    /// C xenstored's way past 4096 bytes. Each part says which generation of the list it is of; when that changes between
    /// two parts, they do not fit together.
    async fn list_in_parts(&self, transaction: u32, path: &str) -> Result<Vec<String>> {
        'whole: for _ in 0..LIST_ATTEMPTS {
            let mut names = Vec::new();
            let mut first: Option<Vec<u8>> = None;
            loop {
                let offset = names.len().to_string();
                let parts: [&[u8]; 4] = [path.as_bytes(), b"\0", offset.as_bytes(), b"\0"];
                let payload = match self.call(Kind::DirectoryPart, transaction, path, &parts).await {
                    Err(error) if error.is_not_found() => return Ok(Vec::new()),
                    other => other?,
                };
                let (generation, part, last) = wire::directory_part(&payload)?;
                if first.get_or_insert_with(|| generation.to_vec()) != generation {
                    continue 'whole;
                }
                names.extend_from_slice(part);
                if last {
                    return Ok(wire::strings(&names));
                }
                if names.len() > wire::REPLY_MAX {
                    return Err(Error::Protocol(format!("the list of {path} has no end")));
                }
            }
        }
        Err(Error::Conflict { attempts: LIST_ATTEMPTS })
    }

    /// Gives a node a value; it and its missing parents are made.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.apply(&[Op::Write { path: path.to_owned(), value: value.as_ref().to_vec() }]).await
    }

    /// Makes a node; leaves one that is there alone.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn mkdir(&self, path: &str) -> Result<()> {
        self.apply(&[Op::mkdir(path)]).await
    }

    /// Removes a node and everything below it. One that is not there is no error.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn rm(&self, path: &str) -> Result<()> {
        self.apply(&[Op::rm(path)]).await
    }

    /// Sets a node's permissions.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn set_perms(&self, path: &str, perms: &Perms) -> Result<()> {
        self.apply(&[Op::set_perms(path, perms.clone())]).await
    }

    /// A node's permissions; `None` when there is no such node.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn get_perms(&self, path: &str) -> Result<Option<Perms>> {
        path::check(path)?;
        match self.call(Kind::GetPerms, NO_TRANSACTION, path, &[path.as_bytes(), b"\0"]).await {
            Ok(payload) => Perms::from_wire(&payload)
                .map(Some)
                .map_err(|error| Error::BadValue { path: path.to_owned(), reason: error.to_string() }),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Carries out changes in order, all sent at once, each on its own: others may see the store between two of them.
    ///
    /// # Errors
    /// The first one refused; those around it may have been carried out.
    pub async fn apply(&self, ops: &[Op]) -> Result<()> {
        self.connection.submit(ops, NO_TRANSACTION)?.finish(ops).await
    }

    /// Tells xenstored of a domain: the page with its ring, and the event channel bound to it.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn introduce(&self, domid: Domid, gfn: u64, port: u32) -> Result<()> {
        let payload = format!("{domid}\0{gfn}\0{port}\0");
        self.call(Kind::Introduce, NO_TRANSACTION, &domid.to_string(), &[payload.as_bytes()]).await.map(drop)
    }

    /// Has xenstored forget a domain. Not needed for one that is destroyed: xenstored notices.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn release(&self, domid: Domid) -> Result<()> {
        self.domain_call(Kind::Release, domid).await.map(drop)
    }

    /// The directory of a domain, whether there is such a domain or not.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn domain_path(&self, domid: Domid) -> Result<String> {
        Ok(wire::text(&self.domain_call(Kind::GetDomainPath, domid).await?))
    }

    /// Whether a domain has been introduced.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn is_introduced(&self, domid: Domid) -> Result<bool> {
        Ok(wire::text(&self.domain_call(Kind::IsDomainIntroduced, domid).await?) == "T")
    }

    /// Lets `domid` act on the nodes of `target` as if it were that domain.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn set_target(&self, domid: Domid, target: Domid) -> Result<()> {
        let payload = format!("{domid}\0{target}\0");
        self.call(Kind::SetTarget, NO_TRANSACTION, &domid.to_string(), &[payload.as_bytes()]).await.map(drop)
    }

    /// Drops every watch of this connection at the daemon, those of this client's [`Watch`]es too.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn reset_watches(&self) -> Result<()> {
        self.call(Kind::ResetWatches, NO_TRANSACTION, "all", &[b"\0"]).await.map(drop)
    }

    /// Asks to be told of changes at `path` and below. The first event comes at once.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn watch(&self, path: &str) -> Result<Watch> {
        Watch::set(self.clone(), path).await
    }

    /// Waits until the value of a node (`None`: no such node) is what the caller wants, and returns it.
    ///
    /// # Errors
    /// [`Error::Timeout`] with the last value; it says that `wanted` was waited for.
    pub async fn wait_for(
        &self,
        path: &str,
        wanted: &str,
        timeout: Duration,
        mut is_wanted: impl FnMut(Option<&[u8]>) -> bool,
    ) -> Result<Option<Vec<u8>>> {
        let started = Instant::now();
        let mut last: Option<Vec<u8>> = None;
        let wait = async {
            let mut watch = self.watch(path).await?;
            loop {
                watch.next().await.ok_or(Error::Disconnected)?;
                match self.read(path).await {
                    Err(Error::Disconnected) => {}
                    Err(error) => return Err(error),
                    Ok(value) if is_wanted(value.as_deref()) => return Ok(value),
                    Ok(value) => last = value,
                }
            }
        };
        match tokio::time::timeout(timeout, wait).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Timeout {
                path: path.to_owned(),
                found: last.map_or_else(|| "not there".to_owned(), |value| value.escape_ascii().to_string()),
                wanted: wanted.to_owned(),
                waited_ms: started.elapsed().as_millis() as u64,
            }),
        }
    }

    async fn domain_call(&self, kind: Kind, domid: Domid) -> Result<Vec<u8>> {
        let payload = format!("{domid}\0");
        self.call(kind, NO_TRANSACTION, &domid.to_string(), &[payload.as_bytes()]).await
    }

    async fn call(&self, kind: Kind, transaction: u32, object: &str, parts: &[&[u8]]) -> Result<Vec<u8>> {
        self.connection.submit_one(kind, transaction, parts)?.value(kind, object).await
    }
}

/// A node that is not there is an answer, not an error.
fn optional<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[cfg(feature = "fake")]
#[path = "client_tests.rs"]
mod tests;
