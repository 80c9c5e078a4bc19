//! Writing a container's output, and knowing where each stream stands.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::record::{self, Stream};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Counts the files: one more at each rotation.
    pub generation: u64,
    /// Bytes in the file of this generation.
    pub len: u64,
    /// Nothing more will come.
    pub ended: bool,
}

/// A log as its readers see it.
#[derive(Clone, Debug)]
pub struct Hub {
    dir: Arc<PathBuf>,
    name: Arc<str>,
    position: watch::Receiver<Position>,
}

impl Hub {
    /// The file that is written now.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    /// The file before the last rotation, if there was one.
    #[must_use]
    pub fn rotated(&self) -> Option<PathBuf> {
        rotated(&self.dir, &self.name).ok()?.map(|(path, _)| path)
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> watch::Receiver<Position> {
        self.position.clone()
    }
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
        let mut offsets = rotated(dir, name).map_err(at(dir, "list"))?.map_or([0, 0], |(_, ends)| ends);
        let path = dir.join(format!("{name}.log"));
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(&path).map_err(at(&path, "open"))?;
        let len = scan(&mut file, &mut offsets).map_err(at(&path, "read"))?;
        file.set_len(len).map_err(at(&path, "truncate"))?;
        let position = watch::Sender::new(Position { len, ..Position::default() });
        Ok(Self {
            dir: Arc::new(dir.into()),
            name: name.into(),
            file,
            len,
            max_len,
            offsets,
            buffer: Vec::new(),
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
        self.position.send_modify(|p| p.ended = true);
    }

    /// The container starts anew: its streams begin at 0 again. The last file is kept as `<name>.previous.log`.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn restart(&mut self) -> Result<(), LogError> {
        self.remove_rotated()?;
        let previous = self.dir.join(format!("{}.previous.log", self.name));
        self.replace(&previous)?;
        self.offsets = [0, 0];
        self.position.send_modify(|p| p.ended = false);
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), LogError> {
        self.remove_rotated()?;
        let [out, err] = self.offsets;
        let old = self.dir.join(format!("{}.{out}-{err}.log", self.name));
        self.replace(&old)
    }

    fn remove_rotated(&self) -> Result<(), LogError> {
        while let Some((path, _)) = rotated(&self.dir, &self.name).map_err(at(&self.dir, "list"))? {
            fs::remove_file(&path).map_err(at(&path, "remove"))?;
        }
        Ok(())
    }

    fn replace(&mut self, old: &Path) -> Result<(), LogError> {
        let path = self.dir.join(format!("{}.log", self.name));
        fs::rename(&path, old).map_err(at(&path, "rename"))?;
        let mut options = OpenOptions::new();
        self.file = options.read(true).append(true).create(true).open(&path).map_err(at(&path, "open"))?;
        self.len = 0;
        self.position.send_modify(|p| *p = Position { generation: p.generation + 1, len: 0, ended: p.ended });
        Ok(())
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
