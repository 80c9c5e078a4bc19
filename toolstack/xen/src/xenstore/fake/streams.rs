//! Connections: bytes in, bytes out.

use std::io::{self, Read, Write};
use std::sync::{Arc, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;

use super::Store;
use crate::xenstore::wire;

/// Serves one connection until either end closes it.
pub async fn pump(store: Store, id: u64, more: Arc<Notify>, stream: DuplexStream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let input = async {
        let mut buffer = Vec::new();
        while reader.read_buf(&mut buffer).await.is_ok_and(|len| len > 0) {
            let mut at = 0;
            loop {
                let (len, stall) = match wire::decode(&buffer[at..], wire::PAYLOAD_MAX) {
                    Ok(Some(message)) => (message.wire_len(), store.request(id, &message)),
                    Ok(None) => break,
                    Err(_) => return,
                };
                at += len;
                if let Some(stall) = stall {
                    tokio::time::sleep(stall).await;
                }
            }
            buffer.drain(..at);
        }
    };
    let output = async {
        loop {
            let (out, closed) = store.take_output(id);
            if !out.is_empty() && writer.write_all(&out).await.is_err() {
                return;
            }
            if closed {
                return;
            }
            if out.is_empty() {
                more.notified().await;
            }
        }
    };
    tokio::select! {
        () = input => {}
        () = output => {}
    }
    store.forget(id);
}

impl Store {
    /// What waits to be sent, and whether the connection ends after it.
    fn take_output(&self, id: u64) -> (Vec<u8>, bool) {
        match self.lock().connections.get_mut(&id) {
            Some(connection) => (std::mem::take(&mut connection.out), connection.closed),
            None => (Vec::new(), true),
        }
    }

    fn forget(&self, id: u64) {
        self.lock().connections.remove(&id);
    }
}

/// A connection for a caller without a runtime. A read waits for output.
pub struct BlockingStream {
    store: Store,
    id: u64,
    input: Vec<u8>,
}

impl BlockingStream {
    pub(super) fn new(store: Store, id: u64) -> Self {
        BlockingStream { store, id, input: Vec::new() }
    }
}

impl Write for BlockingStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.input.extend_from_slice(bytes);
        loop {
            let (len, stall) = match wire::decode(&self.input, wire::PAYLOAD_MAX) {
                Ok(Some(message)) => (message.wire_len(), self.store.request(self.id, &message)),
                Ok(None) => return Ok(bytes.len()),
                Err(_) => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            self.input.drain(..len);
            if let Some(stall) = stall {
                std::thread::sleep(stall);
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for BlockingStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.store.lock();
        loop {
            let Some(connection) = state.connections.get_mut(&self.id) else { return Ok(0) };
            if !connection.out.is_empty() {
                let len = buffer.len().min(connection.out.len());
                buffer[..len].copy_from_slice(&connection.out[..len]);
                connection.out.drain(..len);
                return Ok(len);
            }
            if connection.closed {
                return Ok(0);
            }
            state = self.store.inner.output.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for BlockingStream {
    fn drop(&mut self) {
        self.store.forget(self.id);
    }
}
