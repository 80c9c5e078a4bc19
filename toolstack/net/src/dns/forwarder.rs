//! A DNS forwarder on the gateway addresses, for hosts whose own servers pods cannot reach.
//!
//! It relays: no cache, no names of its own, nothing parsed but the id and the answer bit. How much it does at once is
//! bounded in all and per client, so one pod cannot take name resolution from the others. Only addresses of the pods'
//! subnets are served.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{DnsSettings, PORT};
use crate::config::{DnsConfig, ForwarderUse, Plan};
use crate::error::NetError;
use crate::sysctl;

/// Where queries go.
#[derive(Debug, Clone)]
pub enum Upstreams {
    /// To these, in order.
    Fixed(Vec<SocketAddr>),
    /// To the servers of this resolv.conf, read anew when it changes.
    ResolvConf(PathBuf),
}

/// Bounds of the forwarder's work.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Queries and connections in progress, in all. Default 512.
    pub total: usize,
    /// The same, of one client. Default 64.
    pub per_client: usize,
    /// How long one server may take to answer or to accept. Default 2 s: resolvers give up after 5 s, two servers fit.
    pub server: Duration,
    /// How long a TCP connection may last. Default 30 s.
    pub connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 512, per_client: 64, server: Duration::from_secs(2), connection: Duration::from_secs(30) }
    }
}

/// The running forwarder; it stops when dropped.
#[derive(Debug)]
pub struct Forwarder {
    tasks: Vec<JoinHandle<()>>,
    addresses: Vec<SocketAddr>,
}

/// A DNS header's size (RFC 1035, 4.1.1), and the largest message there is.
const HEADER: usize = 12;
const MAX_MESSAGE: usize = 65535;

impl Forwarder {
    /// The forwarder of a network: on its gateways, for its pods, to the configured servers or else to those of the
    /// host's `resolv_conf`. `None` if the configuration wants none. The network must have been reconciled.
    ///
    /// # Errors
    /// [`NetError::Listen`].
    pub async fn of_network(plan: &Plan, config: &DnsConfig, resolv_conf: &Path) -> Result<Option<Self>, NetError> {
        if config.forwarder == ForwarderUse::Never {
            return Ok(None);
        }
        let mut listen = vec![SocketAddr::new(plan.gateway4.into(), PORT)];
        if sysctl::has_ipv6() {
            listen.push(SocketAddr::new(plan.gateway6.into(), PORT));
        }
        let upstreams = if config.servers.is_empty() {
            Upstreams::ResolvConf(resolv_conf.to_owned())
        } else {
            Upstreams::Fixed(config.servers.iter().map(|ip| SocketAddr::new(*ip, PORT)).collect())
        };
        let clients = vec![plan.v4.into(), plan.v6.into()];
        Self::start(&listen, clients, upstreams, Limits::default()).await.map(Some)
    }

    /// Listen on every address of `listen`, UDP and TCP, for clients in `clients`.
    ///
    /// # Errors
    /// [`NetError::Listen`] names the address.
    pub async fn start(
        listen: &[SocketAddr],
        clients: Vec<IpNet>,
        upstreams: Upstreams,
        limits: Limits,
    ) -> Result<Self, NetError> {
        let mut sockets = Vec::new();
        for &address in listen {
            let failed = |source| NetError::Listen { address, source };
            let udp = UdpSocket::bind(address).await.map_err(failed)?;
            // The same port for both, also when the system chose it.
            let tcp = TcpListener::bind(udp.local_addr().map_err(failed)?).await.map_err(failed)?;
            sockets.push((udp, tcp));
        }
        let addresses: Vec<_> = sockets.iter().filter_map(|(udp, _)| udp.local_addr().ok()).collect();
        let relay = Arc::new(Relay {
            clients,
            own: addresses.clone(),
            upstreams: Mutex::new(Source::new(upstreams)),
            limits,
            total: Arc::new(Semaphore::new(limits.total)),
            busy: Mutex::default(),
        });
        let mut tasks = Vec::new();
        for (udp, tcp) in sockets {
            tasks.push(tokio::spawn(serve_udp(Arc::clone(&relay), Arc::new(udp))));
            tasks.push(tokio::spawn(serve_tcp(Arc::clone(&relay), tcp)));
        }
        Ok(Self { tasks, addresses })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        // What is in progress ends by its own time limits.
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Relay {
    clients: Vec<IpNet>,
    own: Vec<SocketAddr>,
    upstreams: Mutex<Source>,
    limits: Limits,
    total: Arc<Semaphore>,
    busy: Mutex<HashMap<IpAddr, usize>>,
}

/// The right to one query or connection; given back when dropped.
struct Turn {
    relay: Arc<Relay>,
    client: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Relay {
    /// A turn for `client`; none if it is not to be served, or too much is going on.
    fn turn(self: &Arc<Self>, client: IpAddr) -> Option<Turn> {
        if !self.clients.iter().any(|net| net.contains(&client)) {
            return None;
        }
        let permit = Arc::clone(&self.total).try_acquire_owned().ok()?;
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let count = busy.entry(client).or_default();
        if *count >= self.limits.per_client {
            return None;
        }
        *count += 1;
        Some(Turn { relay: Arc::clone(self), client, _permit: permit })
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let mut source = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        // A resolv.conf that names us would send a query round for ever.
        source.current().iter().filter(|server| !self.own.contains(server)).copied().collect()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut busy = self.relay.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = busy.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.client);
            }
        }
    }
}

