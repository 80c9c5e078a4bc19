//! vchan: a stream of bytes each way between two domains, over shared pages and an event channel, in the wire format of
//! Xen's libxenvchan.
//!
//! The **server** (the guest) offers the memory and writes where it is to xenstore; the **client** (dom0) maps it. A
//! guest is not to be trusted with the daemon, so nothing read from the memory is believed or read twice.
//!
//! ```text
//!            offer()                      connect()                  client exits or dies
//!  server:  Waiting ────────────────────> Connected ───────────────> Gone ──reset()──> Waiting
//!  client:            Waiting ──(server is Waiting)──> Connected ──(server dies)──> Gone
//! ```
//!
//! A client that dies leaves half-read and half-written frames behind. The kernel clears its live byte and signals; the
//! server then empties both rings and says so by setting that byte back to "not yet connected", and only in that state
//! does a new client take the channel. So each connection starts with empty rings, and what was lost is for the protocol
//! above to resume. (libxenvchan's own clients take the channel unasked; its servers never reset one.)
//!
//! Nothing here blocks but [`Vchan::wait`]: after `WouldBlock`, wait until the descriptor is readable, call
//! [`Vchan::clear_event`], try again.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::evtchn::{EventChannel, EventChannels, Port};
use crate::grants::{GrantMaps, GrantOffers, GrantRef, Offered, SharedPages, UnmapNotify};
use crate::ids::Domid;

mod layout;
mod ring;
#[cfg(feature = "toolstack")]
mod stream;

pub use layout::{RingOrder, RingSizes};
#[cfg(feature = "toolstack")]
pub use stream::VchanStream;

use layout::*;
use ring::{BadIndex, Place, RingEnd};

/// What a server writes to xenstore and a client reads there: `ring-ref` and `event-channel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    /// Grant reference of the first page.
    pub ring_ref: GrantRef,
    /// The server's port.
    pub event_channel: Port,
}

/// Whether there is somebody at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Not yet. (For a client: the server has not emptied the rings of the last one yet.)
    Waiting,
    /// Yes.
    Connected,
    /// No longer.
    Gone,
}

