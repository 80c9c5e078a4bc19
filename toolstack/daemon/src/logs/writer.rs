//! Writing a container's output, and knowing where each stream stands.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::record::{self, Stream};
use super::segment::{MAX_BEHIND, Segment};

/// Output that could not be kept.
#[derive(Debug, thiserror::Error)]
#[error("log {}: {what}: {source}", path.display())]
pub struct LogError {
    path: PathBuf,
    what: &'static str,
    source: io::Error,
}

fn at<'a>(path: &'a Path, what: &'static str) -> impl FnOnce(io::Error) -> LogError + use<'a> {
    move |source| LogError { path: path.into(), what, source }
}

/// Where a log stands, for those who follow it.
#[derive(Clone, Debug)]
pub(super) struct Position {
    /// The file that is written.
    pub(super) current: Arc<Segment>,
    /// The one before it, of the same run, if it is kept.
    pub(super) older: Option<Arc<Segment>>,
    /// Bytes in the current file.
    pub(super) len: u64,
    /// The container has ended, and all its output is here. It may be started again.
    pub(super) run_over: bool,
    /// Nothing more will come.
    pub(super) ended: bool,
}

/// A log as its readers see it.
#[derive(Clone, Debug)]
pub struct Hub {
    dir: Arc<PathBuf>,
    name: Arc<str>,
    position: watch::Receiver<Position>,
}

impl Hub {
    /// Where it stands.
    pub(super) fn position(&self) -> watch::Receiver<Position> {
        self.position.clone()
    }

    /// The files of the run before this one, as a log that has ended; `None` when there was none.
    pub(super) fn previous(&self) -> io::Result<Option<watch::Receiver<Position>>> {
        let open = |path: &Path| match Segment::open(path, 0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        };
        let [first, last] = previous(&self.dir, &self.name);
        let Some(current) = open(&last)? else { return Ok(None) };
        let older = open(&first)?;
        if let Some(older) = &older {
            older.set_next(current.clone());
        }
        let len = fs::metadata(&last)?.len();
        let position = Position { current, older, len, run_over: true, ended: true };
        Ok(Some(watch::channel(position).1))
    }
}

/// The files of the run before this one: what had been rotated, and the last.
fn previous(dir: &Path, name: &str) -> [PathBuf; 2] {
    [dir.join(format!("{name}.previous.old.log")), dir.join(format!("{name}.previous.log"))]
}

/// The writer of one container's log.
#[derive(Debug)]
pub struct LogWriter {
    dir: Arc<PathBuf>,
    name: Arc<str>,
    file: File,
    len: u64,
    max_len: u64,
    offsets: [u64; 2],
    buffer: Vec<u8>,
    run: u64,
    /// The last [`MAX_BEHIND`] files before the current one, for as long as somebody reads them.
    behind: VecDeque<Weak<Segment>>,
    /// Files before those.
    stragglers: Vec<Weak<Segment>>,
    position: watch::Sender<Position>,
}

/// Finds `<name>.<out>-<err>.log`: the rotated file, and where the streams stood at its end.
fn rotated(dir: &Path, name: &str) -> io::Result<Option<(PathBuf, [u64; 2])>> {
    let mut best: Option<(PathBuf, [u64; 2])> = None;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let file_name = entry.file_name();
        let ends = file_name
            .to_str()
            .and_then(|n| n.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".log")?.split_once('-'))
            .and_then(|(out, err)| Some([out.parse().ok()?, err.parse().ok()?]));
        if let Some(ends) = ends
            && best.as_ref().is_none_or(|(_, b)| ends.iter().sum::<u64>() > b.iter().sum())
        {
            best = Some((entry.path(), ends));
        }
    }
    Ok(best)
}

