//! Writing a tar: ustar headers, PAX where they do not suffice. Every name and number is written as given.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

const BLOCK: usize = 512;

/// One member.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Any bytes.
    pub path: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, u32),
    /// Full names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it is.
    pub kind: Kind,
}

/// What a member is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File(Data),
    /// Another name of that member.
    HardLink(Vec<u8>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A character device.
    Char(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// A file's contents.
#[derive(Debug, Clone)]
pub enum Data {
    /// These.
    Bytes(Vec<u8>),
    /// Those of a file on disk.
    Path(PathBuf),
}

impl Entry {
    /// A member of root's at the epoch.
    pub fn new(path: impl AsRef<[u8]>, mode: u32, kind: Kind) -> Self {
        Self { path: path.as_ref().to_vec(), mode, uid: 0, gid: 0, mtime: (0, 0), xattrs: Vec::new(), kind }
    }

    /// A directory, 0755.
    pub fn dir(path: impl AsRef<[u8]>) -> Self {
        Self::new(path, 0o755, Kind::Dir)
    }

    /// A file, 0644.
    pub fn file(path: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> Self {
        Self::new(path, 0o644, Kind::File(Data::Bytes(data.as_ref().to_vec())))
    }

    /// A hard link.
    pub fn hard_link(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(path, 0o644, Kind::HardLink(target.as_ref().to_vec()))
    }

    /// A symbolic link.
    pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Self {
        Self::new(path, 0o777, Kind::Symlink(target.as_ref().to_vec()))
    }

    /// With these permission bits.
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// With this owner.
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// With this time.
    pub fn mtime(mut self, seconds: i64, nanos: u32) -> Self {
        self.mtime = (seconds, nanos);
        self
    }

    /// With one more extended attribute.
    pub fn xattr(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.xattrs.push((name.into(), value.as_ref().to_vec()));
        self
    }
}

/// Writes a whole archive, end marker included.
pub fn write_tar(mut out: impl Write, entries: &[Entry]) -> io::Result<()> {
    for entry in entries {
        write_entry(&mut out, entry)?;
    }
    out.write_all(&[0; 2 * BLOCK])
}

fn write_entry(out: &mut impl Write, entry: &Entry) -> io::Result<()> {
    let no_link = Vec::new();
    let (typeflag, link, (major, minor)) = match &entry.kind {
        Kind::File(_) => (b'0', &no_link, (0, 0)),
        Kind::HardLink(target) => (b'1', target, (0, 0)),
        Kind::Symlink(target) => (b'2', target, (0, 0)),
        Kind::Char(major, minor) => (b'3', &no_link, (*major, *minor)),
        Kind::Block(major, minor) => (b'4', &no_link, (*major, *minor)),
        Kind::Dir => (b'5', &no_link, (0, 0)),
        Kind::Fifo => (b'6', &no_link, (0, 0)),
    };
    let (size, mut data): (u64, Box<dyn Read + '_>) = match &entry.kind {
        Kind::File(Data::Bytes(bytes)) => (bytes.len() as u64, Box::new(&bytes[..])),
        Kind::File(Data::Path(path)) => {
            let file = File::open(path)?;
            (file.metadata()?.len(), Box::new(file))
        }
        _ => (0, Box::new(io::empty())),
    };
    let pax = pax_records(entry, link, size);
    if !pax.is_empty() {
        out.write_all(&header(b"./PaxHeaders/entry", b'x', &[], 0o644, (0, 0), pax.len() as u64, 0, (0, 0)))?;
        out.write_all(&pax)?;
        pad(out, pax.len() as u64)?;
    }
    let owner = (entry.uid, entry.gid);
    out.write_all(&header(&entry.path, typeflag, link, entry.mode, owner, size, entry.mtime.0, (major, minor)))?;
    let copied = io::copy(&mut data.by_ref().take(size), out)?;
    if copied != size {
        return Err(io::Error::other("a file shrank while it was read"));
    }
    pad(out, size)
}

fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let rest = (size.next_multiple_of(BLOCK as u64) - size) as usize;
    out.write_all(&[0; BLOCK][..rest])
}

const OCTAL_11: u64 = 0o77_777_777_777;
const OCTAL_7: u32 = 0o7_777_777;

fn pax_records(entry: &Entry, link: &[u8], size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if entry.path.len() > 100 {
        record(&mut out, b"path", &entry.path);
    }
    if link.len() > 100 {
        record(&mut out, b"linkpath", link);
    }
    if size > OCTAL_11 {
        record(&mut out, b"size", size.to_string().as_bytes());
    }
    for (key, id) in [("uid", entry.uid), ("gid", entry.gid)] {
        if id > OCTAL_7 {
            record(&mut out, key.as_bytes(), id.to_string().as_bytes());
        }
    }
    match entry.mtime {
        (0.., 0) => {}
        (seconds @ 0.., nanos) => record(&mut out, b"mtime", format!("{seconds}.{nanos:09}").as_bytes()),
        (seconds, 0) => record(&mut out, b"mtime", seconds.to_string().as_bytes()),
        (seconds, nanos) => {
            let text = format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos);
            record(&mut out, b"mtime", text.as_bytes());
        }
    }
    for (name, value) in &entry.xattrs {
        record(&mut out, &[b"SCHILY.xattr.", &name[..]].concat(), value);
    }
    out
}

/// `LENGTH KEY=VALUE\n`, where the length counts itself.
pub(crate) fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + 1;
    while rest + len.to_string().len() != len {
        len = rest + len.to_string().len();
    }
    out.extend_from_slice(format!("{len} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A ustar header; what does not fit is cut, PAX says it in full.
#[allow(clippy::too_many_arguments)]
pub(crate) fn header(
    path: &[u8],
    typeflag: u8,
    link: &[u8],
    mode: u32,
    (uid, gid): (u32, u32),
    size: u64,
    mtime: i64,
    (major, minor): (u32, u32),
) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let octal = |value: u64, width: usize| format!("{value:0width$o}").into_bytes();
    put(0, &path[..path.len().min(100)]);
    put(100, &octal(mode.into(), 7));
    put(108, &octal(uid.min(OCTAL_7).into(), 7));
    put(116, &octal(gid.min(OCTAL_7).into(), 7));
    put(124, &octal(size.min(OCTAL_11), 11));
    put(136, &octal((mtime.max(0) as u64).min(OCTAL_11), 11));
    put(156, &[typeflag]);
    put(157, &link[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    put(329, &octal(major.into(), 7));
    put(337, &octal(minor.into(), 7));
    seal(&mut block);
    block
}

/// Fills in the checksum.
pub(crate) fn seal(block: &mut [u8; BLOCK]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}