/// Why a channel did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum VchanError {
    /// Nothing to read, or no room to write; an event will come when there is.
    #[error("the channel is not ready")]
    WouldBlock,
    /// The other end has closed the channel or died, and all it sent has been read.
    #[error("the other end of the channel has gone")]
    Gone,
    /// The other end does not keep to the format; the channel is lost.
    #[error("the channel to domain {peer} is corrupt: {what}")]
    Corrupt {
        /// The other end.
        peer: Domid,
        /// What it did.
        what: String,
    },
    /// A device refused.
    #[error("channel to domain {peer}: cannot {what}: {source}")]
    Io {
        /// The other end.
        peer: Domid,
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl From<VchanError> for io::Error {
    fn from(error: VchanError) -> Self {
        let kind = match &error {
            VchanError::WouldBlock => io::ErrorKind::WouldBlock,
            VchanError::Gone => io::ErrorKind::BrokenPipe,
            VchanError::Corrupt { .. } => io::ErrorKind::InvalidData,
            VchanError::Io { source, .. } => source.kind(),
        };
        io::Error::new(kind, error)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Server,
    Client,
}

/// One end of a channel. Dropping it tells the other end.
pub struct Vchan {
    peer: Domid,
    role: Role,
    /// A client that has not been let in yet.
    claimed: bool,
    reader: RingEnd,
    writer: RingEnd,
    control: SharedPages,
    event: Box<dyn EventChannel>,
}

impl Vchan {
    /// Offers a channel to `peer`, as the server. The rendezvous is for the caller to publish.
    pub fn offer(
        grants: &dyn GrantOffers,
        events: &dyn EventChannels,
        peer: Domid,
        sizes: RingSizes,
    ) -> Result<(Vchan, Rendezvous), VchanError> {
        let failed = |what| move |source| VchanError::Io { peer, what, source };
        if !sizes.is_valid() {
            let source = io::Error::new(io::ErrorKind::InvalidInput, format!("{sizes:?} do not fit together"));
            return Err(failed("lay out the rings")(source));
        }
        let event = events.alloc_unbound(peer).map_err(failed("allocate an event channel"))?;
        let notify = UnmapNotify { clear_byte: SRV_LIVE, port: event.port() };
        let Offered { refs, pages: control } = grants.offer(peer, 1, Some(notify)).map_err(failed("offer a page"))?;

        let mut next_grant = GRANTS;
        let mut offer_ring = |order: RingOrder| -> Result<Option<SharedPages>, VchanError> {
            if order.pages() == 0 {
                return Ok(None);
            }
            let Offered { refs, pages } = grants.offer(peer, order.pages(), None).map_err(failed("offer a ring"))?;
            for gref in refs {
                control.u32(next_grant).store(gref, Ordering::Relaxed);
                next_grant += 4;
            }
            Ok(Some(pages))
        };
        let (left, right) = (offer_ring(sizes.left)?, offer_ring(sizes.right)?);

        control.u16(LEFT_ORDER).store(sizes.left.get(), Ordering::Relaxed);
        control.u16(RIGHT_ORDER).store(sizes.right.get(), Ordering::Relaxed);
        let (left_place, right_place) = places(sizes, Role::Server);
        let mut vchan = Vchan {
            peer,
            role: Role::Server,
            claimed: true,
            reader: RingEnd::new(left_place, left),
            writer: RingEnd::new(right_place, right),
            control,
            event,
        };
        vchan.restart();
        let rendezvous = Rendezvous { ring_ref: refs[0], event_channel: vchan.event.port() };
        Ok((vchan, rendezvous))
    }

    /// Connects to a channel that `peer` offers, as the client. It may still be [`Peer::Waiting`] after this.
    pub fn connect(
        grants: &dyn GrantMaps,
        events: &dyn EventChannels,
        peer: Domid,
        rendezvous: Rendezvous,
    ) -> Result<Vchan, VchanError> {
        let failed = |what| move |source| VchanError::Io { peer, what, source };
        let corrupt = |what: String| VchanError::Corrupt { peer, what };

        let event = events
            .bind_interdomain(peer, rendezvous.event_channel)
            .map_err(failed("bind the event channel it names"))?;
        let notify = UnmapNotify { clear_byte: CLI_LIVE, port: event.port() };
        let control = grants.map(peer, &[rendezvous.ring_ref], Some(notify)).map_err(failed("map its first page"))?;

        let order = |offset: usize, side: &str| {
            let order = control.u16(offset).load(Ordering::Relaxed);
            RingOrder::new(order).ok_or_else(|| corrupt(format!("its {side} ring has order {order}, not 10 to 20")))
        };
        let sizes = RingSizes { left: order(LEFT_ORDER, "left")?, right: order(RIGHT_ORDER, "right")? };
        if !sizes.is_valid() {
            return Err(corrupt(format!("{sizes:?} do not fit together")));
        }
        let mut next_grant = GRANTS;
        let mut map_ring = |order: RingOrder| -> Result<Option<SharedPages>, VchanError> {
            if order.pages() == 0 {
                return Ok(None);
            }
            let refs: Vec<GrantRef> =
                (0..order.pages()).map(|i| control.u32(next_grant + 4 * i).load(Ordering::Relaxed)).collect();
            next_grant += 4 * order.pages();
            Ok(Some(grants.map(peer, &refs, None).map_err(failed("map its ring"))?))
        };
        let (left, right) = (map_ring(sizes.left)?, map_ring(sizes.right)?);

        let (left_place, right_place) = places(sizes, Role::Client);
        let mut vchan = Vchan {
            peer,
            role: Role::Client,
            claimed: false,
            reader: RingEnd::new(right_place, right),
            writer: RingEnd::new(left_place, left),
            control,
            event,
        };
        if !vchan.claim()? {
            // The server may have missed that the last client went: let it look.
            vchan.signal()?;
        }
        Ok(vchan)
    }

    /// The domain at the other end.
    pub fn peer_domid(&self) -> Domid {
        self.peer
    }

    /// Whether somebody is at the other end.
    pub fn peer(&self) -> Peer {
        if !self.claimed {
            return if self.live(SRV_LIVE) == GONE { Peer::Gone } else { Peer::Waiting };
        }
        match (self.role, self.live(if self.role == Role::Server { CLI_LIVE } else { SRV_LIVE })) {
            (_, GONE) => Peer::Gone,
            (Role::Server, WAITING) => Peer::Waiting,
            _ => Peer::Connected,
        }
    }

    /// Reads what is there, at most `to.len()` bytes and at least one. What a peer wrote before it went is still read.
    pub fn read(&mut self, to: &mut [u8]) -> Result<usize, VchanError> {
        if to.is_empty() {
            return Ok(0);
        }
        if !self.claim()? {
            return Err(self.blocked());
        }
        let mut ready = self.readable()?;
        if ready == 0 {
            // Ask to be told, then look again: the peer may have written in between and told nobody.
            self.request(NOTIFY_WRITE);
            ready = self.readable()?;
        }
        if ready == 0 {
            let blocked = self.blocked();
            // Found gone, it may have written just before it went: only what is missing now will never come.
            ready = self.readable()?;
            if ready == 0 {
                return Err(blocked);
            }
        }
        let count = ready.min(to.len());
        self.reader.take(&self.control, &mut to[..count]);
        self.answer(NOTIFY_READ)?;
        Ok(count)
    }

    /// Writes as much as there is room for, at least one byte.
    pub fn write(&mut self, from: &[u8]) -> Result<usize, VchanError> {
        if from.is_empty() {
            return Ok(0);
        }
        if !self.claim()? || self.peer() == Peer::Gone {
            return Err(self.blocked());
        }
        let mut room = self.writable()?;
        if room == 0 {
            self.request(NOTIFY_READ);
            room = self.writable()?;
        }
        if room == 0 {
            return Err(self.blocked());
        }
        let count = room.min(from.len());
        self.writer.put(&self.control, &from[..count]);
        self.answer(NOTIFY_WRITE)?;
        Ok(count)
    }

    /// Bytes that can be read now.
    pub fn readable(&self) -> Result<usize, VchanError> {
        self.reader.readable(&self.control).map_err(|bad| self.corrupt("written", bad))
    }

    /// Bytes that can be written now.
    pub fn writable(&self) -> Result<usize, VchanError> {
        self.writer.writable(&self.control).map_err(|bad| self.corrupt("read", bad))
    }

    /// For a server whose client has gone: empties both rings and waits for the next client. What was in them is lost.
    /// Does nothing while a client is there.
    pub fn reset(&mut self) -> Result<(), VchanError> {
        if self.role == Role::Server && self.peer() == Peer::Gone {
            self.restart();
            self.signal()?;
        }
        Ok(())
    }

    /// Takes an event that has arrived; call it when the descriptor is readable, before looking at the rings.
    pub fn clear_event(&self) -> Result<bool, VchanError> {
        self.event.clear().map_err(|source| self.io("take an event", source))
    }

    /// Blocks until an event arrives, and takes it; false when the time was over first.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<bool, VchanError> {
        let timeout = timeout.and_then(|time| Timespec::try_from(time).ok());
        let mut fds = [PollFd::from_borrowed_fd(self.event.as_fd(), PollFlags::IN)];
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(0) => Ok(false),
            Ok(_) => self.clear_event(),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(self.io("wait for an event", errno.into())),
        }
    }

    /// A client takes the channel when the server has made it ready.
    fn claim(&mut self) -> Result<bool, VchanError> {
        if self.claimed {
            return Ok(true);
        }
        let cli_live = self.control.u8(CLI_LIVE);
        if cli_live.compare_exchange(WAITING, CONNECTED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Ok(false);
        }
        self.claimed = true;
        self.reader.adopt(&self.control);
        self.writer.adopt(&self.control);
        // Tell us of everything you write from now on.
        self.request(NOTIFY_WRITE);
        self.signal()?;
        Ok(true)
    }

    /// The state in which a server waits for its (next) client.
    fn restart(&mut self) {
        self.reader.reset(&self.control);
        self.writer.reset(&self.control);
        self.control.u8(CLI_NOTIFY).store(NOTIFY_WRITE, Ordering::Relaxed);
        self.control.u8(SRV_NOTIFY).store(0, Ordering::Relaxed);
        self.control.u8(SRV_LIVE).store(CONNECTED, Ordering::Relaxed);
        // Release: a client that sees it may use the rings.
        self.control.u8(CLI_LIVE).store(WAITING, Ordering::Release);
    }

    /// Why nothing can be moved now.
    fn blocked(&self) -> VchanError {
        if self.peer() == Peer::Gone { VchanError::Gone } else { VchanError::WouldBlock }
    }

    /// Asks the peer to signal what it does next.
    fn request(&self, bit: u8) {
        let ours = if self.role == Role::Server { CLI_NOTIFY } else { SRV_NOTIFY };
        self.control.u8(ours).fetch_or(bit, Ordering::SeqCst);
        // The request is out before the index is read again.
        fence(Ordering::SeqCst);
    }

    /// Signals the peer if it asked to be told of what was just done.
    fn answer(&self, bit: u8) -> Result<(), VchanError> {
        // The index is out before the request is read.
        fence(Ordering::SeqCst);
        let theirs = if self.role == Role::Server { SRV_NOTIFY } else { CLI_NOTIFY };
        if self.control.u8(theirs).fetch_and(!bit, Ordering::SeqCst) & bit != 0 { self.signal() } else { Ok(()) }
    }

    fn signal(&self) -> Result<(), VchanError> {
        self.event.notify().map_err(|source| self.io("signal the other end", source))
    }

    fn live(&self, offset: usize) -> u8 {
        self.control.u8(offset).load(Ordering::Acquire)
    }

    fn io(&self, what: &'static str, source: io::Error) -> VchanError {
        VchanError::Io { peer: self.peer, what, source }
    }

    fn corrupt(&self, done: &str, bad: BadIndex) -> VchanError {
        let BadIndex { ours, theirs, size } = bad;
        let what = format!("it claims to have {done} up to {theirs}, we are at {ours}, and the ring has {size} bytes");
        VchanError::Corrupt { peer: self.peer, what }
    }
}

impl AsFd for Vchan {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl AsRawFd for Vchan {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Vchan {
    fn drop(&mut self) {
        match self.role {
            Role::Server => self.control.u8(SRV_LIVE).store(GONE, Ordering::Release),
            Role::Client if self.claimed => self.control.u8(CLI_LIVE).store(GONE, Ordering::Release),
            Role::Client => return,
        }
        // The peer may be gone, and its port with it: nobody to tell then.
        let _ = self.event.notify();
    }
}

/// The left and the right ring, from one role's end.
fn places(sizes: RingSizes, role: Role) -> (Place, Place) {
    let (left, right) = ((LEFT_CONS, LEFT_PROD), (RIGHT_CONS, RIGHT_PROD));
    let reading = |(cons, prod), order| Place { our_index: cons, peer_index: prod, order };
    let writing = |(cons, prod), order| Place { our_index: prod, peer_index: cons, order };
    match role {
        Role::Server => (reading(left, sizes.left), writing(right, sizes.right)),
        Role::Client => (writing(left, sizes.left), reading(right, sizes.right)),
    }
}

#[cfg(test)]
#[cfg(feature = "fake")]
mod tests;
