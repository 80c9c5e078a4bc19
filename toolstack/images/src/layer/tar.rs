//! Reading the tar of a layer: headers in, [`Entry`] out, contents left in place as extents.
//!
//! Understood: v7, ustar, GNU (long names, base-256 numbers, old sparse files), star, and PAX (path, linkpath, size,
//! uid, gid, mtime, `SCHILY.xattr.*`, GNU sparse 0.0, 0.1 and 1.0). The archive crates at hand lose the fraction and
//! the sign of PAX times or hide the extents of sparse files, which is why this is our own. Anything a header says
//! that is not understood is refused; PAX keywords of no consequence for the tree (atime, uname, comments) are
//! skipped, as POSIX asks.
//!
//! Neighbours: [`header`] reads one 512-byte block, [`pax`] one extended header, [`sparse`] the maps of sparse files.

mod header;
mod pax;
mod sparse;

use std::fs::File;
use std::os::unix::fs::FileExt;

use crate::error::{ErrorKind, printable};
use crate::layer::Spool;
use crate::limits::Limits;
use header::{BLOCK, Header};
use pax::Pax;

/// One member of the layer, with all its extensions applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As in the archive; not yet judged.
    pub path: Vec<u8>,
    /// Permission bits, setuid, setgid and sticky: 12 bits.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since the epoch and nanoseconds.
    pub mtime: (i64, u32),
    /// Full names and values.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it is.
    pub kind: Kind,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Dir,
    /// A regular file.
    File(Content),
    /// Another name for an earlier entry, by its path.
    HardLink(Vec<u8>),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A character device: major, minor.
    Char(u32, u32),
    /// A block device: major, minor.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// Where a file's bytes are in the spool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Length of the file.
    pub size: u64,
    /// Data, ascending and disjoint; what lies between reads as zeros.
    pub extents: Vec<Extent>,
}

/// A run of bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Offset in the file.
    pub at: u64,
    /// Length in bytes.
    pub len: u64,
    /// Offset in the spool.
    pub spool: u64,
}

/// Iterates over the entries of a spooled layer.
pub struct Reader<'a> {
    file: &'a File,
    len: u64,
    layer: &'a str,
    limits: &'a Limits,
    pos: u64,
    done: bool,
}

/// Extensions that apply to the next entry.
#[derive(Default)]
struct Pending {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    pax: Option<Pax>,
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && self.pax.is_none()
    }
}

impl<'a> Reader<'a> {
    /// Starts at the beginning; a spool can be read any number of times.
    pub fn new(spool: &'a Spool, limits: &'a Limits) -> Self {
        Self { file: &spool.file, len: spool.len, layer: &spool.name, limits, pos: 0, done: false }
    }

