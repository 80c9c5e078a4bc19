//! A xenstore client for one caller at a time, over anything that reads and writes.
//!
//! The guest's, on `/dev/xen/xenbus`: it needs no runtime, no thread and no feature. Each request is one `write`, as that
//! device wants it, and is answered before the next is sent. Watch events that come in between are kept.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

use super::error::{Error, Result};
use super::op::Op;
use super::path;
use super::perms::Perms;
use super::wire::{self, Kind};

/// The device through which a domain's own kernel carries its processes' requests.
pub const DEVICE: &str = "/dev/xen/xenbus";
/// Its older name.
const DEVICE_OLD: &str = "/proc/xen/xenbus";
/// What xenstored holds of events for one connection that does not read them is bounded; so is what we hold.
const EVENTS_MAX: usize = 1024;

/// A client over the stream `S`.
#[derive(Debug)]
pub struct Client<S> {
    stream: S,
    next: u32,
    buffer: Vec<u8>,
    events: VecDeque<(String, String)>,
}

impl Client<File> {
    /// Opens the kernel's device.
    ///
    /// # Errors
    /// [`Error::Unavailable`], naming the device.
    pub fn open() -> Result<Client<File>> {
        let open = |device| OpenOptions::new().read(true).write(true).open(device);
        match open(DEVICE).or_else(|_| open(DEVICE_OLD)) {
            Ok(device) => Ok(Client::new(device)),
            Err(error) => Err(Error::Unavailable { tried: format!("{DEVICE}: {error}") }),
        }
    }
}

impl<S: Read + Write> Client<S> {
    /// A client that owns `stream`, which nobody has used before.
    pub fn new(stream: S) -> Self {
        Client { stream, next: 1, buffer: Vec::new(), events: VecDeque::new() }
    }

    /// The stream, to poll it for watch events.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// A node's value.
    ///
    /// # Errors
    /// The daemon's refusal, or a broken connection; so for every call below.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>> {
        path::check(path)?;
        self.call(Kind::Read, path, &[path.as_bytes(), b"\0"])
    }

    /// The names of a node's children.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn list(&mut self, path: &str) -> Result<Vec<String>> {
        path::check(path)?;
        Ok(wire::strings(&self.call(Kind::Directory, path, &[path.as_bytes(), b"\0"])?))
    }

    /// Gives a node a value.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&mut self, path: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.apply(&Op::Write { path: path.to_owned(), value: value.as_ref().to_vec() })
    }

    /// Removes a node and what is below it. One that is not there is no error.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn rm(&mut self, path: &str) -> Result<()> {
        self.apply(&Op::rm(path))
    }

    /// Sets a node's permissions.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn set_perms(&mut self, path: &str, perms: &Perms) -> Result<()> {
        self.apply(&Op::set_perms(path, perms.clone()))
    }

    /// A node's permissions.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn get_perms(&mut self, path: &str) -> Result<Perms> {
        path::check(path)?;
        let payload = self.call(Kind::GetPerms, path, &[path.as_bytes(), b"\0"])?;
        Perms::from_wire(&payload).map_err(|error| Error::BadValue { path: path.to_owned(), reason: error.to_string() })
    }

    /// Carries out one change.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn apply(&mut self, op: &Op) -> Result<()> {
        let mut message = Vec::new();
        let request = self.take_id();
        op.encode(&mut message, request, wire::NO_TRANSACTION)?;
        match self.exchange(&message, request, op.kind(), op.path()) {
            Err(error) if error.is_not_found() && matches!(op, Op::Rm { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Asks to be told of changes at `path` and below, under a token of the caller's choice. The first event comes at once.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn watch(&mut self, path: &str, token: &str) -> Result<()> {
        path::check_watch(path)?;
        self.call(Kind::Watch, path, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"]).map(drop)
    }

    /// Takes a watch back.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn unwatch(&mut self, path: &str, token: &str) -> Result<()> {
        path::check_watch(path)?;
        self.call(Kind::Unwatch, path, &[path.as_bytes(), b"\0", token.as_bytes(), b"\0"]).map(drop)
    }

    /// Waits for the next watch event: the path that changed, and the watch's token.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn wait(&mut self) -> Result<(String, String)> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let (header, _) = self.receive()?;
            // Events are stored by receive(); a reply now answers nothing we asked.
            if header.kind != Kind::WatchEvent as u32 {
                return Err(Error::Protocol(format!("a reply to request {}, which nobody made", header.request)));
            }
        }
    }

    fn take_id(&mut self) -> u32 {
        let id = self.next;
        self.next = self.next.wrapping_add(1).max(1);
        id
    }

    fn call(&mut self, kind: Kind, object: &str, parts: &[&[u8]]) -> Result<Vec<u8>> {
        let request = self.take_id();
        let mut message = Vec::new();
        wire::encode(&mut message, kind, request, wire::NO_TRANSACTION, parts)?;
        self.exchange(&message, request, kind, object)
    }

    fn exchange(&mut self, message: &[u8], request: u32, kind: Kind, object: &str) -> Result<Vec<u8>> {
        self.stream.write_all(message).and_then(|()| self.stream.flush()).map_err(|_| Error::Disconnected)?;
        loop {
            let (header, payload) = self.receive()?;
            if header.kind == Kind::WatchEvent as u32 {
                continue;
            }
            if header.request != request {
                return Err(Error::Protocol(format!("a reply to request {}, not to {request}", header.request)));
            }
            let message = wire::Message { header, payload: &payload };
            return match wire::reply(&message, kind)? {
                Ok(payload) => Ok(payload.to_vec()),
                Err(code) => Err(Error::Refused { operation: kind.name(), object: object.to_owned(), code }),
            };
        }
    }

    /// The next message. A watch event is stored as well.
    fn receive(&mut self) -> Result<(wire::Header, Vec<u8>)> {
        loop {
            if let Some(message) = wire::decode(&self.buffer, wire::REPLY_MAX)? {
                let (header, payload, len) = (message.header, message.payload.to_vec(), message.wire_len());
                self.buffer.drain(..len);
                if header.kind == Kind::WatchEvent as u32 {
                    let (path, token) = wire::watch_event(&payload)?;
                    if self.events.len() < EVENTS_MAX {
                        self.events.push_back((path.to_owned(), token.to_owned()));
                    }
                }
                return Ok((header, payload));
            }
            let mut chunk = [0; wire::HEADER_LEN + wire::PAYLOAD_MAX];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(Error::Disconnected),
                Ok(len) => self.buffer.extend_from_slice(&chunk[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Error::Disconnected),
            }
        }
    }
}

#[cfg(test)]
#[cfg(feature = "fake")]
#[path = "blocking_tests.rs"]
mod tests;
