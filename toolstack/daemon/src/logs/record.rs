//! One record: a line of the file.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which of a container's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Its standard output, or its terminal.
    Stdout,
    /// Its standard error.
    Stderr,
}

impl Stream {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Index into a pair.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The longest content of a record. A longer line becomes several records, all but the last `P`: readers of the format
/// have line buffers of their own (containerd's and kubelet's are 16 KiB).
pub const MAX_CONTENT: usize = 16 * 1024;

/// A record, borrowed from the file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Nanoseconds since the epoch.
    pub time_ns: u64,
    /// The stream it belongs to.
    pub stream: Stream,
    /// `F`: a newline follows the content in the stream.
    pub full: bool,
    /// The content, without the newline.
    pub content: &'a [u8],
}

impl Entry<'_> {
    /// How many bytes of the stream it holds.
    #[must_use]
    pub fn stream_len(&self) -> u64 {
        self.content.len() as u64 + u64::from(self.full)
    }
}

/// Parses one line, without its newline. `None`: it is no record.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Entry<'_>> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let full = match parts.next()? {
        b"F" => true,
        b"P" => false,
        _ => return None,
    };
    let content = parts.next()?;
    let time = humantime::parse_rfc3339(time).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Entry { time_ns: u64::try_from(time.as_nanos()).ok()?, stream, full, content })
}

/// Appends the records of `data` to `out`.
pub fn format(out: &mut Vec<u8>, time_ns: u64, stream: Stream, data: &[u8]) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(time_ns);
    let stamp = humantime::format_rfc3339_nanos(time).to_string();
    for line in data.split_inclusive(|b| *b == b'\n') {
        let (content, full) = match line.strip_suffix(b"\n") {
            Some(content) => (content, true),
            None => (line, false),
        };
        let mut rest = content;
        loop {
            let (piece, after) = rest.split_at(rest.len().min(MAX_CONTENT));
            let last = after.is_empty();
            out.extend_from_slice(stamp.as_bytes());
            out.push(b' ');
            out.extend_from_slice(stream.as_str().as_bytes());
            out.extend_from_slice(if last && full { b" F " } else { b" P " });
            out.extend_from_slice(piece);
            out.push(b'\n');
            if last {
                break;
            }
            rest = after;
        }
    }
}