    /// The next entry, or `None` at the archive's end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ErrorKind> {
        let mut pending = Pending::default();
        while !self.done {
            let Some(block) = self.next_block()? else {
                self.done = true;
                break;
            };
            if block.iter().all(|&b| b == 0) {
                self.end_marker()?;
                self.done = true;
                break;
            }
            let at = self.pos - BLOCK;
            let header = Header::parse(&block).map_err(|why| self.bad(format!("tar header at byte {at}: {why}")))?;
            match header.typeflag {
                b'L' => self.extension(&header, &mut pending.long_name, "GNU long name")?,
                b'K' => self.extension(&header, &mut pending.long_link, "GNU long link")?,
                b'x' => {
                    let mut records = None;
                    self.extension(&header, &mut records, "PAX header")?;
                    if pending.pax.is_some() {
                        return Err(self.bad(format!("two PAX headers for one entry at byte {at}")));
                    }
                    pending.pax = Some(self.parse_pax(&records.unwrap_or_default(), at)?);
                }
                b'g' => {
                    let mut records = None;
                    self.extension(&header, &mut records, "PAX header")?;
                    if self.parse_pax(&records.unwrap_or_default(), at)?.matters() {
                        let what = format!("a global PAX header (at byte {at}) that sets attributes");
                        return Err(ErrorKind::Unsupported { object: format!("layer {}", self.layer), what });
                    }
                }
                _ => return self.entry(&header, pending).map(Some),
            }
        }
        if !pending.is_empty() {
            return Err(self.bad("the tar ends after an extended header, before the entry it describes".to_owned()));
        }
        Ok(None)
    }

    fn parse_pax(&self, records: &[u8], at: u64) -> Result<Pax, ErrorKind> {
        Pax::parse(records, self.limits.max_sparse_chunks)
            .map_err(|why| self.bad(format!("PAX header at byte {at}: {why}")))
    }

    fn entry(&mut self, header: &Header, pending: Pending) -> Result<Entry, ErrorKind> {
        let pax = pending.pax.unwrap_or_default();
        let path = pax.sparse_name.clone().or(pax.path.clone()).or(pending.long_name).unwrap_or_else(|| header.path());
        let link = pax.linkpath.clone().or(pending.long_link).unwrap_or_else(|| header.link.clone());
        let (name, layer) = (printable(&path), self.layer);
        let bad = |reason: String| ErrorKind::BadEntry { layer: layer.to_owned(), entry: name.clone(), reason };
        if path.is_empty() {
            return Err(bad("has no name".to_owned()));
        }
        for (what, bytes) in [("its name", &path), ("its link target", &link)] {
            if bytes.contains(&0) {
                return Err(bad(format!("{what} contains a NUL byte")));
            }
            if bytes.len() > self.limits.max_path_bytes {
                let object = format!("layer {}: entry \"{name}\"", self.layer);
                let what = if what == "its name" { "the length of its name" } else { "the length of its link target" };
                return Err(ErrorKind::TooLarge { object, what, limit: self.limits.max_path_bytes as u64 });
            }
        }
        let id = |value: i128, what: &str| {
            // u32::MAX is "no id" to the kernel.
            u32::try_from(value)
                .ok()
                .filter(|&id| id != u32::MAX)
                .ok_or_else(|| bad(format!("{what} {value} is out of range")))
        };
        let uid = id(pax.uid.map_or(header.uid, i128::from), "owner")?;
        let gid = id(pax.gid.map_or(header.gid, i128::from), "group")?;
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => (i64::try_from(header.mtime).map_err(|_| bad("its time is out of range".to_owned()))?, 0),
        };
        let mode = u16::try_from(header.mode & 0o7777).unwrap_or(0);
        // Old archives have no type for directories but a trailing slash. A sparse file's data may be wherever it
        // likes.
        let typeflag = match header.typeflag {
            b'0' | 0 | b'7' if path.ends_with(b"/") => b'5',
            other => other,
        };
        let kind = match typeflag {
            b'0' | 0 | b'7' | b'S' => {
                let size = u64::try_from(header.size).map_err(|_| bad("its size is negative".to_owned()))?;
                let size = pax.size.unwrap_or(size);
                Kind::File(self.content(header, &pax, size, &bad)?)
            }
            b'1' if link.is_empty() => return Err(bad("is a hard link to nothing".to_owned())),
            b'1' => Kind::HardLink(link),
            b'2' if link.is_empty() => return Err(bad("is a symbolic link to nothing".to_owned())),
            b'2' => Kind::Symlink(link),
            b'3' | b'4' => {
                // include/linux/kdev_t.h: 12 bits of major, 20 of minor.
                let number = |value: i128, max: u32| u32::try_from(value).ok().filter(|&n| n <= max);
                let (Some(major), Some(minor)) = (number(header.major, 0xfff), number(header.minor, 0xf_ffff)) else {
                    return Err(bad(format!("device number {}:{} is out of range", header.major, header.minor)));
                };
                if typeflag == b'3' { Kind::Char(major, minor) } else { Kind::Block(major, minor) }
            }
            b'5' => Kind::Dir,
            b'6' => Kind::Fifo,
            other => {
                let object = format!("layer {}: entry \"{name}\"", self.layer);
                return Err(ErrorKind::Unsupported {
                    object,
                    what: format!("tar entry type '{}'", other.escape_ascii()),
                });
            }
        };
        Ok(Entry { path, mode, uid, gid, mtime, xattrs: pax.xattrs, kind })
    }

    /// Notes where a file's data is and steps over it.
    fn content(
        &mut self,
        header: &Header,
        pax: &Pax,
        stored: u64,
        bad: &dyn Fn(String) -> ErrorKind,
    ) -> Result<Content, ErrorKind> {
        let start = self.pos;
        let max = self.limits.max_sparse_chunks;
        let (map, data, size) = if header.typeflag == b'S' {
            let (map, data) = sparse::old_gnu(header, start, max, &mut |at| self.block_at(at)).map_err(bad)?;
            let size = u64::try_from(header.real_size).map_err(|_| bad("its real size is negative".to_owned()))?;
            // In this format the extension blocks stand between header and data and are not counted in the size.
            (map, data..data.saturating_add(stored), size)
        } else if let Some(size) = pax.sparse_size {
            let (map, data) = match &pax.sparse_map {
                Some(map) => (map.clone(), start),
                None if pax.sparse_v1 => {
                    sparse::pax_v1(start, stored, max, &mut |at| self.block_at(at)).map_err(bad)?
                }
                None => return Err(bad("a sparse file without a map".to_owned())),
            };
            (map, data..start.saturating_add(stored), size)
        } else {
            (vec![(0, stored)], start..start.saturating_add(stored), stored)
        };
        let end = data.end;
        if end > self.len {
            let have = self.len.saturating_sub(data.start);
            return Err(bad(format!("the tar ends {have} bytes into its {stored} bytes of data")));
        }
        let extents = sparse::place(&map, &data, size).map_err(bad)?;
        // A last block that is not padded is tolerated, as by other readers: the next read finds the end.
        self.pos = end.next_multiple_of(BLOCK).min(self.len);
        Ok(Content { size, extents })
    }

    /// Reads the body of a GNU long name or a PAX header.
    fn extension(&mut self, header: &Header, slot: &mut Option<Vec<u8>>, what: &'static str) -> Result<(), ErrorKind> {
        let at = self.pos - BLOCK;
        if slot.is_some() {
            return Err(self.bad(format!("two of {what} for one entry at byte {at}")));
        }
        let size = u64::try_from(header.size).map_err(|_| self.bad(format!("{what} at byte {at}: negative size")))?;
        if size > self.limits.max_header_bytes {
            let object = format!("layer {}: {what} at byte {at}", self.layer);
            return Err(ErrorKind::TooLarge { object, what: "its size", limit: self.limits.max_header_bytes });
        }
        if self.pos + size > self.len {
            return Err(self.bad(format!("the tar ends inside the {what} at byte {at}")));
        }
        let mut body = vec![0; size as usize];
        self.read(&mut body, self.pos)?;
        self.pos = (self.pos + size).next_multiple_of(BLOCK).min(self.len);
        if header.typeflag != b'x' && header.typeflag != b'g' {
            let end = body.iter().position(|&b| b == 0).unwrap_or(body.len());
            body.truncate(end);
        }
        *slot = Some(body);
        Ok(())
    }

    /// After one zero block: there must be nothing but zeros. More than one archive in a row would be read differently
    /// by different readers, so it is refused. A missing second block is tolerated, as by GNU tar.
    fn end_marker(&mut self) -> Result<(), ErrorKind> {
        let mut buf = vec![0; 64 << 10];
        while self.pos < self.len {
            let n = (self.len - self.pos).min(buf.len() as u64) as usize;
            self.read(&mut buf[..n], self.pos)?;
            if let Some(i) = buf[..n].iter().position(|&b| b != 0) {
                let at = self.pos + i as u64;
                return Err(self.bad(format!("data at byte {at}, after the end of the tar")));
            }
            self.pos += n as u64;
        }
        Ok(())
    }

    fn next_block(&mut self) -> Result<Option<[u8; BLOCK as usize]>, ErrorKind> {
        if self.pos == self.len {
            return Ok(None);
        }
        if self.len - self.pos < BLOCK {
            return Err(self.bad(format!("the tar ends at byte {}, inside a header", self.len)));
        }
        let mut block = [0; BLOCK as usize];
        self.read(&mut block, self.pos)?;
        self.pos += BLOCK;
        Ok(Some(block))
    }

    fn block_at(&self, at: u64) -> Option<[u8; BLOCK as usize]> {
        let mut block = [0; BLOCK as usize];
        self.file.read_exact_at(&mut block, at).ok()?;
        Some(block)
    }

    fn read(&self, buf: &mut [u8], at: u64) -> Result<(), ErrorKind> {
        self.file.read_exact_at(buf, at).map_err(|e| ErrorKind::store("read back", "a spool file", e))
    }

    fn bad(&self, reason: String) -> ErrorKind {
        ErrorKind::BadLayer { layer: self.layer.to_owned(), reason }
    }
}

#[cfg(test)]
mod tests;
