//! A container's output in dom0's journal as well, a line an entry, with the pod and the container as fields.
//!
//! It is read from the log, beside everything else: a journal that is slow or away holds no container up, and may miss lines.
//! What is written is journald's own protocol, a datagram an entry (systemd.io/JOURNAL_NATIVE_PROTOCOL).

use std::io;
use std::path::PathBuf;

use tokio::net::UnixDatagram;

use super::{Follow, Stream};

/// Where journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";

/// Longer lines become several entries: an entry must fit into a datagram.
const MAX_MESSAGE: usize = 48 * 1024;

/// Whose output it is.
#[derive(Clone, Debug)]
pub struct Source {
    /// The pod's id.
    pub pod_id: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
}

impl Source {
    /// An entry. Our messages about the pod have the same fields.
    fn entry(&self, stream: Stream, message: &[u8]) -> Vec<u8> {
        let Self { pod_id, pod, container } = self;
        // As programs have it that log to both streams under systemd: LOG_INFO and LOG_ERR of syslog(3).
        let priority = if stream == Stream::Stdout { 6 } else { 3 };
        let stream = stream.as_str();
        let mut out = format!(
            "PRIORITY={priority}\nSYSLOG_IDENTIFIER={pod}/{container}\nPOD={pod}\nPOD_ID={pod_id}\n\
             CONTAINER={container}\nSTREAM={stream}\nMESSAGE\n"
        )
        .into_bytes();
        // With its length, so that no byte of it can be taken for another field.
        out.extend((message.len() as u64).to_le_bytes());
        out.extend(message);
        out.push(b'\n');
        out
    }
}

/// Passes a log on, line by line, until it ends.
pub fn forward(log: Follow, socket: PathBuf, source: Source) {
    tokio::spawn(async move {
        let mut forwarder = match UnixDatagram::unbound() {
            Ok(from) => Forwarder { from, socket, source, lines: [Vec::new(), Vec::new()], missed: 0 },
            Err(error) => {
                tracing::warn!(
                    pod = source.pod,
                    container = source.container,
                    %error,
                    "output does not go to the journal: {error}"
                );
                return;
            }
        };
        if let Err(error) = forwarder.run(log).await {
            let Source { pod_id, pod, container } = &forwarder.source;
            tracing::warn!(pod_id, pod, container, %error, "output does not go to the journal any more: {error}");
        }
    });
}

struct Forwarder {
    from: UnixDatagram,
    socket: PathBuf,
    source: Source,
    /// The begun line of each stream.
    lines: [Vec<u8>; 2],
    /// Entries that the journal did not take.
    missed: u64,
}

impl Forwarder {
    async fn run(&mut self, mut log: Follow) -> io::Result<()> {
        while let Some((stream, bytes)) = log.next().await? {
            for piece in bytes.split_inclusive(|b| *b == b'\n') {
                for part in piece.chunks(MAX_MESSAGE) {
                    let line = &mut self.lines[stream.index()];
                    if line.len() + part.len() > MAX_MESSAGE {
                        self.send(stream).await;
                    }
                    self.lines[stream.index()].extend(part);
                }
                if piece.ends_with(b"\n") {
                    self.lines[stream.index()].pop();
                    self.send(stream).await;
                }
            }
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            if !self.lines[stream.index()].is_empty() {
                self.send(stream).await;
            }
        }
        Ok(())
    }

    async fn send(&mut self, stream: Stream) {
        let message = std::mem::take(&mut self.lines[stream.index()]);
        let sent = self.from.send_to(&self.source.entry(stream, &message), &self.socket).await;
        let Source { pod_id, pod, container } = &self.source;
        match sent {
            Ok(_) if self.missed > 0 => {
                let missed = std::mem::take(&mut self.missed);
                tracing::warn!(
                    pod_id,
                    pod,
                    container,
                    missed,
                    "the journal takes output again; it missed {missed} lines"
                );
            }
            Ok(_) => {}
            Err(error) => {
                if self.missed == 0 {
                    tracing::warn!(pod_id, pod, container, %error, "the journal does not take output: {error}");
                }
                self.missed += 1;
            }
        }
    }
}
