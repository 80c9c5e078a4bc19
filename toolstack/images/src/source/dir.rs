//! A layout's directory, which its owner may change under our hands: no link is followed and nothing outside is
//! reached.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};

use super::Files;
use crate::error::ErrorKind;

pub(super) struct Dir {
    fd: OwnedFd,
}

impl Dir {
    pub fn new(fd: OwnedFd) -> Result<Self, ErrorKind> {
        let stat =
            fstat(&fd).map_err(|e| ErrorKind::Source { source_name: "the layout".to_owned(), cause: e.into() })?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            let cause = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(ErrorKind::Source { source_name: "the layout".to_owned(), cause });
        }
        Ok(Self { fd })
    }

    fn open_file(&self, path: &str) -> io::Result<(File, u64)> {
        // Not blocking, so that a pipe in the place of a blob does not hold us up.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = File::from(openat2(&self.fd, path, flags, Mode::empty(), resolve)?);
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok((file, meta.len()))
    }
}

impl Files for Dir {
    fn open(&self, path: &str) -> Result<(Box<dyn Read + Send>, u64), ErrorKind> {
        match self.open_file(path) {
            Ok((file, len)) => Ok((Box::new(file), len)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(ErrorKind::NotFound { place: format!("the layout: it has no {path}") })
            }
            Err(cause) => Err(ErrorKind::Source { source_name: path.to_owned(), cause }),
        }
    }

    fn has(&self, path: &str) -> bool {
        self.open_file(path).is_ok()
    }
}
