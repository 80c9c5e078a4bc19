//! What the event loop waits for, and how an event is told from another.

use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

/// Who is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A signal.
    Signals,
    /// The vchan.
    Channel,
    /// A device came or went.
    Devices,
    /// Something in the container of this number was killed for memory.
    Memory(u32),
    /// A process told how its start went.
    Status(u32),
    /// A process reads its standard input.
    Stdin(u32),
    /// A process wrote; 0 is its standard output, 1 its standard error.
    Output(u32, usize),
    /// A connection was made, or could not be.
    Connection(u32),
}

impl Source {
    fn encode(self) -> u64 {
        let (kind, number) = match self {
            Self::Signals => (0, 0),
            Self::Channel => (1, 0),
            Self::Devices => (2, 0),
            Self::Memory(number) => (3, number),
            Self::Status(slot) => (4, slot),
            Self::Stdin(slot) => (5, slot),
            Self::Output(slot, 0) => (6, slot),
            Self::Output(slot, _) => (7, slot),
            Self::Connection(slot) => (8, slot),
        };
        kind << 32 | u64::from(number)
    }

    fn decode(data: u64) -> Self {
        let number = data as u32;
        match data >> 32 {
            0 => Self::Signals,
            1 => Self::Channel,
            2 => Self::Devices,
            3 => Self::Memory(number),
            4 => Self::Status(number),
            5 => Self::Stdin(number),
            6 => Self::Output(number, 0),
            7 => Self::Output(number, 1),
            _ => Self::Connection(number),
        }
    }
}

/// The set of descriptors.
#[derive(Debug)]
pub struct Poll(OwnedFd);

impl Poll {
    /// An empty one.
    pub fn new() -> rustix::io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Waits until it is readable (or the other end is closed).
    pub fn add_read(&self, fd: impl AsFd, source: Source) -> rustix::io::Result<()> {
        self.add(fd, source, EventFlags::IN)
    }

    /// Waits until it is writable.
    pub fn add_write(&self, fd: impl AsFd, source: Source) -> rustix::io::Result<()> {
        self.add(fd, source, EventFlags::OUT)
    }

    /// Waits for what kernfs files tell by "priority".
    pub fn add_priority(&self, fd: impl AsFd, source: Source) -> rustix::io::Result<()> {
        self.add(fd, source, EventFlags::PRI)
    }

    fn add(&self, fd: impl AsFd, source: Source, flags: EventFlags) -> rustix::io::Result<()> {
        match epoll::add(&self.0, fd, EventData::new_u64(source.encode()), flags) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    /// Waits for it no more.
    pub fn remove(&self, fd: impl AsFd) {
        // One that is not in the set is fine.
        let _ = epoll::delete(&self.0, fd);
    }

    /// Waits, for at most `timeout` milliseconds when given.
    pub fn wait(&self, timeout: Option<u64>) -> rustix::io::Result<Vec<Source>> {
        let timeout =
            timeout.map(|ms| Timespec { tv_sec: (ms / 1000) as i64, tv_nsec: (ms % 1000 * 1_000_000) as i64 });
        let mut events: Vec<Event> = Vec::with_capacity(16);
        match epoll::wait(&self.0, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(events.iter().map(|event| Source::decode({ event.data }.u64())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_the_kernel() {
        for source in [
            Source::Signals,
            Source::Channel,
            Source::Devices,
            Source::Memory(7),
            Source::Status(1),
            Source::Stdin(u32::MAX),
            Source::Output(3, 0),
            Source::Output(3, 1),
            Source::Connection(9),
        ] {
            assert_eq!(Source::decode(source.encode()), source);
        }
    }
}
