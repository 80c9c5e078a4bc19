//! One layer: from compressed blob to a verified, uncompressed spool file.
//!
//! ```text
//! blob --hash, count--> decompress --hash, bound--> spool (an unlinked temporary file)
//! ```
//!
//! The spool is what [`tar`] reads and where file contents stay until [`crate::erofs`] copies them. It has no name, so
//! a crash leaves nothing behind. Neighbours: [`crate::source`] hands in blobs, [`crate::tree`] merges layers.

pub mod tar;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::digest::{Digest, Hasher};
use crate::error::ErrorKind;
use crate::limits::Limits;
use crate::progress::Cancel;

/// An uncompressed layer whose digest has been checked.
#[derive(Debug)]
pub struct Spool {
    /// The tar.
    pub file: File,
    /// Its length in bytes.
    pub len: u64,
    /// The digest the layer is known by in the manifest; for messages.
    pub name: String,
}

/// What the manifest and the image configuration promise about a layer.
#[derive(Debug, Clone)]
pub struct Expected {
    /// Digest of the blob as stored.
    pub digest: Digest,
    /// Size of the blob as stored.
    pub size: u64,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
}

/// Largest window a zstd frame may ask for. The format's recommended minimum for decoders is 8 MiB; `zstd -19 --long`
/// asks for 128 MiB.
const ZSTD_WINDOW_MAX: u64 = 128 << 20;

/// Reads a blob to its end, checks size and digest, decompresses it by its magic number and checks the diff id.
///
/// `used` counts the uncompressed bytes of all the image's layers, which may be spooled side by side. The compression
/// is found by magic, as every other runtime does; the media type has been vetted before.
pub fn spool(
    blob: impl Read,
    expected: &Expected,
    dir: &Path,
    used: &AtomicU64,
    limits: &Limits,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64),
) -> Result<Spool, ErrorKind> {
    let name = expected.digest.to_string();
    let file = tempfile::tempfile_in(dir).map_err(|e| ErrorKind::store("create a spool file in", dir, e))?;
    let verifier =
        Verifier { inner: blob, hasher: expected.digest.hasher(), seen: 0, limit: expected.size, failure: None };
    let mut input = BufReader::with_capacity(128 << 10, verifier);
    let mut sink = Sink {
        file: &file,
        dir,
        len: 0,
        hasher: expected.diff_id.hasher(),
        limits,
        used,
        name: &name,
        cancel,
        progress,
    };
    let unpacked = unpack(&mut input, &mut sink);
    let (len, diff_id) = (sink.len, sink.hasher.finish());
    // Whatever the decompressor made of the bytes: if they are not the promised ones, that is the error to report.
    let checked = input.into_inner().finish(expected);
    if let Err(kind @ (ErrorKind::TooLarge { .. } | ErrorKind::Cancelled | ErrorKind::Store { .. })) = unpacked {
        return Err(kind);
    }
    checked?;
    unpacked?;
    if diff_id != expected.diff_id {
        let object = format!("layer {name}, uncompressed,");
        return Err(ErrorKind::DigestMismatch { object, expected: expected.diff_id.clone(), actual: diff_id });
    }
    Ok(Spool { file, len, name })
}

/// An archive as a plain, seekable file: itself if it is that already, or unpacked into an unlinked file in `dir`.
pub(crate) fn inflate(mut file: File, dir: &Path, limits: &Limits, cancel: &Cancel) -> Result<File, ErrorKind> {
    const NAME: &str = "the archive";
    let failed = |cause| ErrorKind::Source { source_name: NAME.to_owned(), cause };
    let is_file = file.metadata().map_err(failed)?.is_file();
    if is_file {
        let mut head = [0; 4];
        let n = file.read_at(&mut head, 0).map_err(failed)?;
        if !head.starts_with(&GZIP) && !is_zstd(&head[..n]) {
            return Ok(file);
        }
        file.seek(io::SeekFrom::Start(0)).map_err(failed)?;
    }
    let spool = tempfile::tempfile_in(dir).map_err(|e| ErrorKind::store("create a spool file in", dir, e))?;
    let mut sink = Sink {
        file: &spool,
        dir,
        len: 0,
        hasher: Hasher::sha256(),
        limits: &Limits { max_layer_bytes: limits.max_image_bytes, ..limits.clone() },
        used: &AtomicU64::new(0),
        name: NAME,
        cancel,
        progress: &mut |_| {},
    };
    unpack(&mut BufReader::with_capacity(128 << 10, file), &mut sink).map_err(|kind| match kind {
        ErrorKind::BadLayer { reason, .. } => ErrorKind::Corrupt { object: NAME.to_owned(), reason },
        ErrorKind::TooLarge { limit, .. } => {
            ErrorKind::TooLarge { object: NAME.to_owned(), what: "its uncompressed size", limit }
        }
        other => other,
    })?;
    Ok(spool)
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

fn unpack<R: Read>(input: &mut BufReader<R>, sink: &mut Sink<'_>) -> Result<(), ErrorKind> {
    let bad = |name: &str, what: &str, e: io::Error| ErrorKind::BadLayer {
        layer: name.to_owned(),
        reason: format!("{what}: {e}"),
    };
    let head = input.fill_buf().map_err(|e| bad(sink.name, "cannot be read", e))?;
    if head.starts_with(&GZIP) {
        let mut gz = flate2::bufread::MultiGzDecoder::new(input);
        return sink.copy(&mut gz, "gzip data is damaged");
    }
    if !is_zstd(head) {
        return sink.copy(input, "cannot be read");
    }
    // A zstd stream is a sequence of frames, some of them skippable.
    loop {
        let head = input.fill_buf().map_err(|e| bad(sink.name, "cannot be read", e))?;
        if head.is_empty() {
            return Ok(());
        }
        zstd_frame(input, sink)?;
    }
}

fn is_zstd(head: &[u8]) -> bool {
    // RFC 8878: 0xFD2FB528 little endian, or a skippable frame 0x184D2A5?.
    head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || (head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18])
}