/// The servers, and how to tell that they changed.
struct Source {
    from: Upstreams,
    stamp: Option<(SystemTime, u64)>,
    servers: Vec<SocketAddr>,
}

impl Source {
    fn new(from: Upstreams) -> Self {
        let servers = match &from {
            Upstreams::Fixed(servers) => servers.clone(),
            Upstreams::ResolvConf(_) => Vec::new(),
        };
        Self { from, stamp: None, servers }
    }

    fn current(&mut self) -> &[SocketAddr] {
        if let Upstreams::ResolvConf(path) = &self.from {
            let stamp = std::fs::metadata(path).ok().and_then(|meta| Some((meta.modified().ok()?, meta.len())));
            if self.servers.is_empty() || stamp != self.stamp {
                match DnsSettings::from_host(path) {
                    Ok(settings) => (self.servers, self.stamp) = (settings.servers, stamp),
                    Err(error) => tracing::warn!(%error, "keeping the DNS servers known before"),
                }
            }
        }
        &self.servers
    }
}

async fn serve_udp(relay: Arc<Relay>, socket: Arc<UdpSocket>) {
    let mut buf = vec![0; MAX_MESSAGE];
    loop {
        // Errors here are of earlier sends (ICMP unreachable), not of this socket.
        let Ok((len, client)) = socket.recv_from(&mut buf).await else { continue };
        let query = &buf[..len];
        if !is_message(query, false) {
            continue;
        }
        let Some(turn) = relay.turn(client.ip()) else { continue };
        let (socket, query) = (Arc::clone(&socket), query.to_vec());
        tokio::spawn(async move {
            let answer = ask(&turn.relay, &query).await;
            if let Err(error) = socket.send_to(&answer, client).await {
                tracing::debug!(%client, %error, "DNS answer not sent");
            }
        });
    }
}

/// The answer of the first server that gives one; else that the servers failed.
async fn ask(relay: &Relay, query: &[u8]) -> Vec<u8> {
    for server in relay.servers() {
        match timeout(relay.limits.server, ask_one(server, query)).await {
            Ok(Ok(answer)) => return answer,
            Ok(Err(error)) => tracing::debug!(%server, %error, "DNS server"),
            Err(_) => tracing::debug!(%server, "DNS server did not answer"),
        }
    }
    failure(query)
}

async fn ask_one(server: SocketAddr, query: &[u8]) -> io::Result<Vec<u8>> {
    // A socket of its own for each query: the kernel picks a random port, and only the server can answer to it.
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buf = vec![0; MAX_MESSAGE];
    loop {
        let len = socket.recv(&mut buf).await?;
        if is_message(&buf[..len], true) && buf[..2] == query[..2] {
            buf.truncate(len);
            return Ok(buf);
        }
    }
}

async fn serve_tcp(relay: Arc<Relay>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                let Some(turn) = relay.turn(client.ip()) else { continue };
                tokio::spawn(async move {
                    let limits = turn.relay.limits;
                    if timeout(limits.connection, relay_tcp(&turn.relay, stream)).await.is_err() {
                        tracing::debug!(%client, "DNS connection took too long");
                    }
                });
            }
            // Out of descriptors or memory: those come back.
            Err(error) => {
                tracing::warn!(%error, "DNS forwarder: accept");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn relay_tcp(relay: &Relay, mut client: TcpStream) {
    for server in relay.servers() {
        match timeout(relay.limits.server, TcpStream::connect(server)).await {
            Ok(Ok(mut upstream)) => {
                if let Err(error) = tokio::io::copy_bidirectional(&mut client, &mut upstream).await {
                    tracing::debug!(%server, %error, "DNS over TCP");
                }
                return;
            }
            Ok(Err(error)) => tracing::debug!(%server, %error, "DNS over TCP"),
            Err(_) => tracing::debug!(%server, "DNS server did not accept"),
        }
    }
}

/// Whether this can be a DNS message of that direction: long enough, and the QR bit right.
fn is_message(message: &[u8], answer: bool) -> bool {
    message.len() >= HEADER && (message[2] & 0x80 != 0) == answer
}

/// The query, turned into an answer that says the servers failed (SERVFAIL, RFC 1035, 4.1.1).
fn failure(query: &[u8]) -> Vec<u8> {
    let mut out = query.to_vec();
    out[2] |= 0x80; // QR; opcode and RD as asked
    out[3] = 0x80 | 2; // RA, RCODE 2
    out
}

#[cfg(test)]
mod tests;
