//! Tasks that move bytes between a link and the pipes and sockets of its users.

use std::os::fd::OwnedFd;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::sync::{mpsc, oneshot};

use super::Command;

/// Bytes of a stream, and the offset after them.
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) end: u64,
}

type Commands = mpsc::WeakUnboundedSender<Command>;

fn tell(commands: &Commands, command: Command) {
    if let Some(commands) = commands.upgrade() {
        let _ = commands.send(command);
    }
}

/// The end that bytes for the guest are read from.
#[derive(Debug)]
pub(crate) enum From {
    Pipe(OwnedFd),
    Socket(OwnedReadHalf),
}

/// The end that the guest's bytes are written to.
#[derive(Debug)]
pub(super) enum To {
    Pipe(OwnedFd),
    Socket(OwnedWriteHalf),
}

/// Writes what comes and tells how far it got. What waits in the queue is bounded by the stream's window. The end is closed,
/// and its reader sees the end, when the stream's sink is dropped.
pub(super) fn spawn_writer(id: u32, to: To, commands: Commands) -> mpsc::UnboundedSender<Chunk> {
    let (queue, chunks) = mpsc::unbounded_channel::<Chunk>();
    tokio::spawn(async move {
        let written = match to {
            To::Pipe(pipe) => match pipe::Sender::from_owned_fd(pipe) {
                Ok(pipe) => write_all(id, pipe, chunks, &commands).await,
                Err(error) => Err(error),
            },
            To::Socket(socket) => {
                tokio::select! {
                    written = write_all(id, &socket, chunks, &commands) => written,
                    gone = hung_up(&socket) => gone,
                }
            }
        };
        if written.is_err() {
            // The reader has gone. A process goes on all the same, its output is dropped; a connection is ended.
            tell(&commands, Command::PipeClosed { id });
        }
    });
    queue
}

async fn write_all(
    id: u32,
    mut to: impl WriteSome,
    mut chunks: mpsc::UnboundedReceiver<Chunk>,
    commands: &Commands,
) -> std::io::Result<()> {
    while let Some(chunk) = chunks.recv().await {
        to.write_whole(&chunk.bytes).await?;
        tell(commands, Command::PipeWritten { id, offset: chunk.end });
    }
    Ok(())
}

/// What both kinds of ends can do.
trait WriteSome {
    async fn write_whole(&mut self, bytes: &[u8]) -> std::io::Result<()>;
}

impl WriteSome for pipe::Sender {
    async fn write_whole(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.write_all(bytes).await
    }
}

impl WriteSome for &OwnedWriteHalf {
    async fn write_whole(&mut self, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            self.writable().await?;
            match self.as_ref().try_write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Returns when the other end of a socket is closed altogether. One that has only ended its sending still reads.
async fn hung_up(socket: &OwnedWriteHalf) -> std::io::Result<()> {
    let own = rustix::io::fcntl_dupfd_cloexec(socket.as_ref(), 3)?;
    let watched = UnixStream::from_std(own.into())?;
    loop {
        if watched.ready(Interest::WRITABLE).await?.is_write_closed() {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        // Told again when anything about it changes.
        let _ = watched.try_io(Interest::WRITABLE, || Err::<(), _>(std::io::ErrorKind::WouldBlock.into()));
    }
}

/// Reads to the end, one portion at a time. `ends`: the guest's stream ends with it.
pub(super) fn spawn_reader(id: u32, from: From, ends: bool, commands: Commands) {
    tokio::spawn(async move {
        let _ = match from {
            From::Pipe(pipe) => match pipe::Receiver::from_owned_fd(pipe) {
                Ok(pipe) => read_all(id, pipe, &commands).await,
                Err(error) => Err(error),
            },
            From::Socket(socket) => read_all(id, socket, &commands).await,
        };
        if ends {
            tell(&commands, Command::InputEnded { id });
        }
    });
}

async fn read_all(id: u32, mut from: impl AsyncRead + Unpin, commands: &Commands) -> std::io::Result<()> {
    let mut buffer = vec![0; 8 * 1024];
    loop {
        let n = from.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        let (taken, wait) = oneshot::channel();
        tell(commands, Command::Input { id, bytes: buffer[..n].to_vec(), taken });
        if wait.await.is_err() {
            return Ok(());
        }
    }
}
