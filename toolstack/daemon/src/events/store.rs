//! The stream on disk: two files of lines, of which the older is dropped when the newer is full.
//!
//! A thread of its own writes, in the order of the numbers, and syncs only at an orderly end.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use super::Event;

const NEWER: &str = "newer.json";
const OLDER: &str = "older.json";
/// The first line of each daemon's.
const BEGIN: &str = "\"begin\"";
/// The last line after an orderly end.
const END: &str = "\"end\"";

/// What was there.
pub(super) struct Found {
    pub(super) events: VecDeque<Event>,
    /// The last daemon ended in order.
    pub(super) orderly: bool,
}

/// The writer.
pub(super) struct Store {
    queue: mpsc::Sender<Arc<Event>>,
    thread: JoinHandle<()>,
}

impl Store {
    /// Reads what is there and goes on behind it. Between half of `kept` and `kept` events stay on disk.
    pub(super) fn open(dir: &Path, kept: usize) -> io::Result<(Self, Found)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut found = Found { events: VecDeque::new(), orderly: false };
        read(&dir.join(OLDER), &mut found)?;
        let before = found.events.len();
        read(&dir.join(NEWER), &mut found)?;
        let lines = found.events.len() - before;
        // Both are there from now on.
        append_to(&dir.join(OLDER))?;
        let mut file = append_to(&dir.join(NEWER))?;
        // Behind a line that a crash tore. On the disk before anything happens: the last end is the end no more.
        writeln!(file, "\n{BEGIN}")?;
        file.sync_data()?;
        let (queue, events) = mpsc::channel();
        let writer =
            Writer { dir: dir.into(), file: BufWriter::new(file), lines, half: (kept / 2).max(1), failed: false };
        let thread = std::thread::Builder::new().name("events".into()).spawn(move || writer.run(&events))?;
        Ok((Self { queue, thread }, found))
    }

    pub(super) fn append(&self, event: Arc<Event>) {
        // The thread ends only with the sender.
        let _ = self.queue.send(event);
    }

    /// Writes what waits and says that this was all.
    pub(super) fn close(self) {
        drop(self.queue);
        let _ = self.thread.join();
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// What is no event, for a crash tore it or a newer daemon wrote it, is passed over.
fn read(path: &Path, found: &mut Found) -> io::Result<()> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
        found.orderly = line == END.as_bytes();
        let last = found.events.back().map_or(0, |e| e.number);
        if let Ok(event) = serde_json::from_slice::<Event>(line)
            && event.number > last
        {
            found.events.push_back(event);
        }
    }
    Ok(())
}

struct Writer {
    dir: PathBuf,
    file: BufWriter<File>,
    lines: usize,
    half: usize,
    /// It was said that the disk fails.
    failed: bool,
}

impl Writer {
    fn run(mut self, events: &mpsc::Receiver<Arc<Event>>) {
        while let Ok(first) = events.recv() {
            let written = std::iter::once(first).chain(events.try_iter()).try_for_each(|e| self.write(&e));
            let flushed = written.and_then(|()| self.file.flush());
            self.tell(flushed);
        }
        let ended = writeln!(self.file, "{END}").and_then(|()| self.file.flush());
        let synced = ended.and_then(|()| self.file.get_ref().sync_data());
        self.tell(synced);
    }

    fn write(&mut self, event: &Event) -> io::Result<()> {
        if self.lines >= self.half {
            self.file.flush()?;
            fs::rename(self.dir.join(NEWER), self.dir.join(OLDER))?;
            self.file = BufWriter::new(append_to(&self.dir.join(NEWER))?);
            self.lines = 0;
        }
        serde_json::to_writer(&mut self.file, event)?;
        self.file.write_all(b"\n")?;
        self.lines += 1;
        Ok(())
    }

    fn tell(&mut self, result: io::Result<()>) {
        match result {
            Err(error) if !self.failed => {
                self.failed = true;
                let dir = self.dir.display();
                tracing::warn!(%error, "events cannot be written to {dir} and will not be there after a restart: {error}");
            }
            Err(_) => {}
            Ok(()) => self.failed = false,
        }
    }
}
