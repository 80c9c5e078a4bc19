//! Reading a log: the bytes as the container wrote them, from some point on, to its end or for as long as it goes on.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use super::record::{self, Stream};
use super::segment::{Reader, Segment};
use super::writer::{Hub, Lines, Position};

/// From where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// From the oldest byte that is kept.
    Start,
    /// The last so many lines, of both streams together.
    Tail(u64),
    /// From this time on, in nanoseconds since the epoch.
    Time(u64),
    /// Only what comes from now on.
    Now,
}

/// Bytes that are given out at once, about.
const PORTION: usize = 32 * 1024;

/// A reader.
pub struct Follow {
    position: watch::Receiver<Position>,
    lines: Lines<Reader>,
    not_before: u64,
    follow: bool,
    timestamps: bool,
    one_run: bool,
    /// Per stream: the next byte begins a line.
    line_start: [bool; 2],
    /// Per stream: the line that was begun is wanted.
    wanted: [bool; 2],
    /// Read already, and to be given out next.
    pending: Option<(Stream, Vec<u8>)>,
}

impl Follow {
    /// Begins to read.
    ///
    /// # Errors
    /// The file's.
    pub fn new(hub: &Hub, since: Since, follow: bool, timestamps: bool) -> io::Result<Self> {
        Self::over(hub.position(), since, follow, timestamps)
    }

    /// Reads what the container wrote in its run before this one. `None`: there was none.
    ///
    /// # Errors
    /// The file's.
    pub fn previous(hub: &Hub, since: Since, timestamps: bool) -> io::Result<Option<Self>> {
        let Some(position) = hub.previous()? else { return Ok(None) };
        Self::over(position, since, false, timestamps).map(Some)
    }

    fn over(mut position: watch::Receiver<Position>, since: Since, follow: bool, timestamps: bool) -> io::Result<Self> {
        let now = position.borrow_and_update().clone();
        let start = |segment: &Arc<Segment>, offset| Reader { segment: segment.clone(), offset };
        let from = match since {
            Since::Start | Since::Time(_) => start(now.older.as_ref().unwrap_or(&now.current), 0),
            Since::Now => start(&now.current, now.len),
            Since::Tail(n) => {
                let current = tail(&now.current, n)?;
                // Lines that are missing in the current file are the last ones of the one before.
                match &now.older {
                    Some(older) if current.found < n => start(older, tail(older, n - current.found)?.offset),
                    _ => start(&now.current, current.offset),
                }
            }
        };
        Ok(Self {
            position,
            lines: Lines::new(from),
            not_before: if let Since::Time(time) = since { time } else { 0 },
            follow,
            timestamps,
            one_run: false,
            line_start: [true, true],
            wanted: [true, true],
            pending: None,
        })
    }

    /// Leaves out lines that began before this time, in nanoseconds since the epoch.
    #[must_use]
    pub fn not_before(mut self, time_ns: u64) -> Self {
        self.not_before = self.not_before.max(time_ns);
        self
    }

    /// Ends when the container ends, even if it is to be started again.
    #[must_use]
    pub fn one_run(mut self) -> Self {
        self.one_run = true;
        self
    }

    /// The next bytes: which stream, and what. `None` at the end.
    ///
    /// # Errors
    /// The file's.
    pub async fn next(&mut self) -> io::Result<Option<(Stream, Vec<u8>)>> {
        loop {
            // Taken before the file is read: what is written after that is seen as a change, and a file that has one after
            // it, or whose writer has said that it ended, is read to its very end.
            let (ended, run_over) = {
                let position = self.position.borrow_and_update();
                (position.ended, position.run_over)
            };
            let after = self.lines.source().segment.next();
            if let Some(found) = self.read()? {
                return Ok(Some(found));
            }
            if let Some(next) = after {
                if self.one_run && next.run != self.lines.source().segment.run {
                    return Ok(None);
                }
                self.lines = Lines::new(Reader { segment: next, offset: 0 });
                continue;
            }
            if !self.follow || ended || (self.one_run && run_over) {
                return Ok(None);
            }
            if self.position.changed().await.is_err() {
                // The last bytes may have come between the read and the writer's end.
                return self.read();
            }
        }
    }

    /// As much of one stream as the file gives at once, up to some 32 KiB.
    fn read(&mut self) -> io::Result<Option<(Stream, Vec<u8>)>> {
        let mut found = self.pending.take();
        while found.as_ref().is_none_or(|(_, bytes)| bytes.len() < PORTION) {
            let Some(line) = self.lines.next()? else { break };
            let Some(entry) = record::parse(line) else { continue };
            let (at_start, wanted) =
                (&mut self.line_start[entry.stream.index()], &mut self.wanted[entry.stream.index()]);
            if *at_start {
                *wanted = entry.time_ns >= self.not_before;
            }
            let stamped = self.timestamps && *at_start;
            *at_start = entry.full;
            if !*wanted {
                continue;
            }
            let (same, mut out) = match found.take() {
                Some((stream, bytes)) if stream == entry.stream => (true, bytes),
                other => {
                    found = other;
                    (false, Vec::with_capacity(entry.content.len() + 40))
                }
            };
            if stamped {
                out.extend(line.iter().take_while(|b| **b != b' '));
                out.push(b' ');
            }
            out.extend_from_slice(entry.content);
            if entry.full {
                out.push(b'\n');
            }
            if same || found.is_none() {
                found = Some((entry.stream, out));
            } else {
                self.pending = Some((entry.stream, out));
                break;
            }
        }
        Ok(found)
    }
}

struct Tail {
    offset: u64,
    found: u64,
}

/// Where the last `n` lines of a file begin.
fn tail(segment: &Arc<Segment>, n: u64) -> io::Result<Tail> {
    let keep = usize::try_from(n).unwrap_or(usize::MAX);
    let mut starts: VecDeque<u64> = VecDeque::new();
    let (mut offset, mut line_start) = (0, [true, true]);
    let mut lines = Lines::new(Reader { segment: segment.clone(), offset: 0 });
    while let Some(line) = lines.next()? {
        if let Some(entry) = record::parse(line) {
            let start = &mut line_start[entry.stream.index()];
            if *start {
                if starts.len() == keep {
                    starts.pop_front();
                }
                if keep > 0 {
                    starts.push_back(offset);
                }
            }
            *start = entry.full;
        }
        offset += line.len() as u64 + 1;
    }
    Ok(Tail { offset: starts.front().copied().unwrap_or(offset), found: starts.len() as u64 })
}
