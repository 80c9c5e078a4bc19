//! The lab's end of the agent's port: runs one command at a time and watches that the machine is alive meanwhile.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{LabError, Result};
use crate::wire::{Message, Start};

/// How often an idle connection is checked.
const TICK: Duration = Duration::from_millis(500);

/// After so much silence the agent is asked, and after `SILENT` it is given up. A dom0 under heavy load is slow, not dead.
const ASK_AFTER: Duration = Duration::from_secs(5);
const SILENT: Duration = Duration::from_secs(60);

/// Where a command's output goes.
pub trait Sink {
    /// A piece of the standard output.
    fn stdout(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// A piece of the standard error.
    fn stderr(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// Passes output on as it comes.
pub struct Through;

impl Sink for Through {
    fn stdout(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::stdout().write_all(bytes)?;
        io::stdout().flush()
    }
    fn stderr(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::stderr().write_all(bytes)
    }
}

/// Keeps output.
#[derive(Default)]
pub struct Kept {
    /// The standard output.
    pub out: Vec<u8>,
    /// The standard error.
    pub err: Vec<u8>,
}

impl Sink for Kept {
    fn stdout(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.extend(bytes);
        Ok(())
    }
    fn stderr(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.err.extend(bytes);
        Ok(())
    }
}

/// A connection to the agent.
pub struct Channel {
    writer: UnixStream,
    incoming: Receiver<io::Result<Message>>,
    heard: Instant,
    asked: Instant,
    pings: u64,
}

/// Another handle, with which a terminal's keys and size are sent while a command runs.
pub struct Keyboard(UnixStream);

impl Keyboard {
    /// Sends a message of its kind. When the machine is gone the command's own wait says so.
    pub fn send(&mut self, message: &Message) -> io::Result<()> {
        message.write(&mut self.0)
    }
}

impl Channel {
    /// Takes over the connected port.
    pub fn new(stream: UnixStream) -> io::Result<Channel> {
        let mut reader = stream.try_clone()?;
        // Bounded: when the lab's own output is not taken, dom0's writers wait as on a pipe.
        let (sender, incoming): (SyncSender<io::Result<Message>>, _) = sync_channel(64);
        std::thread::spawn(move || {
            loop {
                let message = Message::read(&mut reader);
                let over = message.is_err();
                if sender.send(message).is_err() || over {
                    break;
                }
            }
        });
        let now = Instant::now();
        Ok(Channel { writer: stream, incoming, heard: now, asked: now, pings: 0 })
    }

    /// For the keys of a terminal.
    pub fn keyboard(&self) -> io::Result<Keyboard> {
        self.writer.try_clone().map(Keyboard)
    }

    /// Waits until the agent answers.
    pub fn wait(&mut self, limit: Duration, mut alive: impl FnMut() -> Result<()>) -> Result<()> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            self.pings += 1;
            self.send(&Message::Ping(self.pings))?;
            match self.incoming.recv_timeout(Duration::from_secs(1)) {
                Ok(Ok(Message::Pong(_))) => return Ok(()),
                // What an earlier lab left in the port.
                Ok(Ok(_)) | Err(RecvTimeoutError::Timeout) => alive()?,
                Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => return lost(&mut alive),
            }
        }
        Err(LabError::Silent(limit.as_secs()))
    }

    /// Gives dom0 the host's time.
    pub fn set_clock(&mut self) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.send(&Message::Clock(now.as_nanos() as u64))
    }

    /// Runs a command; returns its exit status. `started` is called once the command is on its way, `alive` is asked now
    /// and then whether the machine still stands.
    pub fn run(
        &mut self,
        start: Start,
        sink: &mut dyn Sink,
        limit: Option<Duration>,
        started: impl FnOnce(),
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<i32> {
        let end = limit.map(|limit| Instant::now() + limit);
        self.send(&Message::Start(start))?;
        started();
        self.heard = Instant::now();
        loop {
            if end.is_some_and(|end| Instant::now() >= end) {
                self.kill()?;
                return Err(LabError::Timeout(limit.unwrap_or_default().as_secs()));
            }
            let patience = end.map_or(TICK, |end| TICK.min(end.saturating_duration_since(Instant::now())));
            match self.incoming.recv_timeout(patience) {
                Ok(Ok(message)) => {
                    match message {
                        Message::Stdout(bytes) => sink.stdout(&bytes).map_err(unwritten)?,
                        Message::Stderr(bytes) => sink.stderr(&bytes).map_err(unwritten)?,
                        Message::Exit(status) => return Ok(status),
                        Message::Refused(text) => return Err(LabError::Refused(text)),
                        _ => {}
                    }
                    self.heard = Instant::now();
                }
                Err(RecvTimeoutError::Timeout) => {
                    alive()?;
                    self.check_silence()?;
                }
                Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => return lost(&mut alive),
            }
        }
    }

    /// Kills the command and takes what it still had to say, so that the next one hears only its own.
    fn kill(&mut self) -> Result<()> {
        self.send(&Message::Kill)?;
        let end = Instant::now() + ASK_AFTER;
        while let Ok(Ok(message)) = self.incoming.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if matches!(message, Message::Exit(_) | Message::Refused(_)) {
                break;
            }
        }
        Ok(())
    }

    fn check_silence(&mut self) -> Result<()> {
        let silence = self.heard.elapsed();
        if silence > SILENT {
            return Err(LabError::Silent(silence.as_secs()));
        }
        if silence > ASK_AFTER && self.asked.elapsed() > ASK_AFTER {
            self.asked = Instant::now();
            self.pings += 1;
            self.send(&Message::Ping(self.pings))?;
        }
        Ok(())
    }

    fn send(&mut self, message: &Message) -> Result<()> {
        message.write(&mut self.writer).map_err(|error| LabError::Qemu(format!("the agent's port: {error}")))
    }
}

/// The port is closed: QEMU is going. A moment later its exit status is there to tell.
fn lost<T>(alive: &mut impl FnMut() -> Result<()>) -> Result<T> {
    for _ in 0..20 {
        alive()?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(LabError::Qemu("it closed the agent's port".into()))
}

fn unwritten(error: io::Error) -> LabError {
    LabError::File { what: "cannot write", path: "the command's output".into(), source: error }
}
