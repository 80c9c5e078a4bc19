//! A xenstored in memory, for tests: it speaks the wire protocol, keeps permissions, transactions, watches and quotas as the
//! real ones do, and fails where it is told to.
//!
//! - [`Store`]: the daemon. [`Store::client`] connects to it; [`Store::blocking`] does without a runtime.
//! - [`Dialect`]: which of the two daemons it plays, where they differ.
//! - [`Fault`]: what goes wrong, and when.
//! - [`Store::play_backends`]: blkback and netback, as far as their states go.

mod backends;
mod fault;
mod nodes;
mod requests;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::io::DuplexStream;
use tokio::sync::Notify;

pub use fault::{Act, Fault};
pub use streams::BlockingStream;

use super::op::Op;
use super::path;
use super::perms::Perms;
use super::wire::{self, Kind};
use crate::ids::Domid;
use nodes::Nodes;

/// Which daemon is played, where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A listing of any size in one message; no DIRECTORY_PART; removing below a missing parent is an error too;
    /// quotas are EQUOTA.
    Oxenstored,
    /// A listing past 4096 bytes is E2BIG, and comes in parts; quotas are ENOSPC.
    C,
}

/// What a guest may have (the daemons' defaults).
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Nodes it owns.
    pub nodes: usize,
    /// Bytes of one value.
    pub value: usize,
    /// Watches.
    pub watches: usize,
    /// Transactions at the same time.
    pub transactions: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Quotas { nodes: 1000, value: 2048, watches: 128, transactions: 10 }
    }
}

/// The daemon. Clones are the same one.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    /// Something was put into some connection's `out`.
    output: Condvar,
}

struct State {
    dialect: Dialect,
    quotas: Quotas,
    nodes: Nodes,
    introduced: BTreeMap<Domid, (u64, u32)>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    next_transaction: u32,
    faults: Vec<Fault>,
    requests: u64,
    available: bool,
    /// `Some` when blkback and netback are played: the backends that are stuck.
    backends: Option<BTreeSet<String>>,
}

struct Connection {
    domid: Domid,
    watches: Vec<Watching>,
    transactions: BTreeMap<u32, nodes::Transaction>,
    out: Vec<u8>,
    more: Arc<Notify>,
    closed: bool,
}

struct Watching {
    /// As the client gave it.
    path: String,
    /// Absolute.
    absolute: String,
    token: String,
}

