//! Downloading a blob into a file, resuming where an earlier try, or an earlier process, stopped.
//!
//! ```text
//! GET blobs/D, Range: N-  --chunks-->  channel  -->  a blocking thread: hash, append to D.partial
//! ```
//!
//! `D.partial` holds what came so far; it becomes `D` once length and digest are right. Dropping the future closes the
//! channel and leaves `D.partial` for the next pull. A digest that turns out wrong removes it: its bytes cannot be
//! trusted.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;
use tokio::sync::{OwnedMutexGuard, mpsc};

use super::{Client, Failure, Tries};
use crate::digest::Hasher;
use crate::error::ErrorKind;
use crate::manifest::Blob;

/// Chunks on their way to the disk.
const QUEUE: usize = 16;

/// What is there of a blob.
struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    len: u64,
    /// Nobody else works on this blob. Held here, so that it lasts as long as a thread at work on the file, which goes on for
    /// a moment when the future is dropped.
    _held: OwnedMutexGuard<()>,
}

impl Client {
    /// Brings `blob` to `dir/<its file stem>`; returns it open for reading. Nobody else may download the same blob to
    /// the same directory meanwhile: `held` says so, and is let go when no thread touches the file any more.
    pub async fn download(
        &self,
        blob: &Blob,
        dir: &Path,
        held: OwnedMutexGuard<()>,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<File, ErrorKind> {
        let done = dir.join(blob.digest.file_stem());
        if let Some(file) = finished(&done, blob.size)? {
            tell(blob.size);
            return Ok(file);
        }
        let path = dir.join(format!("{}.partial", blob.digest.file_stem()));
        let mut partial = work({
            let blob = blob.clone();
            move || Partial::open(path, &blob, held)
        })
        .await?;
        tell(partial.len);
        let mut tries = Tries::default();
        let what = format!("blobs/{}", blob.digest);
        while partial.len < blob.size {
            let before = partial.len;
            let result;
            (partial, result) = self.fetch_some(partial, blob, &what, tell).await?;
            if partial.len > before {
                tries.progressed();
            }
            match result {
                Ok(()) => {}
                Err(failure) => tries.again(failure, &what).await?,
            }
        }
        let blob = blob.clone();
        work(move || partial.finish(&blob, &done)).await
    }

    /// One request, as far as it goes. The outer error is final, the inner one may be tried again.
    async fn fetch_some(
        &self,
        mut partial: Partial,
        blob: &Blob,
        what: &str,
        tell: &(dyn Fn(u64) + Sync),
    ) -> Result<(Partial, Result<(), Failure>), ErrorKind> {
        let from = partial.len;
        let mut response = match self.get(what, (from > 0).then_some(from)).await {
            Ok(response) => response,
            Err(failure) if from > 0 && failure.is_range_refused() => {
                // What is here is no part of what is there.
                partial = work(move || partial.restart()).await?;
                return Ok((partial, Ok(())));
            }
            Err(failure) => return Ok((partial, Err(failure))),
        };
        let range = response.headers().get(CONTENT_RANGE).and_then(|v| v.to_str().ok());
        let resumed = response.status() == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")));
        if from > 0 && !resumed {
            partial = work(move || partial.restart()).await?;
        }
        let (tx, rx) = mpsc::channel(QUEUE);
        let mut sent = partial.len;
        let writer = tokio::task::spawn_blocking(move || partial.append(rx));
        let result = loop {
            match response.chunk().await {
                Ok(Some(chunk)) => {
                    sent += chunk.len() as u64;
                    if sent > blob.size {
                        break Err(None);
                    }
                    // The writer stops receiving only when the disk failed; its own result says so.
                    if tx.send(chunk).await.is_err() {
                        break Ok(());
                    }
                    tell(sent);
                }
                Ok(None) => break Ok(()),
                Err(e) => break Err(Some(self.broken(&e))),
            }
        };
        drop(tx);
        let partial = writer.await.unwrap_or_else(|e| Err(ErrorKind::Internal(e.to_string())))?;
        let object = || format!("layer {}", blob.digest);
        match result {
            // A whole answer that is too short: the registry has no more.
            Ok(()) if sent < blob.size => {
                partial.discard();
                Err(ErrorKind::Truncated { object: object(), expected: blob.size, actual: sent })
            }
            Ok(()) => Ok((partial, Ok(()))),
            Err(Some(failure)) => Ok((partial, Err(failure))),
            Err(None) => {
                partial.discard();
                Err(ErrorKind::Truncated { object: object(), expected: blob.size, actual: blob.size + 1 })
            }
        }
    }
}

impl Failure {
    fn is_range_refused(&self) -> bool {
        matches!(&self.kind, ErrorKind::Registry { answer, .. } if answer.starts_with("416"))
    }
}

impl Partial {
    /// Opens what an earlier try left and hashes it.
    fn open(path: PathBuf, blob: &Blob, held: OwnedMutexGuard<()>) -> Result<Self, ErrorKind> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = file.map_err(|e| ErrorKind::store("open", &path, e))?;
        let mut hasher = blob.digest.hasher();
        let mut len = 0;
        let mut buf = vec![0; 256 << 10];
        loop {
            match file.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => {
                    hasher.update(&buf[..n]);
                    len += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ErrorKind::store("read", path, e)),
            }
        }
        let partial = Self { path, file, hasher, len, _held: held };
        if partial.len > blob.size { partial.restart() } else { Ok(partial) }
    }

    /// Forgets everything.
    fn restart(mut self) -> Result<Self, ErrorKind> {
        let reset = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        reset.map_err(|e| ErrorKind::store("truncate", &self.path, e))?;
        self.hasher = self.hasher.fresh();
        self.len = 0;
        Ok(self)
    }

    /// Hashes and writes until the sender is gone.
    fn append(mut self, mut chunks: mpsc::Receiver<impl AsRef<[u8]>>) -> Result<Self, ErrorKind> {
        while let Some(chunk) = chunks.blocking_recv() {
            let chunk = chunk.as_ref();
            self.file.write_all(chunk).map_err(|e| ErrorKind::store("write", &self.path, e))?;
            self.hasher.update(chunk);
            self.len += chunk.len() as u64;
        }
        Ok(self)
    }

    /// Checks the digest and gives the blob its name.
    fn finish(mut self, blob: &Blob, done: &Path) -> Result<File, ErrorKind> {
        let actual = self.hasher.clone().finish();
        if actual != blob.digest {
            self.discard();
            let object = format!("layer {}", blob.digest);
            return Err(ErrorKind::DigestMismatch { object, expected: blob.digest.clone(), actual });
        }
        self.file.sync_all().map_err(|e| ErrorKind::store("sync", &self.path, e))?;
        fs::rename(&self.path, done).map_err(|e| ErrorKind::store("rename to", done, e))?;
        self.file.seek(SeekFrom::Start(0)).map_err(|e| ErrorKind::store("read", done, e))?;
        Ok(self.file)
    }

    /// Removes the file; should that fail, its age will.
    fn discard(self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn finished(path: &Path, size: u64) -> Result<Option<File>, ErrorKind> {
    match File::open(path) {
        Ok(file) => {
            let len = file.metadata().map_err(|e| ErrorKind::store("read", path, e))?.len();
            Ok((len == size).then_some(file))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(ErrorKind::store("open", path, e)),
    }
}

async fn work<T: Send + 'static>(work: impl FnOnce() -> Result<T, ErrorKind> + Send + 'static) -> Result<T, ErrorKind> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(ErrorKind::Internal(e.to_string())))
}
