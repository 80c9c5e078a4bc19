//! The lab's hand in dom0: a service that runs commands for the lab, over a virtio-serial port (see `wire`).
//!
//! main: opens the port, and for ever: Message -> act.   session: one running command, its pipes or its terminal.
//! The port outlives the lab: a machine is saved with nobody at the other end and loaded by another lab.

#[path = "../wire.rs"]
#[allow(dead_code, reason = "the agent uses one half of the protocol")]
mod wire;

mod session;

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_settime};
use wire::Message;

use session::Session;

/// The end of the port that answers: shared by all the threads of a session.
#[derive(Clone)]
pub struct Port(Arc<Mutex<File>>);

impl Port {
    /// Sends a message whole. With nobody at the other end it is dropped: the next lab did not ask for it.
    pub fn send(&self, message: &Message) {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = message.write(&mut *file) {
            eprintln!("not sent: {error}");
        }
    }
}

/// Reads from the port; while no lab is connected the kernel reports an end of file, which is none.
struct Patient(File);

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer)? {
                0 if !buffer.is_empty() => std::thread::sleep(Duration::from_millis(50)),
                count => return Ok(count),
            }
        }
    }
}

fn main() -> io::Result<()> {
    let path = format!("/dev/virtio-ports/{}", wire::PORT_NAME);
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let port = Port(Arc::new(Mutex::new(file.try_clone()?)));
    let mut input = Patient(file);
    let mut session: Option<Session> = None;
    loop {
        match Message::read(&mut input) {
            Ok(message) => act(message, &port, &mut session),
            // Another lab is at the other end, or this one died within a frame: begin anew.
            Err(error) if error.kind() == ErrorKind::InvalidData => eprintln!("{error}"),
            Err(error) => return Err(error),
        }
    }
}

fn act(message: Message, port: &Port, session: &mut Option<Session>) {
    match message {
        Message::Ping(number) => port.send(&Message::Pong(number)),
        Message::Clock(nanoseconds) => set_clock(nanoseconds),
        Message::Start(start) => match Session::start(start, port.clone()) {
            Ok(started) => *session = Some(started),
            Err(error) => port.send(&Message::Refused(error.to_string())),
        },
        Message::Stdin(bytes) => session.iter().for_each(|session| session.stdin(bytes.clone())),
        Message::Resize(rows, columns) => session.iter().for_each(|session| session.resize(rows, columns)),
        Message::Kill => session.iter().for_each(Session::kill),
        other => eprintln!("not for an agent: {other:?}"),
    }
}

fn set_clock(nanoseconds: u64) {
    let time = Timespec { tv_sec: (nanoseconds / 1_000_000_000) as i64, tv_nsec: (nanoseconds % 1_000_000_000) as i64 };
    if let Err(error) = clock_settime(ClockId::Realtime, time) {
        eprintln!("the clock was not set: {error}");
    }
}