impl Store {
    /// An empty store, as after boot.
    pub fn new(dialect: Dialect) -> Store {
        Store {
            inner: Arc::new(Inner {
                state: Mutex::new(State {
                    dialect,
                    quotas: Quotas::default(),
                    nodes: Nodes::after_boot(),
                    introduced: BTreeMap::new(),
                    connections: BTreeMap::new(),
                    next_connection: 1,
                    next_transaction: 1,
                    faults: Vec::new(),
                    requests: 0,
                    available: true,
                    backends: None,
                }),
                output: Condvar::new(),
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody who waits for output to look.
    fn wake(&self, state: &State) {
        self.inner.output.notify_all();
        state.connections.values().filter(|connection| !connection.out.is_empty() || connection.closed).for_each(
            |connection| {
                connection.more.notify_one();
            },
        );
    }

    /// A client of dom0 that connects again when its connection breaks.
    ///
    /// # Errors
    /// None, while the store is [available](Self::set_available).
    #[cfg(feature = "toolstack")]
    pub async fn client(&self) -> super::Result<super::Client> {
        let store = self.clone();
        super::Client::with_connector(move || store.connect(Domid::DOM0)).await
    }

    /// A connection of the domain `domid`, as a stream. To be called within a tokio runtime.
    ///
    /// # Errors
    /// `ConnectionRefused` when the store is not [available](Self::set_available).
    pub fn connect(&self, domid: Domid) -> io::Result<DuplexStream> {
        self.connect_sized(domid, 64 << 10)
    }

    /// As [`connect`](Self::connect), with room for `size` bytes on the way in each direction.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_sized(&self, domid: Domid, size: usize) -> io::Result<DuplexStream> {
        let (id, more) = self.open(domid)?;
        let (ours, theirs) = tokio::io::duplex(size);
        tokio::spawn(streams::pump(self.clone(), id, more, theirs));
        Ok(ours)
    }

    /// A connection of the domain `domid` for [`blocking::Client`](super::blocking::Client); needs no runtime.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn blocking(&self, domid: Domid) -> io::Result<BlockingStream> {
        let (id, _) = self.open(domid)?;
        Ok(BlockingStream::new(self.clone(), id))
    }

    fn open(&self, domid: Domid) -> io::Result<(u64, Arc<Notify>)> {
        let mut state = self.lock();
        if !state.available {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let id = state.next_connection;
        state.next_connection += 1;
        let more = Arc::new(Notify::new());
        let connection = Connection {
            domid,
            watches: Vec::new(),
            transactions: BTreeMap::new(),
            out: Vec::new(),
            more: more.clone(),
            closed: false,
        };
        state.connections.insert(id, connection);
        Ok((id, more))
    }

    /// Limits what guests may have.
    pub fn set_quotas(&self, quotas: Quotas) {
        self.lock().quotas = quotas;
    }

    /// Plans a fault. Faults are looked at in the order they were planned; the first that applies acts.
    pub fn plan(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Forgets all planned faults.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Whether new connections are accepted. Those that are open stay.
    pub fn set_available(&self, available: bool) {
        self.lock().available = available;
    }

    /// Breaks every connection.
    pub fn disconnect_all(&self) {
        let mut state = self.lock();
        state.connections.values_mut().for_each(|connection| connection.closed = true);
        self.wake(&state);
    }

    /// How many requests came in so far.
    pub fn requests(&self) -> u64 {
        self.lock().requests
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.lock().connections.len()
    }

    /// How many watches are set, over all connections.
    pub fn watches(&self) -> usize {
        self.lock().connections.values().map(|connection| connection.watches.len()).sum()
    }

    /// How many transactions are open, over all connections.
    pub fn transactions(&self) -> usize {
        self.lock().connections.values().map(|connection| connection.transactions.len()).sum()
    }

    /// A node's value.
    pub fn value(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().nodes.get(path).map(|node| node.value.clone())
    }

    /// A node's value as text.
    pub fn text(&self, path: &str) -> Option<String> {
        self.value(path).map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// A node's permissions.
    pub fn perms(&self, path: &str) -> Option<Perms> {
        self.lock().nodes.get(path).map(|node| node.perms.clone())
    }

    /// Every node: its path, its value and its permissions, as `xenstore-ls -fp` shows them. Two dumps are equal when
    /// nothing was left behind.
    pub fn dump(&self) -> Vec<String> {
        let state = self.lock();
        let line = |(path, node): (&String, &nodes::Node)| {
            format!("{path} = \"{}\"   ({})", node.value.escape_ascii(), node.perms)
        };
        state.nodes.iter().map(line).collect()
    }

    /// Carries out a change as the domain `domid` would, watches and all.
    ///
    /// # Errors
    /// What that domain would have been told.
    pub fn apply_as(&self, domid: Domid, op: &Op) -> super::Result<()> {
        let mut client = super::blocking::Client::new(
            self.blocking(domid).map_err(|error| super::Error::Unavailable { tried: error.to_string() })?,
        );
        client.apply(op)
    }

    /// The domains that were introduced, with the frame and port of their rings.
    pub fn introduced(&self) -> BTreeMap<Domid, (u64, u32)> {
        self.lock().introduced.clone()
    }

    /// A domain shut down or crashed: `@releaseDomain` fires.
    pub fn domain_shut_down(&self) {
        let mut state = self.lock();
        state.fire(path::RELEASE_DOMAIN, None);
        self.wake(&state);
    }

    /// A domain is gone: what it owned goes with it (both daemons do so), and `@releaseDomain` fires.
    pub fn domain_gone(&self, domid: Domid) {
        let mut state = self.lock();
        state.introduced.remove(&domid);
        state.nodes.forget_domain(domid);
        state.fire(path::RELEASE_DOMAIN, None);
        self.wake(&state);
    }

    /// From now on blkback and netback are played: their states follow the frontends'.
    pub fn play_backends(&self) {
        let mut state = self.lock();
        state.backends.get_or_insert_default();
        state.run_backends();
        self.wake(&state);
    }

    /// The backend at `path` stays in the state it has, whatever happens, until it is [released](Self::release_backend).
    pub fn hold_backend(&self, path: &str) {
        self.lock().backends.get_or_insert_default().insert(path.to_owned());
    }

    /// The backend at `path` goes on.
    pub fn release_backend(&self, path: &str) {
        let mut state = self.lock();
        if let Some(held) = &mut state.backends {
            held.remove(path);
        }
        state.run_backends();
        self.wake(&state);
    }

    /// One request of a connection; what it answers is in the connection's `out`. Returns how long the connection stalls.
    fn request(&self, id: u64, message: &wire::Message<'_>) -> Option<std::time::Duration> {
        let mut state = self.lock();
        let stall = state.request(id, message);
        self.wake(&state);
        stall
    }
}

impl State {
    /// Puts a watch event for `changed` to everybody who watches it and may read it. `gone` is the node that was there,
    /// for one that was removed with everything below.
    fn fire(&mut self, changed: &str, gone: Option<&Nodes>) {
        for connection in self.connections.values_mut() {
            for watch in &connection.watches {
                let hit = if path::is_within(changed, &watch.absolute) {
                    changed
                } else if gone.is_some_and(|gone| gone.get(&watch.absolute).is_some())
                    && path::is_within(&watch.absolute, changed)
                {
                    &watch.absolute
                } else {
                    continue;
                };
                let special = changed.starts_with('@');
                let seen = gone.unwrap_or(&self.nodes);
                if connection.domid != Domid::DOM0 && (special || !seen.may_see(hit, connection.domid)) {
                    continue;
                }
                // A watch on a relative path is told relative paths.
                let prefix = watch.absolute.len() - watch.path.len();
                let shown = &hit[if watch.path.starts_with('/') || special { 0 } else { prefix }..];
                let parts: [&[u8]; 4] = [shown.as_bytes(), b"\0", watch.token.as_bytes(), b"\0"];
                // Both strings came in one message before.
                let _ = wire::encode(&mut connection.out, Kind::WatchEvent, 0, 0, &parts);
            }
        }
    }
}

#[cfg(test)]
#[path = "fake_tests.rs"]
mod tests;
