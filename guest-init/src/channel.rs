//! The channel to the daemon: a vchan this domain offers, and the session over it.

use std::os::fd::{AsFd, BorrowedFd};

use xen::evtchn::EvtchnDevice;
use xen::grants::GntallocDevice;
use xen::ids::Domid;
use xen::vchan::{Peer, RingOrder, RingSizes, Vchan, VchanError};
use xen::xenstore::blocking::Client;
use xenpod_protocol::message::Hello;
use xenpod_protocol::{Incoming, Session};
use xenpod_xen as xen;

/// Where the daemon looks for the ring, relative to this domain's own path.
const RENDEZVOUS: &str = "data/xenpod";

/// Why there is no channel. PID 1 cannot go on without.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The ring could not be made or is corrupt.
    #[error(transparent)]
    Vchan(#[from] VchanError),
    /// The rendezvous could not be written.
    #[error(transparent)]
    Store(#[from] xen::xenstore::Error),
}

/// Both.
pub struct Channel {
    vchan: Vchan,
    /// What is said and heard.
    pub session: Session,
    /// A daemon that lied is not heard until it connects again.
    broken: bool,
    /// Read from the ring; of it, the first `taken` bytes are the session's.
    buffer: Vec<u8>,
    length: usize,
    taken: usize,
}

impl Channel {
    /// Offers the ring to dom0 and publishes it.
    pub fn offer(hello: Hello) -> Result<Self, ChannelError> {
        // Requests are small, output is not; every page of a ring is one a container cannot have.
        let sizes = match (RingOrder::new(14), RingOrder::new(15)) {
            (Some(left), Some(right)) => RingSizes { left, right },
            _ => RingSizes::DEFAULT,
        };
        let (vchan, rendezvous) = Vchan::offer(&GntallocDevice, &EvtchnDevice, Domid(0), sizes)?;
        let mut store = Client::open()?;
        store.write(&format!("{RENDEZVOUS}/ring-ref"), rendezvous.ring_ref.to_string())?;
        // Last: who sees it can connect.
        store.write(&format!("{RENDEZVOUS}/event-channel"), rendezvous.event_channel.to_string())?;
        Ok(Self { vchan, session: Session::guest(hello), broken: false, buffer: vec![0; 4096], length: 0, taken: 0 })
    }

    /// To be waited for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.vchan.as_fd()
    }

    /// An event came. Takes it, and begins anew when the daemon has gone. True when it did: our Hello can be renewed.
    pub fn wake(&mut self) -> Result<bool, ChannelError> {
        self.vchan.clear_event()?;
        if self.vchan.peer() != Peer::Gone {
            return Ok(false);
        }
        self.session.reconnect();
        self.broken = false;
        (self.length, self.taken) = (0, 0);
        self.vchan.reset()?;
        Ok(true)
    }

    /// The next thing the daemon said, when there is one.
    pub fn next(&mut self) -> Option<Incoming> {
        while !self.broken {
            match self.session.next_event() {
                Ok(Some(incoming)) => return Some(incoming),
                Ok(None) => {}
                Err(error) => {
                    eprintln!("guest-init: the daemon broke the protocol: {error}");
                    self.broken = true;
                    return None;
                }
            }
            if self.taken < self.length {
                match self.session.feed(&self.buffer[self.taken..self.length]) {
                    // It takes no more before it has sent some.
                    0 => return None,
                    count => self.taken += count,
                }
                continue;
            }
            match self.vchan.read(&mut self.buffer) {
                Ok(count) => (self.length, self.taken) = (count, 0),
                Err(VchanError::WouldBlock | VchanError::Gone) => return None,
                Err(error) => {
                    eprintln!("guest-init: {error}");
                    self.broken = true;
                }
            }
        }
        None
    }

    /// Sends what there is to send and room for. The vchan wakes us when there is room again.
    pub fn flush(&mut self) {
        if self.vchan.peer() != Peer::Connected || self.broken {
            return;
        }
        loop {
            let output = self.session.output();
            if output.is_empty() {
                return;
            }
            match self.vchan.write(output) {
                Ok(count) => self.session.advance_output(count),
                Err(VchanError::WouldBlock | VchanError::Gone) => return,
                Err(error) => {
                    eprintln!("guest-init: {error}");
                    self.broken = true;
                    return;
                }
            }
        }
    }

    /// Nothing waits to be sent or acknowledged, or nobody is there to hear it.
    pub fn quiet(&mut self) -> bool {
        let heard = self.session.connected() && self.vchan.peer() == Peer::Connected && !self.broken;
        !heard || (self.session.output().is_empty() && self.session.events_waiting() == 0)
    }
}
