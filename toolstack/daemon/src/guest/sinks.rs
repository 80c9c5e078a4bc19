//! Tasks that move bytes between a link and the pipes of an exec.

use std::os::fd::OwnedFd;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
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

/// Writes what comes to the pipe and tells how far it got. What waits in the queue is bounded by the stream's window. The
/// pipe is closed, and its reader sees the end, when the stream's sink is dropped.
pub(super) fn spawn_writer(id: u32, pipe: OwnedFd, commands: Commands) -> mpsc::UnboundedSender<Chunk> {
    let (to, mut chunks) = mpsc::unbounded_channel::<Chunk>();
    tokio::spawn(async move {
        let written = async {
            let mut pipe = pipe::Sender::from_owned_fd(pipe)?;
            while let Some(chunk) = chunks.recv().await {
                pipe.write_all(&chunk.bytes).await?;
                tell(&commands, Command::PipeWritten { id, offset: chunk.end });
            }
            Ok::<(), std::io::Error>(())
        };
        if written.await.is_err() {
            // The reader has gone: the guest's process gets its EPIPE, as on any pipe.
            tell(&commands, Command::PipeClosed { id });
        }
    });
    to
}

/// Reads the pipe to its end, one portion at a time.
pub(super) fn spawn_reader(id: u32, pipe: OwnedFd, commands: Commands) {
    tokio::spawn(async move {
        let _ = async {
            let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
            let mut buffer = vec![0; 8 * 1024];
            loop {
                let n = pipe.read(&mut buffer).await?;
                if n == 0 {
                    return Ok::<(), std::io::Error>(());
                }
                let (taken, wait) = oneshot::channel();
                tell(&commands, Command::Input { id, bytes: buffer[..n].to_vec(), taken });
                if wait.await.is_err() {
                    return Ok(());
                }
            }
        }
        .await;
        tell(&commands, Command::InputEnded { id });
    });
}
