//! What a kernel's bytes say of it: its version, and the configuration that it may hold.
//!
//! The bytes are a stranger's. They are read in pieces, and what is found in them is bounded.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use flate2::read::GzDecoder;

/// Before and behind the compressed configuration (kernel/configs.c of Linux).
const CONFIG_BEGIN: &[u8] = b"IKCFG_ST";
const CONFIG_END: &[u8] = b"IKCFG_ED";
/// Before the version (init/version.c).
const BANNER: &[u8] = b"Linux version ";
/// The most bytes of a configuration: that of a distribution's kernel has some 300 KiB.
pub(super) const MAX_CONFIG: u64 = 4 << 20;
/// The longest version: `UTS_RELEASE` has at most 64 bytes.
const MAX_VERSION: usize = 64;
/// How much is looked through at a time.
const PIECE: usize = 256 << 10;
/// Places that look like what is searched for and are not.
const TRIES: usize = 64;

/// The place of `wanted` at or behind `from`.
fn find(file: &File, wanted: &[u8], mut from: u64) -> io::Result<Option<u64>> {
    let mut piece = vec![0; PIECE];
    loop {
        let n = read_at(file, &mut piece, from)?;
        let bytes = &piece[..n];
        let mut at = 0;
        while let Some(next) = bytes[at..].iter().position(|b| *b == wanted[0]) {
            at += next;
            if bytes[at..].starts_with(wanted) {
                return Ok(Some(from + at as u64));
            }
            at += 1;
        }
        if n < PIECE {
            return Ok(None);
        }
        from += (n + 1 - wanted.len()) as u64;
    }
}

/// As many bytes as there are, up to the buffer's size.
fn read_at(file: &File, buffer: &mut [u8], from: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], from + done as u64)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// What `uname -r` says on this kernel, or nothing.
pub(super) fn version(file: &File) -> io::Result<String> {
    let mut from = 0;
    for _ in 0..TRIES {
        let Some(at) = find(file, BANNER, from)? else { break };
        from = at + BANNER.len() as u64;
        let mut bytes = [0; MAX_VERSION + 1];
        let n = read_at(file, &mut bytes, from)?;
        let text = bytes[..n].split(|b| !b.is_ascii_graphic()).next().unwrap_or_default();
        if text.len() <= MAX_VERSION && text.first().is_some_and(u8::is_ascii_digit) {
            return Ok(String::from_utf8_lossy(text).into_owned());
        }
    }
    Ok(String::new())
}

/// The text of the configuration that the kernel holds, if it holds one.
pub(super) fn embedded_config(file: &File) -> io::Result<Option<String>> {
    let mut from = 0;
    for _ in 0..TRIES {
        let Some(begin) = find(file, CONFIG_BEGIN, from)? else { break };
        from = begin + CONFIG_BEGIN.len() as u64;
        let Some(end) = find(file, CONFIG_END, from)? else { break };
        if end - from > MAX_CONFIG {
            continue;
        }
        let mut packed = vec![0; (end - from) as usize];
        file.read_exact_at(&mut packed, from)?;
        let mut text = Vec::new();
        // One byte more than is taken: what is longer is no configuration.
        let read = GzDecoder::new(&packed[..]).take(MAX_CONFIG + 1).read_to_end(&mut text);
        if read.is_ok() && text.len() as u64 <= MAX_CONFIG {
            return Ok(Some(String::from_utf8_lossy(&text).into_owned()));
        }
    }
    Ok(None)
}
