//! What a probe or a hook does, once: a command in the container, a request to the pod, a connection, a wait.
//!
//! Commands run through the guest. Requests and connections are made from here to the pod's address, which only its own domain
//! can answer at; nothing that comes back is kept.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};
use xenpod_api::spec::{Action, HttpGet};
use xenpod_protocol::message::{self, request::Op};

use super::exit_meaning;
use crate::guest::Guest;
use crate::tls;

/// The most redirects that are followed, as Go's HTTP client has it, and so Kubernetes.
const MAX_REDIRECTS: usize = 10;
/// How long a command that took too long may take to die before it is forgotten.
const DYING: Duration = Duration::from_secs(5);

/// Commands that run for probes and hooks, by their id in the guest.
#[derive(Debug)]
pub struct Commands {
    life: u64,
    next: AtomicU64,
    waiting: Mutex<HashMap<String, oneshot::Sender<message::Exit>>>,
}

impl Default for Commands {
    fn default() -> Self {
        // The guest may still know those of an earlier daemon.
        Self { life: crate::clock::now_usec(), next: AtomicU64::new(1), waiting: Mutex::default() }
    }
}

impl Commands {
    fn begin(&self) -> (String, oneshot::Receiver<message::Exit>) {
        let id = format!("probe-{:x}-{}", self.life, self.next.fetch_add(1, Ordering::Relaxed));
        let (ended, exit) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), ended);
        (id, exit)
    }

    /// One has ended. False: it is none of these.
    pub fn ended(&self, id: &str, exit: message::Exit) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        waiting.map(|waiting| waiting.send(exit)).is_some()
    }

    fn forget(&self, id: &str) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// Where it is done.
#[derive(Clone, Debug)]
pub struct Target {
    /// The pod's guest.
    pub guest: Guest,
    /// The pod's commands.
    pub commands: Arc<Commands>,
    /// The container's name in the guest.
    pub key: String,
    /// A process of the container; what it runs is replaced.
    pub process: message::Process,
    /// The pod's address.
    pub address: Option<IpAddr>,
}

impl Target {
    /// Does it.
    ///
    /// # Errors
    /// What went wrong: a sentence without an end.
    pub async fn act(&self, action: &Action, within: Duration) -> Result<(), String> {
        let late = || format!("it took longer than {} s", within.as_secs());
        match action {
            Action::Exec(command) => self.command(command, within).await,
            Action::Http(get) => timeout(within, self.get(get)).await.unwrap_or_else(|_| Err(late())),
            Action::Tcp(port) => {
                let address = SocketAddr::new(self.address()?, *port);
                match timeout(within, tokio::net::TcpStream::connect(address)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(format!("port {port}: {error}")),
                    Err(_) => Err(late()),
                }
            }
            Action::Sleep(seconds) => {
                let whole = timeout(within, tokio::time::sleep(Duration::from_secs((*seconds).into()))).await;
                whole.map_err(|_| late())
            }
        }
    }

    fn address(&self) -> Result<IpAddr, String> {
        self.address.ok_or_else(|| "the pod has no address".into())
    }

    async fn command(&self, command: &[String], within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let (id, mut exit) = self.commands.begin();
        let op = Op::Exec(message::Exec {
            id: id.clone(),
            container: self.key.clone(),
            process: Some(message::Process { argv: command.to_vec(), tty: None, ..self.process.clone() }),
            stdio: Some(message::Stdio::default()),
        });
        if let Err(error) = self.guest.send("to run a probe", op).started(within).await {
            self.commands.forget(&id);
            return Err(error.to_string());
        }
        match timeout_at(deadline, &mut exit).await {
            Ok(Ok(exit)) => match exit_meaning(&exit) {
                (0, ..) => Ok(()),
                (code, ..) => Err(format!("{:?} ended with {code}", command.join(" "))),
            },
            Ok(Err(_)) => Err("the pod ended".into()),
            Err(_) => {
                let kill = Op::SignalExec(message::SignalExec { id: id.clone(), signal: 9 });
                drop(self.guest.send("to end a probe", kill));
                // The next one does not begin beside it.
                let _ = timeout(DYING, exit).await;
                self.commands.forget(&id);
                Err(format!("{:?} took longer than {} s", command.join(" "), within.as_secs()))
            }
        }
    }

    async fn get(&self, get: &HttpGet) -> Result<(), String> {
        let host = match self.address()? {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("[{v6}]"),
        };
        let scheme = if get.https { "https" } else { "http" };
        let url = format!("{scheme}://{host}:{}{}", get.port, get.path);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let mut given = HeaderMap::new();
        for (name, value) in &get.headers {
            let name = HeaderName::try_from(name.as_str()).map_err(|e| format!("header {name}: {e}"))?;
            let value = HeaderValue::try_from(value.as_str()).map_err(|e| format!("header {name}: {e}"))?;
            given.append(name, value);
        }
        for name in given.keys() {
            headers.remove(name);
        }
        headers.extend(given);
        let sent = client()?.get(&url).headers(headers).send().await;
        // The answer's body is not read: its status says it all.
        let status = sent.map_err(|e| format!("{url}: {}", innermost(&e)))?.status();
        if (200..400).contains(&status.as_u16()) { Ok(()) } else { Err(format!("{url} answered {}", status.as_u16())) }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// One client for all: made at the first use, without a pool, so that each probe tries to connect.
fn client() -> Result<reqwest::Client, String> {
    static CLIENT: Mutex<Option<reqwest::Client>> = Mutex::new(None);
    let mut made = CLIENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = &*made {
        return Ok(client.clone());
    }
    // A redirect is followed on the same host; one that leads elsewhere is an answer as good as another.
    let policy = redirect::Policy::custom(|attempt| {
        let first = attempt.previous().first().and_then(|u| u.host_str().map(str::to_owned));
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("more than 10 redirects")
        } else if first.as_deref() == attempt.url().host_str() {
            attempt.follow()
        } else {
            attempt.stop()
        }
    });
    let built = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::trusting()?)
        .user_agent(concat!("xenpod-probe/", env!("CARGO_PKG_VERSION")))
        .redirect(policy)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .build();
    let client = built.map_err(|e| e.to_string())?;
    *made = Some(client.clone());
    Ok(client)
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
