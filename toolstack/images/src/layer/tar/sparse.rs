//! Maps of sparse files: GNU's old format and PAX format 1.0 (GNU tar manual, "Storing Sparse Files").

use std::ops::Range;

use super::Extent;
use super::header::{BLOCK, Header, number};
use super::pax::decimal;

type ReadBlock<'a> = dyn FnMut(u64) -> Option<[u8; BLOCK as usize]> + 'a;

/// (offset, length) pairs, and where the data begins.
type Map = (Vec<(u64, u64)>, u64);

/// Old format: four pairs in the header, 21 in each extension block that follows it.
pub(super) fn old_gnu(header: &Header, start: u64, max: usize, block: &mut ReadBlock<'_>) -> Result<Map, String> {
    let mut map = Vec::new();
    pairs(&header.sparse[..96], &mut map)?;
    let mut at = start;
    // The flag, not the pairs, says whether a block follows; a block not consumed would be taken for the next header.
    let mut more = header.sparse[96] != 0;
    while more {
        let Some(extension) = block(at) else {
            return Err("the tar ends inside its sparse map".to_owned());
        };
        at += BLOCK;
        pairs(&extension[..504], &mut map)?;
        if map.len() > max {
            return Err(format!("more than {max} chunks in a sparse file"));
        }
        more = extension[504] != 0;
        if at - start > BLOCK * max as u64 {
            return Err("its sparse map does not end".to_owned());
        }
    }
    Ok((map, at))
}

/// Reads 24-byte pairs up to the first empty one.
fn pairs(bytes: &[u8], map: &mut Vec<(u64, u64)>) -> Result<(), String> {
    for pair in bytes.chunks_exact(24) {
        if pair[0] == 0 || pair[12] == 0 {
            break;
        }
        let offset = number(&pair[..12], "sparse offset")?;
        let len = number(&pair[12..], "sparse length")?;
        let unsigned = |n: i128| u64::try_from(n).map_err(|_| "a sparse chunk is out of range".to_owned());
        map.push((unsigned(offset)?, unsigned(len)?));
    }
    Ok(())
}

/// Format 1.0: decimal lines at the head of the data (count, then offset and length in turn), padded to a block.
pub(super) fn pax_v1(start: u64, stored: u64, max: usize, block: &mut ReadBlock<'_>) -> Result<Map, String> {
    let mut at = start;
    let mut line = Vec::new();
    let mut numbers = Vec::new();
    let mut wanted = None;
    while wanted != Some(numbers.len()) {
        if at - start >= stored {
            return Err("its sparse map is longer than its data".to_owned());
        }
        let bytes = block(at).ok_or("the tar ends inside its sparse map")?;
        at += BLOCK;
        for byte in bytes {
            if wanted == Some(numbers.len()) {
                break;
            }
            if byte != b'\n' {
                line.push(byte);
                if line.len() > 20 {
                    return Err("its sparse map is malformed".to_owned());
                }
                continue;
            }
            let value = decimal(&line).ok_or("its sparse map is malformed")?;
            line.clear();
            if wanted.is_some() {
                numbers.push(value);
            } else if value > max as u64 {
                return Err(format!("more than {max} chunks in a sparse file"));
            } else {
                wanted = Some(value as usize * 2);
            }
        }
    }
    Ok((numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect(), at))
}

/// Lays the chunks of a file of `size` bytes over its stored `data`.
pub(super) fn place(map: &[(u64, u64)], data: &Range<u64>, size: u64) -> Result<Vec<Extent>, String> {
    let mut extents = Vec::with_capacity(map.len().min(1024));
    let (mut spool, mut end) = (data.start, 0);
    for &(at, len) in map {
        let chunk_end =
            at.checked_add(len).filter(|&e| e <= size).ok_or("a sparse chunk lies beyond the end of the file")?;
        if at < end {
            return Err("its sparse chunks overlap".to_owned());
        }
        if len > data.end.saturating_sub(spool) {
            return Err("its sparse chunks are longer than its data".to_owned());
        }
        if len > 0 {
            extents.push(Extent { at, len, spool });
        }
        spool += len;
        end = chunk_end;
    }
    if spool != data.end {
        return Err(format!("{} bytes of its data belong to no sparse chunk", data.end.saturating_sub(spool)));
    }
    Ok(extents)
}
