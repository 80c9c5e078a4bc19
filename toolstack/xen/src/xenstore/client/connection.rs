//! The connection's state and its task: requests out, replies and events in, again after a break.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;

use super::transport::{BoxStream, Connector};
use super::watch::Queue;
use crate::xenstore::error::{Code, Error, Result};
use crate::xenstore::op::Op;
use crate::xenstore::wire::{self, Kind, Message, NO_TRANSACTION};

/// The first and the longest pause between two attempts to connect again.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// One read takes up to this much: some two thousand acknowledgements.
const READ_BUFFER: usize = 64 << 10;

/// What a connection's callers and its task share.
#[derive(Debug)]
pub struct Connection {
    state: Mutex<State>,
    /// There is something to write that the socket did not take at once.
    backlog: Arc<Notify>,
    task: Mutex<Option<AbortHandle>>,
}

struct State {
    /// `None` while there is no connection.
    writer: Option<WriteHalf<BoxStream>>,
    out: Vec<u8>,
    sent: usize,
    next_request: u32,
    /// By the first request id of each.
    pending: BTreeMap<u32, Pending>,
    next_token: u64,
    watches: HashMap<String, (String, Arc<Queue>)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("connected", &self.writer.is_some())
            .field("pending", &self.pending.len())
            .field("watches", &self.watches.len())
            .finish_non_exhaustive()
    }
}

/// A run of requests with consecutive ids that is answered as one.
struct Pending {
    kinds: Vec<Kind>,
    left: usize,
    refused: Option<(usize, Code)>,
    payload: Vec<u8>,
    /// `None` when nobody waits.
    done: Option<oneshot::Sender<Result<Answer>>>,
}

/// What became of a run of requests.
struct Answer {
    /// The first that was refused.
    refused: Option<(usize, Code)>,
    /// The payload of the last reply.
    payload: Vec<u8>,
}

/// Requests that were sent.
pub struct Submitted(Option<oneshot::Receiver<Result<Answer>>>);

impl Submitted {
    async fn answer(self) -> Result<Answer> {
        match self.0 {
            Some(receiver) => receiver.await.unwrap_or(Err(Error::Disconnected)),
            None => Ok(Answer { refused: None, payload: Vec::new() }),
        }
    }

    /// The outcome of a run of changes.
    pub async fn finish(self, ops: &[Op]) -> Result<()> {
        match self.answer().await?.refused {
            None => Ok(()),
            Some((index, code)) => {
                let (operation, object) =
                    ops.get(index).map_or(("write", String::new()), |op| (op.kind().name(), op.path().to_owned()));
                Err(Error::Refused { operation, object, code })
            }
        }
    }

    /// The payload of one request's reply.
    pub async fn value(self, kind: Kind, object: &str) -> Result<Vec<u8>> {
        let answer = self.answer().await?;
        match answer.refused {
            None => Ok(answer.payload),
            Some((_, code)) => Err(Error::Refused { operation: kind.name(), object: object.to_owned(), code }),
        }
    }
}

