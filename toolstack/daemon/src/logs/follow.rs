//! Reading a log: the bytes as the container wrote them, from some point on, to its end or for as long as it goes on.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::Path;

use super::record::{self, Stream};
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
}

/// A reader.
pub struct Follow {
    hub: Hub,
    position: tokio::sync::watch::Receiver<Position>,
    /// Files still to be read before the current one.
    lines: Option<Lines<File>>,
    /// The generation `lines` is of; `None` for the rotated file.
    generation: Option<u64>,
    not_before: u64,
    follow: bool,
    timestamps: bool,
    /// Per stream: the next byte begins a line.
    line_start: [bool; 2],
}

impl Follow {
    /// Begins to read.
    ///
    /// # Errors
    /// The file's.
    pub fn new(hub: Hub, since: Since, follow: bool, timestamps: bool) -> io::Result<Self> {
        let position = hub.position();
        let mut this = Self {
            position,
            lines: None,
            generation: None,
            not_before: 0,
            follow,
            timestamps,
            line_start: [true, true],
            hub,
        };
        let generation = this.position.borrow().generation;
        let old = this.hub.rotated();
        match since {
            Since::Start | Since::Time(_) => {
                if let Since::Time(t) = since {
                    this.not_before = t;
                }
                match old {
                    Some(path) => this.lines = Some(Lines::new(File::open(path)?)),
                    None => this.open_current(generation)?,
                }
            }
            Since::Tail(n) => {
                let current = tail(&this.hub.current(), n)?;
                // Lines that are missing in the current file are the last ones of the one before.
                let old_tail = match old {
                    Some(path) if current.found < n => Some((tail(&path, n - current.found)?.offset, path)),
                    _ => None,
                };
                match old_tail {
                    Some((offset, path)) => this.lines = Some(Lines::new(opened_at(&path, offset)?)),
                    None => {
                        this.lines = Some(Lines::new(opened_at(&this.hub.current(), current.offset)?));
                        this.generation = Some(generation);
                    }
                }
            }
        }
        Ok(this)
    }

    fn open_current(&mut self, generation: u64) -> io::Result<()> {
        self.lines = Some(Lines::new(File::open(self.hub.current())?));
        self.generation = Some(generation);
        Ok(())
    }

    /// The next bytes: which stream, and what. `None` at the end.
    ///
    /// # Errors
    /// The file's.
    pub async fn next(&mut self) -> io::Result<Option<(Stream, Vec<u8>)>> {
        loop {
            // Taken before the file is read: what is written after that is seen as a change.
            let position = *self.position.borrow_and_update();
            if let Some(found) = self.read()? {
                return Ok(Some(found));
            }
            if self.generation != Some(position.generation) {
                self.open_current(position.generation)?;
                continue;
            }
            if !self.follow || position.ended || self.position.changed().await.is_err() {
                // The last bytes may have come between the read and the word that it ended.
                return self.read();
            }
        }
    }

    /// As much of one stream as the file gives at once, up to some 32 KiB.
    fn read(&mut self) -> io::Result<Option<(Stream, Vec<u8>)>> {
        let Some(lines) = &mut self.lines else { return Ok(None) };
        while let Some(line) = lines.next()? {
            let Some(entry) = record::parse(line) else { continue };
            if entry.time_ns < self.not_before {
                continue;
            }
            let mut out = Vec::with_capacity(entry.content.len() + 40);
            let at_start = &mut self.line_start[entry.stream.index()];
            if self.timestamps && *at_start {
                out.extend(line.iter().take_while(|b| **b != b' '));
                out.push(b' ');
            }
            out.extend_from_slice(entry.content);
            if entry.full {
                out.push(b'\n');
            }
            *at_start = entry.full;
            return Ok(Some((entry.stream, out)));
        }
        Ok(None)
    }
}

struct Tail {
    offset: u64,
    found: u64,
}

/// Where the last `n` lines of a file begin.
fn tail(path: &Path, n: u64) -> io::Result<Tail> {
    let keep = usize::try_from(n).unwrap_or(usize::MAX);
    let mut starts: VecDeque<u64> = VecDeque::new();
    let (mut offset, mut line_start) = (0, [true, true]);
    let mut lines = Lines::new(File::open(path)?);
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

fn opened_at(path: &Path, offset: u64) -> io::Result<File> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(file)
}
