//! PAX extended headers: a list of `LENGTH KEY=VALUE\n` records (POSIX.1-2001, `pax`, "Extended Header").

/// What a PAX header says of the next entry. An empty value means "as in the header", so it is `None` here.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub path: Option<Vec<u8>>,
    pub linkpath: Option<Vec<u8>>,
    pub size: Option<u64>,
    pub uid: Option<u64>,
    pub gid: Option<u64>,
    pub mtime: Option<(i64, u32)>,
    /// In the order of the archive; a later value of a name replaces an earlier one.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub sparse_name: Option<Vec<u8>>,
    pub sparse_size: Option<u64>,
    /// Versions 0.0 and 0.1: (offset, length) pairs.
    pub sparse_map: Option<Vec<(u64, u64)>>,
    /// Version 1.0: the map is at the head of the data.
    pub sparse_v1: bool,
}

const XATTR: &[u8] = b"SCHILY.xattr.";

impl Pax {
    pub fn parse(mut records: &[u8], max_chunks: usize) -> Result<Self, String> {
        let mut pax = Self::default();
        let mut sparse_major = None;
        let mut chunk_offset = None;
        while !records.is_empty() {
            let (key, value, rest) = record(records)?;
            records = rest;
            if let Some(name) = key.strip_prefix(XATTR) {
                if name.is_empty() {
                    return Err("an extended attribute without a name".to_owned());
                }
                pax.xattrs.retain(|(other, _)| other != name);
                pax.xattrs.push((name.to_vec(), value.to_vec()));
                continue;
            }
            let number = || decimal(value).ok_or_else(|| bad_value(key, value));
            let nonempty = || Some(value.to_vec()).filter(|v| !v.is_empty());
            match key {
                b"path" => pax.path = nonempty(),
                b"linkpath" => pax.linkpath = nonempty(),
                b"size" | b"uid" | b"gid" | b"mtime" if value.is_empty() => {}
                b"size" => pax.size = Some(number()?),
                b"uid" => pax.uid = Some(number()?),
                b"gid" => pax.gid = Some(number()?),
                b"mtime" => pax.mtime = Some(time(value).ok_or_else(|| bad_value(key, value))?),
                b"GNU.sparse.name" => pax.sparse_name = nonempty(),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => pax.sparse_size = Some(number()?),
                b"GNU.sparse.major" => sparse_major = Some(number()?),
                b"GNU.sparse.offset" => chunk_offset = Some(number()?),
                b"GNU.sparse.numbytes" => {
                    let Some(offset) = chunk_offset.take() else {
                        return Err("GNU.sparse.numbytes without GNU.sparse.offset".to_owned());
                    };
                    pax.sparse_map.get_or_insert_default().push((offset, number()?));
                }
                b"GNU.sparse.map" => pax.sparse_map = Some(map(value).ok_or_else(|| bad_value(key, value))?),
                b"GNU.sparse.minor" | b"GNU.sparse.numblocks" => {}
                // Vendors' keywords and times of access: nothing that the tree could show.
                _ => {}
            }
            if pax.sparse_map.as_ref().is_some_and(|map| map.len() > max_chunks) {
                return Err(format!("more than {max_chunks} chunks in a sparse file"));
            }
        }
        match sparse_major {
            None | Some(0) => {}
            Some(1) => {
                pax.sparse_v1 = true;
                pax.sparse_map = None;
            }
            Some(major) => return Err(format!("sparse file format {major} is not known")),
        }
        // The name under which versions without GNU.sparse.name go is the path; without a size there is no sparse file.
        if pax.sparse_size.is_none() && (pax.sparse_v1 || pax.sparse_map.is_some()) {
            return Err("a sparse file without GNU.sparse.size".to_owned());
        }
        Ok(pax)
    }

    /// Whether a global header with these records would change entries.
    pub fn matters(&self) -> bool {
        self.path.is_some()
            || self.linkpath.is_some()
            || self.size.is_some()
            || self.uid.is_some()
            || self.gid.is_some()
            || self.mtime.is_some()
            || !self.xattrs.is_empty()
            || self.sparse_size.is_some()
    }
}

/// Key, value, and what follows.
type Record<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// Splits off the first record.
fn record(records: &[u8]) -> Result<Record<'_>, String> {
    let malformed = || format!("malformed record \"{}\"", records[..records.len().min(40)].escape_ascii());
    let space = records.iter().take(20).position(|&b| b == b' ').ok_or_else(malformed)?;
    let len = decimal(&records[..space]).and_then(|n| usize::try_from(n).ok()).ok_or_else(malformed)?;
    if len <= space + 1 || len > records.len() || records[len - 1] != b'\n' {
        return Err(malformed());
    }
    let body = &records[space + 1..len - 1];
    let equals = body.iter().position(|&b| b == b'=').ok_or_else(malformed)?;
    Ok((&body[..equals], &body[equals + 1..], &records[len..]))
}

fn bad_value(key: &[u8], value: &[u8]) -> String {
    format!("{} has the value \"{}\"", key.escape_ascii(), value[..value.len().min(40)].escape_ascii())
}

/// Decimal digits only: no sign, no blanks.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `-12.5` is half a second before -12, so (-13, 500_000_000).
fn time(value: &[u8]) -> Option<(i64, u32)> {
    let (negative, value) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let dot = value.iter().position(|&b| b == b'.').unwrap_or(value.len());
    let seconds = i64::try_from(decimal(&value[..dot])?).ok()?;
    let fraction = value.get(dot + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |i: usize| fraction.get(i).map_or(0, |b| u32::from(b - b'0'));
    let nanos = (0..9).fold(0, |n, i| n * 10 + digit(i));
    match (negative, nanos) {
        (false, _) => Some((seconds, nanos)),
        (true, 0) => Some((-seconds, 0)),
        (true, _) => Some((-seconds - 1, 1_000_000_000 - nanos)),
    }
}

fn map(value: &[u8]) -> Option<Vec<(u64, u64)>> {
    if value.is_empty() {
        return Some(Vec::new());
    }
    let numbers = value.split(|&b| b == b',').map(decimal).collect::<Option<Vec<_>>>()?;
    let (pairs, rest) = numbers.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|&[at, len]| (at, len)).collect())
}
