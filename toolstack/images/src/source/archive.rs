//! A tar with an image in it, as [`Files`]: an index of its members over the open file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::{Context, Files};
use crate::error::{ErrorKind, printable};
use crate::layer::tar::{Extent, Kind, Reader};
use crate::layer::{Spool, inflate};

/// Links in a row before giving up.
const MAX_LINKS: usize = 8;

pub(super) struct Archive {
    file: Arc<File>,
    members: HashMap<String, Member>,
}

enum Member {
    File(Extent),
    /// Normalised path of another member: `docker save` of old replaced layers it had written already by links.
    Link(String),
}

impl Archive {
    pub fn new(file: File, cx: &Context<'_>) -> Result<Self, ErrorKind> {
        let file = inflate(file, cx.spool_dir, cx.limits, cx.cancel)?;
        let len =
            file.metadata().map_err(|cause| ErrorKind::Source { source_name: "the archive".to_owned(), cause })?.len();
        let spool = Spool { file, len, name: String::new() };
        let mut members = HashMap::new();
        let mut reader = Reader::new(&spool, cx.limits);
        let mut count = 0;
        while let Some(entry) = reader.next_entry().map_err(as_archive)? {
            cx.cancel.check()?;
            count += 1;
            if count > cx.limits.max_entries {
                let limit = cx.limits.max_entries;
                return Err(ErrorKind::TooLarge {
                    object: "the archive".to_owned(),
                    what: "the number of its members",
                    limit,
                });
            }
            let shown = printable(&entry.path);
            let unsupported = |what: &str| ErrorKind::Unsupported {
                object: format!("the archive's member \"{shown}\""),
                what: what.to_owned(),
            };
            // Names that are not UTF-8 are no names of blobs.
            let Ok(path) = String::from_utf8(entry.path) else { continue };
            let member = match entry.kind {
                Kind::File(content) => match content.extents[..] {
                    [] => Member::File(Extent { at: 0, len: 0, spool: 0 }),
                    [extent] if extent.len == content.size => Member::File(extent),
                    _ => return Err(unsupported("a sparse file")),
                },
                Kind::HardLink(target) => Member::Link(link(&String::from_utf8_lossy(&target), "", &shown)?),
                Kind::Symlink(target) => {
                    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
                    Member::Link(link(&String::from_utf8_lossy(&target), dir, &shown)?)
                }
                Kind::Dir => continue,
                Kind::Char(..) | Kind::Block(..) | Kind::Fifo => return Err(unsupported("a device")),
            };
            let path = normalise(&path, "").ok_or_else(|| escape(&shown, "its name leads out of it"))?;
            members.insert(path, member);
        }
        Ok(Self { file: Arc::new(spool.file), members })
    }

    fn find(&self, path: &str) -> Option<Extent> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            match self.members.get(&path)? {
                Member::File(extent) => return Some(*extent),
                Member::Link(to) => path.clone_from(to),
            }
        }
        None
    }
}

impl Files for Archive {
    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), ErrorKind> {
        let missing = || ErrorKind::NotFound { place: format!("the archive: it has no {path}") };
        let extent = normalise(path, "").and_then(|path| self.find(&path)).ok_or_else(missing)?;
        let reader = At { file: self.file.clone(), at: extent.spool, left: extent.len };
        Ok((Box::new(reader), extent.len))
    }

    fn has(&self, path: &str) -> bool {
        self.find(path).is_some()
    }
}

fn link(target: &str, dir: &str, shown: &str) -> Result<String, ErrorKind> {
    normalise(target, dir).ok_or_else(|| escape(shown, "it is a link that leads out of it"))
}

fn escape(shown: &str, how: &str) -> ErrorKind {
    ErrorKind::Corrupt { object: format!("the archive's member \"{shown}\""), reason: how.to_owned() }
}

/// Joins lexically; `None` for what is absolute or climbs out.
fn normalise(path: &str, dir: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts = Vec::new();
    for part in dir.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The tar reader speaks of layers; this is none.
fn as_archive(error: ErrorKind) -> ErrorKind {
    match error {
        ErrorKind::BadLayer { reason, .. } => ErrorKind::Corrupt { object: "the archive".to_owned(), reason },
        ErrorKind::BadEntry { entry, reason, .. } => {
            ErrorKind::Corrupt { object: format!("the archive's member \"{entry}\""), reason }
        }
        other => other,
    }
}

/// Reads a range of a file that others read too.
struct At {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for At {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let n = self.file.read_at(&mut buf[..room], self.at)?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}
