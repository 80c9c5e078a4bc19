//! Ways to xenstored: its socket, or the kernel's device.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

use crate::xenstore::wire::{HEADER_LEN, Header};

/// Where both daemons listen (`XEN_RUN_STORED`, tools/config.h).
const SOCKET: &str = "/run/xenstored/socket";
/// The kernel's device, which reaches a xenstored in a domain of its own.
const DEVICE: &str = "/dev/xen/xenbus";

/// A stream of either kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
pub type BoxStream = Box<dyn Stream>;

/// How to get a stream, the first time and again.
#[derive(Clone)]
pub enum Connector {
    /// One of these sockets, or the device if there is one to try.
    Host { socket: PathBuf, device: Option<PathBuf> },
    /// Whatever a test has.
    Custom(Arc<dyn Fn() -> io::Result<BoxStream> + Send + Sync>),
}

impl Connector {
    /// This host's daemon.
    pub fn host() -> Self {
        Connector::Host { socket: SOCKET.into(), device: Some(DEVICE.into()) }
    }

    /// A daemon's socket and nothing else.
    pub fn socket(path: &Path) -> Self {
        Connector::Host { socket: path.to_owned(), device: None }
    }

    /// A function.
    pub fn custom(connect: impl Fn() -> io::Result<BoxStream> + Send + Sync + 'static) -> Self {
        Connector::Custom(Arc::new(connect))
    }

    /// A new stream, or what was tried and what came of it.
    pub async fn connect(&self) -> Result<BoxStream, String> {
        match self {
            Connector::Custom(connect) => connect().map_err(|error| error.to_string()),
            Connector::Host { socket, device } => {
                let failed = match UnixStream::connect(socket).await {
                    Ok(stream) => return Ok(Box::new(stream)),
                    Err(error) => format!("{}: {error}", socket.display()),
                };
                let Some(device) = device else { return Err(failed) };
                match DeviceStream::open(device) {
                    Ok(stream) => Ok(Box::new(stream)),
                    Err(error) => Err(format!("{failed}; {}: {error}", device.display())),
                }
            }
        }
    }
}

/// `/dev/xen/xenbus` as a stream. It takes one message per `write` (Linux `xenbus_dev_frontend.c`), so that is what
/// [`poll_write`](AsyncWrite::poll_write) passes on; its buffers always begin with a header.
struct DeviceStream(AsyncFd<File>);

impl DeviceStream {
    fn open(path: &Path) -> io::Result<Self> {
        const O_NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;
        let file = File::options().read(true).write(true).custom_flags(O_NONBLOCK).open(path)?;
        // SAFETY: a File is one open descriptor until it is dropped, and the AsyncFd owns it until then.
        let file = unsafe { AsyncFd::register(file) };
        file.map(DeviceStream).map_err(io::Error::from)
    }
}

impl AsyncRead for DeviceStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            match guard.try_io(|fd| fd.get_ref().read(buf.initialize_unfilled())) {
                Ok(Ok(len)) => {
                    buf.advance(len);
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for DeviceStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // The device queues every message it takes: there is nothing to wait for.
        let len = Header::from_bytes(bytes).map_or(bytes.len(), |header| HEADER_LEN + header.len as usize);
        let mut device = self.0.get_ref();
        Poll::Ready(device.write_all(&bytes[..len.min(bytes.len())]).map(|()| len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