fn zstd_frame<R: Read>(input: &mut BufReader<R>, sink: &mut Sink<'_>) -> Result<(), ErrorKind> {
    use ruzstd::decoding::StreamingDecoder;
    use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
    let bad = |reason: String| ErrorKind::BadLayer { layer: sink.name.to_owned(), reason };
    match StreamingDecoder::new_with_max_window_size(&mut *input, ZSTD_WINDOW_MAX) {
        Ok(mut stream) => sink.copy(&mut stream, "zstd data is damaged"),
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
            let skipped = io::copy(&mut input.by_ref().take(length.into()), &mut io::sink());
            if skipped.is_ok_and(|n| n == u64::from(length)) {
                return Ok(());
            }
            Err(bad("zstd data ends inside a skippable frame".to_owned()))
        }
        Err(e) => Err(bad(format!("zstd data is damaged: {e}"))),
    }
}

/// Counts and hashes what is read, and stops one byte after the promised size.
struct Verifier<R> {
    inner: R,
    hasher: Hasher,
    seen: u64,
    limit: u64,
    failure: Option<io::Error>,
}

impl<R: Read> Read for Verifier<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let room = (self.limit + 1).saturating_sub(self.seen).min(buf.len() as u64) as usize;
        let n = match self.inner.read(&mut buf[..room]) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => {
                let text = io::Error::new(e.kind(), e.to_string());
                self.failure = Some(e);
                return Err(text);
            }
        };
        self.hasher.update(&buf[..n]);
        self.seen += n as u64;
        Ok(n)
    }
}

impl<R: Read> Verifier<R> {
    /// Reads what the decompressor left, then compares with what was promised.
    fn finish(mut self, expected: &Expected) -> Result<(), ErrorKind> {
        let object = format!("layer {}", expected.digest);
        if self.failure.is_none() {
            // An error lands in `failure`.
            let _ = io::copy(&mut self, &mut io::sink());
        }
        if let Some(cause) = self.failure {
            return Err(ErrorKind::Source { source_name: object, cause });
        }
        if self.seen != expected.size {
            return Err(ErrorKind::Truncated { object, expected: expected.size, actual: self.seen });
        }
        let actual = self.hasher.finish();
        if actual != expected.digest {
            return Err(ErrorKind::DigestMismatch { object, expected: expected.digest.clone(), actual });
        }
        Ok(())
    }
}

/// Hashes and bounds what is written.
struct Sink<'a> {
    file: &'a File,
    dir: &'a Path,
    len: u64,
    hasher: Hasher,
    limits: &'a Limits,
    used: &'a AtomicU64,
    name: &'a str,
    cancel: &'a Cancel,
    progress: &'a mut dyn FnMut(u64),
}

impl Sink<'_> {
    fn copy(&mut self, from: &mut impl Read, what: &str) -> Result<(), ErrorKind> {
        let mut buf = vec![0; 256 << 10];
        loop {
            self.cancel.check()?;
            let n = match from.read(&mut buf) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    return Err(ErrorKind::BadLayer { layer: self.name.to_owned(), reason: format!("{what}: {e}") });
                }
            };
            self.len += n as u64;
            self.bound(self.len, self.limits.max_layer_bytes, "its uncompressed size")?;
            let used = self.used.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
            self.bound(used, self.limits.max_image_bytes, "the uncompressed size of all layers")?;
            self.hasher.update(&buf[..n]);
            self.file.write_all(&buf[..n]).map_err(|e| ErrorKind::store("write a spool file in", self.dir, e))?;
            (self.progress)(self.len);
        }
    }

    fn bound(&self, value: u64, limit: u64, what: &'static str) -> Result<(), ErrorKind> {
        if value <= limit {
            return Ok(());
        }
        Err(ErrorKind::TooLarge { object: format!("layer {}", self.name), what, limit })
    }
}

#[cfg(test)]
mod tests;