impl Connection {
    /// Takes a stream over and starts its task. Without a connector, the end of the stream is the end.
    pub fn start(stream: BoxStream, connector: Option<Connector>) -> Arc<Connection> {
        let (reader, writer) = tokio::io::split(stream);
        let connection = Arc::new(Connection {
            state: Mutex::new(State {
                writer: Some(writer),
                out: Vec::new(),
                sent: 0,
                next_request: 1,
                pending: BTreeMap::new(),
                next_token: 0,
                watches: HashMap::new(),
            }),
            backlog: Arc::new(Notify::new()),
            task: Mutex::new(None),
        });
        // The task holds no client alive: it ends when the last one is dropped.
        let task = tokio::spawn(run(Arc::downgrade(&connection), connection.backlog.clone(), reader, connector));
        *connection.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
        connection
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half way through a change; and a daemon is not lost for one that did.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends changes, all in one go.
    pub fn submit(&self, ops: &[Op], transaction: u32) -> Result<Submitted> {
        if ops.is_empty() {
            return Ok(Submitted(None));
        }
        self.send(ops.iter().map(Op::kind).collect(), true, |out, first| {
            ops.iter().zip(0..).try_for_each(|(op, index)| op.encode(out, first + index, transaction))
        })
    }

    /// Sends one request.
    pub fn submit_one(&self, kind: Kind, transaction: u32, parts: &[&[u8]]) -> Result<Submitted> {
        self.send(vec![kind], true, |out, id| wire::encode(out, kind, id, transaction, parts))
    }

    /// Sends one request whose outcome nobody will ask for.
    pub fn submit_and_forget(&self, kind: Kind, transaction: u32, parts: &[&[u8]]) {
        // Without a connection there is nothing left at the daemon that the request could be about.
        let _ = self.send(vec![kind], false, |out, id| wire::encode(out, kind, id, transaction, parts));
    }

    fn send(
        &self,
        kinds: Vec<Kind>,
        awaited: bool,
        encode: impl FnOnce(&mut Vec<u8>, u32) -> Result<()>,
    ) -> Result<Submitted> {
        let mut state = self.lock();
        if state.writer.is_none() {
            return Err(Error::Disconnected);
        }
        let first = state.take_ids(kinds.len() as u32);
        let before = state.out.len();
        if let Err(error) = encode(&mut state.out, first) {
            state.out.truncate(before);
            return Err(error);
        }
        let (done, receiver) = if awaited { Some(oneshot::channel()) } else { None }.unzip();
        let left = kinds.len();
        state.pending.insert(first, Pending { kinds, left, refused: None, payload: Vec::new(), done });
        // Most of the time the socket takes it all. What is left, or an error, is the task's.
        let flushed = state.flush(&mut Context::from_waker(Waker::noop()));
        if !matches!(flushed, Poll::Ready(Ok(()))) {
            self.backlog.notify_one();
        }
        Ok(Submitted(receiver))
    }

    /// A new watch's token, and its request on the way.
    pub fn add_watch(&self, path: &str, queue: Arc<Queue>) -> Result<(String, Submitted)> {
        let token = {
            let mut state = self.lock();
            state.next_token += 1;
            let token = format!("xenpod{}", state.next_token);
            // Before the request: the first event may be here before the reply is looked at.
            state.watches.insert(token.clone(), (path.to_owned(), queue));
            token
        };
        match self.submit_one(Kind::Watch, NO_TRANSACTION, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"]) {
            Ok(submitted) => Ok((token, submitted)),
            Err(error) => {
                self.lock().watches.remove(&token);
                Err(error)
            }
        }
    }

    /// Forgets a watch; tells the daemon so when it knows of it.
    pub fn remove_watch(&self, token: &str, at_daemon: bool) {
        let removed = self.lock().watches.remove(token);
        if let (Some((path, _)), true) = (removed, at_daemon) {
            self.submit_and_forget(Kind::Unwatch, NO_TRANSACTION, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"]);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl State {
    fn take_ids(&mut self, count: u32) -> u32 {
        // A run of ids must not wrap in its middle: it is looked up by its first.
        if self.next_request.checked_add(count).is_none() {
            self.next_request = 1;
        }
        let first = self.next_request;
        self.next_request += count;
        first
    }

    /// Writes what the socket takes; pending when it does not take all. An error shows itself to the reader too.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writer) = &mut self.writer else { return Poll::Ready(Ok(())) };
        while self.sent < self.out.len() {
            match ready!(Pin::new(&mut *writer).poll_write(cx, &self.out[self.sent..])) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(len) => self.sent += len,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Files one message.
    fn deliver(&mut self, message: &Message<'_>) -> Result<()> {
        if message.header.kind == Kind::WatchEvent as u32 {
            let (path, token) = wire::watch_event(message.payload)?;
            // An unknown token is a watch that was dropped while its event was on the way.
            if let Some((_, queue)) = self.watches.get(token) {
                queue.changed(path);
            }
            return Ok(());
        }
        let id = message.header.request;
        let unasked = || Error::Protocol(format!("a reply to request {id}, which is not in flight"));
        let (&first, pending) = self.pending.range_mut(..=id).next_back().ok_or_else(unasked)?;
        let index = (id - first) as usize;
        let kind = *pending.kinds.get(index).ok_or_else(unasked)?;
        match wire::reply(message, kind)? {
            Ok(payload) if pending.left == 1 => pending.payload = payload.to_vec(),
            Ok(_) => {}
            // Removing what is not there is what was asked for; the daemons do not agree on whether it is an error.
            Err(Code::NotFound) if kind == Kind::Rm => {}
            Err(code) => {
                pending.refused.get_or_insert((index, code));
            }
        }
        pending.left -= 1;
        if pending.left == 0
            && let Some(Pending { refused, payload, done: Some(done), .. }) = self.pending.remove(&first)
        {
            // The caller may have given up waiting.
            let _ = done.send(Ok(Answer { refused, payload }));
        }
        Ok(())
    }

    /// The connection is gone: nothing in flight will be answered.
    fn disconnect(&mut self) {
        self.writer = None;
        self.out.clear();
        self.sent = 0;
        for (_, pending) in std::mem::take(&mut self.pending) {
            if let Some(done) = pending.done {
                let _ = done.send(Err(Error::Disconnected));
            }
        }
    }

    /// A new connection: sets every watch again.
    fn reconnect(&mut self, writer: WriteHalf<BoxStream>) {
        self.writer = Some(writer);
        let watches: Vec<_> =
            self.watches.iter().map(|(token, (path, queue))| (token.clone(), path.clone(), queue.clone())).collect();
        for (token, path, queue) in watches {
            let first = self.take_ids(1);
            let parts: [&[u8]; 4] = [path.as_bytes(), b"\0", token.as_bytes(), b"\0"];
            // It fitted the first time.
            if wire::encode(&mut self.out, Kind::Watch, first, NO_TRANSACTION, &parts).is_ok() {
                let pending =
                    Pending { kinds: vec![Kind::Watch], left: 1, refused: None, payload: Vec::new(), done: None };
                self.pending.insert(first, pending);
            }
            queue.resync();
        }
    }
}

/// The task. It holds the connection only while it has something to do with it.
async fn run(
    connection: Weak<Connection>,
    backlog: Arc<Notify>,
    mut reader: ReadHalf<BoxStream>,
    connector: Option<Connector>,
) {
    loop {
        let broken = serve(&connection, &backlog, &mut reader).await;
        let Some(alive) = connection.upgrade() else { return };
        alive.lock().disconnect();
        let Some(connector) = &connector else {
            alive.lock().watches.values().for_each(|(_, queue)| queue.close());
            return;
        };
        drop(alive);
        tracing::warn!(reason = %broken, "lost the connection to xenstored, connecting again");
        let mut pause = RECONNECT.0;
        let stream = loop {
            tokio::time::sleep(pause).await;
            match connector.connect().await {
                Ok(stream) => break stream,
                Err(_) => pause = (pause * 2).min(RECONNECT.1),
            }
        };
        let Some(alive) = connection.upgrade() else { return };
        let (new_reader, writer) = tokio::io::split(stream);
        reader = new_reader;
        // serve() begins with writing what this leaves to be written.
        alive.lock().reconnect(writer);
        tracing::info!("connected to xenstored again");
    }
}

/// Reads and files until the connection breaks; returns why.
async fn serve(connection: &Weak<Connection>, backlog: &Notify, reader: &mut ReadHalf<BoxStream>) -> Error {
    let mut buffer = Vec::with_capacity(READ_BUFFER);
    let mut flushing = std::pin::pin!(flush_backlog(connection, backlog));
    loop {
        tokio::select! {
            biased;
            outcome = reader.read_buf(&mut buffer) => match outcome {
                Ok(0) | Err(_) => return Error::Disconnected,
                Ok(_) => if let Err(error) = file(connection, &mut buffer) { return error },
            },
            error = &mut flushing => return error,
        }
    }
}

/// Files every whole message of the buffer.
fn file(connection: &Weak<Connection>, buffer: &mut Vec<u8>) -> Result<()> {
    let Some(connection) = connection.upgrade() else { return Err(Error::Disconnected) };
    let mut state = connection.lock();
    let mut at = 0;
    while let Some(message) = wire::decode(&buffer[at..], wire::REPLY_MAX)? {
        at += message.wire_len();
        state.deliver(&message)?;
    }
    buffer.drain(..at);
    Ok(())
}

/// Writes the backlog, now and whenever there is one, until that fails.
async fn flush_backlog(connection: &Weak<Connection>, backlog: &Notify) -> Error {
    loop {
        let flushed = std::future::poll_fn(|cx| match connection.upgrade() {
            Some(connection) => connection.lock().flush(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        });
        if flushed.await.is_err() {
            return Error::Disconnected;
        }
        backlog.notified().await;
    }
}
