//! The caller's standard streams, copied to and from the daemon's pipes.
//!
//! Each copy is a thread of its own with blocking reads and writes, so that a slow reader of one stream stalls that stream only.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::sync::mpsc;

use crate::detach::{Keys, Watch};

/// One of the caller's output streams.
#[derive(Clone, Copy)]
pub enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Makes reads and writes on the descriptor wait.
fn blocking(fd: &OwnedFd) -> io::Result<()> {
    let flags = fcntl_getfl(fd)?;
    fcntl_setfl(fd, flags - OFlags::NONBLOCK)?;
    Ok(())
}

/// Copies everything that comes from `source` to an output, each line with `prefix` before it if there is one.
pub fn copy_out(source: OwnedFd, to: Output, prefix: Option<String>) -> JoinHandle<io::Result<()>> {
    std::thread::spawn(move || {
        blocking(&source)?;
        let mut source = File::from(source);
        let mut buffer = vec![0; 64 << 10];
        let mut at_start = true;
        loop {
            let n = match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let prefixed = prefix.as_ref().map(|p| prefix_lines(&buffer[..n], p, &mut at_start));
            let bytes = prefixed.as_deref().unwrap_or(&buffer[..n]);
            match to {
                Output::Stdout => write_all(&mut io::stdout().lock(), bytes)?,
                Output::Stderr => write_all(&mut io::stderr().lock(), bytes)?,
            }
        }
    })
}

fn write_all(out: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}

/// Puts `prefix` before each line that starts in `bytes`.
fn prefix_lines(bytes: &[u8], prefix: &str, at_start: &mut bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + prefix.len());
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if *at_start {
            out.extend_from_slice(prefix.as_bytes());
        }
        out.extend_from_slice(line);
        *at_start = line.ends_with(b"\n");
    }
    out
}

/// Copies standard input to `sink` until its end, then closes it. When the detach keys are typed, `sink` comes over the channel
/// that is returned, and nothing more is copied.
pub fn copy_in(sink: OwnedFd, keys: Option<&Keys>) -> mpsc::Receiver<OwnedFd> {
    let (detached, left) = mpsc::channel(1);
    let mut watch = keys.map(Watch::new);
    std::thread::spawn(move || -> io::Result<()> {
        blocking(&sink)?;
        let mut sink = File::from(sink);
        let mut buffer = vec![0; 64 << 10];
        let mut stdin = io::stdin().lock();
        loop {
            let n = match stdin.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let Some(watch) = &mut watch else {
                sink.write_all(&buffer[..n])?;
                continue;
            };
            let (bytes, typed) = watch.take(&buffer[..n]);
            sink.write_all(&bytes)?;
            if typed {
                let _ = detached.blocking_send(sink.into());
                return Ok(());
            }
        }
    });
    left
}

/// [`copy_in`], or nothing: `sink` is closed.
pub fn copy_in_if(wanted: bool, sink: OwnedFd, keys: Option<&Keys>) -> mpsc::Receiver<OwnedFd> {
    if wanted { copy_in(sink, keys) } else { mpsc::channel(1).1 }
}

/// Standard input as a raw terminal, until this is dropped.
pub struct RawTerminal(Termios);

impl RawTerminal {
    /// Switches to raw mode; `None` when standard input is no terminal.
    pub fn enter() -> Option<Self> {
        let before = tcgetattr(io::stdin().as_fd()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that went away.
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.0);
    }
}

/// Rows and columns of the terminal on standard output.
pub fn window() -> Option<(u32, u32)> {
    let size = tcgetwinsize(io::stdout().as_fd()).ok()?;
    Some((size.ws_row.into(), size.ws_col.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_prefixed_once() {
        let mut at_start = true;
        let mut out = prefix_lines(b"a\nb", "> ", &mut at_start);
        out.extend(prefix_lines(b"c\n", "> ", &mut at_start));
        assert_eq!(out, b"> a\n> bc\n");
    }
}
