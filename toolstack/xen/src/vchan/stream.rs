//! A [`Vchan`] as an asynchronous stream.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use super::{Peer, Vchan, VchanError};

/// A channel for tokio: reading ends (0 bytes) when the peer has gone, writing then fails with `BrokenPipe`, and a peer
/// that does not keep to the format is `InvalidData`.
///
/// One task may read while another writes (`tokio::io::split`): one event can mean news for both, so it wakes both.
pub struct VchanStream {
    channel: AsyncFd<Vchan>,
    waiting: Arc<Waiting>,
    waker: Waker,
}

#[derive(Clone, Copy)]
enum Side {
    Read,
    Write,
}

/// The tasks that wait for the next event.
#[derive(Default)]
struct Waiting(Mutex<[Option<Waker>; 2]>);

impl Waiting {
    fn set(&self, side: Side, waker: &Waker) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[side as usize] = Some(waker.clone());
    }

    fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}

impl VchanStream {
    /// Makes a stream of a channel; inside a tokio runtime with I/O.
    pub fn new(channel: Vchan) -> io::Result<Self> {
        let waiting = Arc::new(Waiting::default());
        let waker = Waker::from(waiting.clone());
        // SAFETY: the event channel owns its descriptor until the Vchan is dropped, always the same one, and the AsyncFd
        // owns the Vchan.
        let channel = unsafe { AsyncFd::register_with_interest(channel, Interest::READABLE) }?;
        Ok(VchanStream { channel, waiting, waker })
    }

    /// Whether somebody is at the other end.
    pub fn peer(&self) -> Peer {
        self.channel.get_ref().peer()
    }

    fn poll<T>(
        &mut self,
        side: Side,
        context: &mut Context<'_>,
        mut operation: impl FnMut(&mut Vchan) -> Result<T, VchanError>,
    ) -> Poll<Result<T, VchanError>> {
        loop {
            match operation(self.channel.get_mut()) {
                Err(VchanError::WouldBlock) => {}
                done => return Poll::Ready(done),
            }
            self.waiting.set(side, context.waker());
            let peer = self.channel.get_ref().peer_domid();
            let failed = |source| VchanError::Io { peer, what: "wait for an event", source };
            let mut ready =
                ready!(self.channel.poll_read_ready_mut(&mut Context::from_waker(&self.waker))).map_err(failed)?;
            // Readiness is forgotten before the event is taken, so that one which comes meanwhile is seen.
            ready.clear_ready();
            ready.get_inner().clear_event()?;
            // Woken: this side by the loop, the other by this.
            self.waiting.wake_all();
        }
    }
}

impl AsyncRead for VchanStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(self.poll(Side::Read, context, |channel| channel.read(to.initialize_unfilled()))) {
            Ok(count) => {
                to.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(VchanError::Gone) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncWrite for VchanStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(Side::Write, context, |channel| channel.write(from)).map_err(io::Error::from)
    }

    /// Bytes are in the shared ring as soon as they are written.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A channel has no half-close: dropping it closes it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