impl LogWriter {
    /// Opens the log `name` in `dir`, going on where it ends. A record that a crash cut short is dropped: the guest still
    /// has its bytes. The file is rotated when it grows past `max_len`; one old file is kept.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn open(dir: &Path, name: &str, max_len: u64) -> Result<Self, LogError> {
        fs::create_dir_all(dir).map_err(at(dir, "make the folder"))?;
        let before = rotated(dir, name).map_err(at(dir, "list"))?;
        let mut offsets = before.as_ref().map_or([0, 0], |(_, ends)| *ends);
        let path = dir.join(format!("{name}.log"));
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(&path).map_err(at(&path, "open"))?;
        let len = scan(&mut file, &mut offsets).map_err(at(&path, "read"))?;
        file.set_len(len).map_err(at(&path, "truncate"))?;
        let current = Segment::open(&path, 0).map_err(at(&path, "open"))?;
        let older = before.map(|(path, _)| Segment::open(&path, 0).map_err(at(&path, "open"))).transpose()?;
        if let Some(older) = &older {
            older.set_next(current.clone());
        }
        let position = watch::Sender::new(Position { current, older, len, run_over: false, ended: false });
        Ok(Self {
            dir: Arc::new(dir.into()),
            name: name.into(),
            file,
            len,
            max_len,
            offsets,
            buffer: Vec::new(),
            run: 0,
            behind: VecDeque::new(),
            stragglers: Vec::new(),
            position,
        })
    }

    /// For readers.
    #[must_use]
    pub fn hub(&self) -> Hub {
        Hub { dir: self.dir.clone(), name: self.name.clone(), position: self.position.subscribe() }
    }

    /// How many bytes of a stream are in the log.
    #[must_use]
    pub fn offset(&self, stream: Stream) -> u64 {
        self.offsets[stream.index()]
    }

    /// Appends `data`. When this returns, the bytes survive the daemon, and the guest may forget them. (They need not
    /// survive the host: the domain does not either.)
    ///
    /// # Errors
    /// [`LogError`]; the stream's offset is then what it was.
    pub fn append(&mut self, time_ns: u64, stream: Stream, data: &[u8]) -> Result<(), LogError> {
        if data.is_empty() {
            return Ok(());
        }
        if self.len >= self.max_len {
            self.rotate()?;
        }
        self.buffer.clear();
        record::format(&mut self.buffer, time_ns, stream, data);
        if let Err(source) = self.file.write_all(&self.buffer) {
            // Part of it may be in the file: take that back, or the offsets would lie. On a full disk this works.
            let _ = self.file.set_len(self.len);
            let path = self.dir.join(format!("{}.log", self.name));
            return Err(LogError { path, what: "write", source });
        }
        self.len += self.buffer.len() as u64;
        self.offsets[stream.index()] += data.len() as u64;
        self.position.send_modify(|p| p.len = self.len);
        Ok(())
    }

    /// Nothing more will come: those who follow come to their end.
    pub fn end(&mut self) {
        self.position.send_modify(|p| (p.run_over, p.ended) = (true, true));
    }

    /// The container has ended and its output is complete; it may be started again.
    pub fn end_run(&mut self) {
        self.position.send_modify(|p| p.run_over = true);
    }

    /// The container starts anew: its streams begin at 0 again. What its last run left is kept until the next restart, as
    /// `<name>.previous.log`, and `<name>.previous.old.log` when it had been rotated.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn restart(&mut self) -> Result<(), LogError> {
        let [first, last] = previous(&self.dir, &self.name);
        match rotated(&self.dir, &self.name).map_err(at(&self.dir, "list"))? {
            Some((path, _)) => fs::rename(&path, &first).map_err(at(&path, "rename"))?,
            None => match fs::remove_file(&first) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&first, "remove")(error)),
                _ => {}
            },
        }
        // There is one in any case: a crash may have left more.
        self.remove_rotated()?;
        self.run += 1;
        self.replace(&last, false)?;
        self.offsets = [0, 0];
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        self.remove_rotated()?;
        let [out, err] = self.offsets;
        let old = self.dir.join(format!("{}.{out}-{err}.log", self.name));
        self.replace(&old, true)
    }

    fn remove_rotated(&self) -> Result<(), LogError> {
        while let Some((path, _)) = rotated(&self.dir, &self.name).map_err(at(&self.dir, "list"))? {
            fs::remove_file(&path).map_err(at(&path, "remove"))?;
        }
        Ok(())
    }

    /// Goes on in a new file, of the same run or of the next.
    fn replace(&mut self, old: &Path, same_run: bool) -> Result<(), LogError> {
        let path = self.dir.join(format!("{}.log", self.name));
        fs::rename(&path, old).map_err(at(&path, "rename"))?;
        let mut options = OpenOptions::new();
        self.file = options.read(true).append(true).create(true).open(&path).map_err(at(&path, "open"))?;
        self.len = 0;
        let segment = Segment::open(&path, self.run).map_err(at(&path, "open"))?;
        let before = self.position.borrow().current.clone();
        before.set_next(segment.clone());
        self.behind.push_back(Arc::downgrade(&before));
        self.position.send_modify(|p| {
            let over = same_run && p.run_over;
            let ended = same_run && p.ended;
            let older = same_run.then_some(before);
            *p = Position { current: segment.clone(), older, len: 0, run_over: over, ended };
        });
        self.leave_behind(&segment);
        Ok(())
    }

    /// Those who read files that are too old go on with the oldest that is kept for readers.
    fn leave_behind(&mut self, current: &Arc<Segment>) {
        let too_old = if self.behind.len() > MAX_BEHIND { self.behind.pop_front() } else { None };
        let oldest = self.behind.iter().find_map(Weak::upgrade).unwrap_or_else(|| current.clone());
        self.stragglers.retain(|straggler| match straggler.upgrade() {
            Some(straggler) => {
                straggler.set_next(oldest.clone());
                true
            }
            None => false,
        });
        // What the stragglers alone held is gone by now.
        if let Some(old) = too_old.filter(|old| old.strong_count() > 0) {
            tracing::warn!(
                log = self.name.as_ref(),
                "a reader of log {} in {} is {MAX_BEHIND} files behind: it misses what is in between",
                self.name,
                self.dir.display()
            );
            self.stragglers.push(old);
        }
    }
}

/// Adds each record's bytes to its stream's offset; returns where the last whole record ends.
fn scan(file: &mut File, offsets: &mut [u64; 2]) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut lines = Lines::new(file);
    let mut end = 0;
    while let Some(line) = lines.next()? {
        let Some(entry) = record::parse(line) else { break };
        offsets[entry.stream.index()] += entry.stream_len();
        end += line.len() as u64 + 1;
    }
    Ok(end)
}

/// Whole lines of a file, in bounded memory: a line longer than a record can be ends the iteration.
pub(super) struct Lines<R> {
    from: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, buffer: vec![0; 2 * record::MAX_CONTENT + 256], start: 0, end: 0 }
    }

    /// What is read.
    pub(super) fn source(&self) -> &R {
        &self.from
    }

    /// The next line without its newline. `None` at the end of the file; what follows the last newline is kept, so that
    /// a file that grew can be read on.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = self.start;
        loop {
            if let Some(at) = self.buffer[searched..self.end].iter().position(|b| *b == b'\n') {
                let (from, to) = (self.start, searched + at);
                self.start = to + 1;
                return Ok(Some(&self.buffer[from..to]));
            }
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            }
            searched = self.end;
            if self.end == self.buffer.len() {
                return Ok(None);
            }
            match self.from.read(&mut self.buffer[self.end..])? {
                0 => return Ok(None),
                n => self.end += n,
            }
        }
    }
}
