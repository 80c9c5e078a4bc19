//! Processes that were started for the daemon, and their pipes.

use std::collections::VecDeque;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;
use xenpod_protocol::message::Stdio;
use xenpod_protocol::{CloseReason, RequestToken, Session};

use crate::poll::{Poll, Source};

/// A process of a container: its first, or one of an Exec.
#[derive(Debug)]
pub struct Task {
    /// The container's name.
    pub container: String,
    /// The exec's id; `None` is the container's first process.
    pub exec: Option<String>,
    /// In our pid namespace.
    pub pid: Pid,
    /// Names it safely.
    pub pidfd: OwnedFd,
    /// Its streams.
    pub stdio: Stdio,
    /// Tells how the start goes; `None` when that is known.
    pub status: Option<OwnedFd>,
    /// To be answered when the start is known.
    pub reply: Option<RequestToken>,
    /// It was not started after all.
    pub failed: bool,
    /// Exit code and signal, once it has ended.
    pub ended: Option<(u32, u32)>,
    /// CLOCK_REALTIME.
    pub started_ns: u64,
    /// CLOCK_REALTIME.
    pub finished_ns: u64,
    /// What it writes.
    pub outputs: [Option<Output>; 2],
    /// Our end of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// The way into a process: bytes that wait, and the pipe (or terminal) once there is one.
#[derive(Debug)]
pub struct Input {
    stream: u32,
    /// The pipe, and the task it leads to.
    to: Option<(OwnedFd, u32)>,
    waiting: VecDeque<u8>,
    /// Offset in the stream of what the process has been given.
    given: u64,
    ended: bool,
    terminal: bool,
}

/// What became of an [`Input`].
#[derive(Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Open,
    /// All was delivered, or nobody reads.
    Over,
}

/// What a terminal takes for the end of a file, at the beginning of a line.
const END_OF_FILE: u8 = 4;

impl Input {
    /// For the stream `stream`, to a process that does not exist yet.
    pub fn new(stream: u32) -> Self {
        Self { stream, to: None, waiting: VecDeque::new(), given: 0, ended: false, terminal: false }
    }

    /// The process is there.
    pub fn lead_to(&mut self, fd: OwnedFd, slot: u32, terminal: bool) {
        self.to = Some((fd, slot));
        self.terminal = terminal;
        if self.ended && terminal {
            self.waiting.push_back(END_OF_FILE);
        }
    }

    /// Bytes came for it.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
    }

    /// No more will come. A terminal gets an end-of-file character, as if typed.
    pub fn end(&mut self) {
        if self.terminal && !self.ended {
            self.waiting.push_back(END_OF_FILE);
        }
        self.ended = true;
    }

    /// Writes what can be written; acknowledges it.
    pub fn pump(&mut self, session: &mut Session, poll: &Poll) -> Flow {
        let Some((fd, slot)) = &self.to else { return Flow::Open };
        while !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match rustix::io::write(fd, front) {
                Ok(count) => {
                    self.waiting.drain(..count);
                    self.given += count as u64;
                }
                Err(Errno::AGAIN) => {
                    self.acknowledge(session);
                    return if poll.add_write(fd, Source::Stdin(*slot)).is_ok() { Flow::Open } else { Flow::Over };
                }
                Err(Errno::INTR) => {}
                // The process has closed it.
                Err(_) => return Flow::Over,
            }
        }
        poll.remove(fd);
        self.waiting = VecDeque::new();
        self.acknowledge(session);
        if self.ended { Flow::Over } else { Flow::Open }
    }

    fn acknowledge(&self, session: &mut Session) {
        // The end-of-file character is not of the stream. One that is over already needs nothing.
        if session.ack(self.stream, self.given).is_err() && self.terminal && self.given > 0 {
            let _ = session.ack(self.stream, self.given - 1);
        }
    }

    /// Closes it. What the daemon still sends is not wanted.
    pub fn close(self, session: &mut Session, poll: &Poll) {
        if let Some((fd, _)) = &self.to {
            poll.remove(fd);
        }
        // Not there any more when it ended properly.
        let _ = session.discard(self.stream);
    }
}

/// The pipe (or terminal) out of a process.
#[derive(Debug)]
pub struct Output {
    fd: OwnedFd,
    stream: u32,
    number: usize,
    /// Nobody wants it: read and dropped, so that the process goes on.
    discard: bool,
}

/// Most that is read at once from one process.
const CHUNK: usize = 8192;
/// Most that is dropped in one go.
const DISCARD_ROUNDS: usize = 16;

impl Output {
    /// For the stream `stream`; `number` is 0 for standard output, 1 for standard error.
    pub fn new(fd: OwnedFd, stream: u32, number: usize) -> Self {
        Self { fd, stream, number, discard: false }
    }

    /// The stream.
    pub fn stream(&self) -> u32 {
        self.stream
    }

    /// The daemon does not want it.
    pub fn discard(&mut self) {
        self.discard = true;
    }

    /// Reads while there is something and room for it. `last`: nobody will write any more, so "nothing now" is the end.
    pub fn pump(&mut self, session: &mut Session, poll: &Poll, slot: u32, last: bool) -> Flow {
        let mut buffer = [0; CHUNK];
        for _ in 0..DISCARD_ROUNDS {
            let room = if self.discard { CHUNK } else { session.room(self.stream).min(CHUNK) };
            if room == 0 {
                // Waited for again when the daemon has made room.
                poll.remove(&self.fd);
                return Flow::Open;
            }
            match rustix::io::read(&self.fd, &mut buffer[..room]) {
                Ok(0) => return self.over(session, poll),
                Ok(_) if self.discard => {}
                Ok(count) => {
                    if session.write(self.stream, &buffer[..count]).is_err() {
                        self.discard = true;
                    }
                }
                Err(Errno::AGAIN) if !last => {
                    let _ = poll.add_read(&self.fd, Source::Output(slot, self.number));
                    return Flow::Open;
                }
                Err(Errno::INTR) => {}
                // EIO: the last user of a terminal has closed it.
                Err(_) => return self.over(session, poll),
            }
        }
        let _ = poll.add_read(&self.fd, Source::Output(slot, self.number));
        Flow::Open
    }

    fn over(&self, session: &mut Session, poll: &Poll) -> Flow {
        poll.remove(&self.fd);
        // Not there when it was stopped and finished.
        let _ = session.close(self.stream, CloseReason::End);
        Flow::Over
    }

    /// The process was never there.
    pub fn abandon(&self, session: &mut Session, poll: &Poll) {
        poll.remove(self.fd.as_fd());
        let _ = session.close(self.stream, CloseReason::Failed);
    }
}

#[cfg(test)]
mod tests;
