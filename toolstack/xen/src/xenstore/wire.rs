//! The xenstore wire protocol (`xen/include/public/io/xs_wire.h`, `docs/misc/xenstore.txt`) over plain bytes.
//!
//! A message is a header of four native-endian `u32` (type, request id, transaction id, payload length) and a payload,
//! mostly strings each closed by a NUL. Requests are encoded here one after another into one buffer, so that a whole
//! transaction can leave in one `write`; replies and watch events are cut out of whatever a `read` brought.

use super::error::{Code, Error, Result};

/// Size of a message's header.
pub const HEADER_LEN: usize = 16;
/// The largest payload of a request (`XENSTORE_PAYLOAD_MAX`).
pub const PAYLOAD_MAX: usize = 4096;
/// The largest payload we take from a daemon. More than [`PAYLOAD_MAX`], because oxenstored answers a DIRECTORY of
/// any size in one message on a socket, and it has no DIRECTORY_PART; bounded, because a broken daemon must not make us
/// allocate without end. 1 MiB is some 28,000 UUIDs.
pub const REPLY_MAX: usize = 1 << 20;

/// Outside of any transaction.
pub const NO_TRANSACTION: u32 = 0;

/// The type of a message (`enum xsd_sockmsg_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[allow(missing_docs)] // the names are the protocol's own
pub enum Kind {
    Control = 0,
    Directory = 1,
    Read = 2,
    GetPerms = 3,
    Watch = 4,
    Unwatch = 5,
    TransactionStart = 6,
    TransactionEnd = 7,
    Introduce = 8,
    Release = 9,
    GetDomainPath = 10,
    Write = 11,
    Mkdir = 12,
    Rm = 13,
    SetPerms = 14,
    WatchEvent = 15,
    Error = 16,
    IsDomainIntroduced = 17,
    Resume = 18,
    SetTarget = 19,
    ResetWatches = 21,
    DirectoryPart = 22,
}

impl Kind {
    const ALL: [Kind; 22] = [
        Kind::Control,
        Kind::Directory,
        Kind::Read,
        Kind::GetPerms,
        Kind::Watch,
        Kind::Unwatch,
        Kind::TransactionStart,
        Kind::TransactionEnd,
        Kind::Introduce,
        Kind::Release,
        Kind::GetDomainPath,
        Kind::Write,
        Kind::Mkdir,
        Kind::Rm,
        Kind::SetPerms,
        Kind::WatchEvent,
        Kind::Error,
        Kind::IsDomainIntroduced,
        Kind::Resume,
        Kind::SetTarget,
        Kind::ResetWatches,
        Kind::DirectoryPart,
    ];

    /// The message type behind a number from the wire.
    pub fn from_wire(number: u32) -> Option<Kind> {
        Self::ALL.into_iter().find(|kind| *kind as u32 == number)
    }

    /// The operation's name as error messages show it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Control => "control",
            Kind::Directory | Kind::DirectoryPart => "list",
            Kind::Read => "read",
            Kind::GetPerms => "get permissions of",
            Kind::Watch => "watch",
            Kind::Unwatch => "unwatch",
            Kind::TransactionStart => "start a transaction",
            Kind::TransactionEnd => "end a transaction",
            Kind::Introduce => "introduce domain",
            Kind::Release => "release domain",
            Kind::GetDomainPath => "get path of domain",
            Kind::Write => "write",
            Kind::Mkdir => "make directory",
            Kind::Rm => "remove",
            Kind::SetPerms => "set permissions of",
            Kind::WatchEvent => "watch event",
            Kind::Error => "error",
            Kind::IsDomainIntroduced => "ask whether introduced: domain",
            Kind::Resume => "resume domain",
            Kind::SetTarget => "set target of domain",
            Kind::ResetWatches => "reset watches",
        }
    }
}

/// A message's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What it is; the raw number, since a peer may send any.
    pub kind: u32,
    /// Chosen by the client, repeated in the reply.
    pub request: u32,
    /// The transaction it belongs to, or [`NO_TRANSACTION`].
    pub transaction: u32,
    /// Bytes of payload that follow.
    pub len: u32,
}

impl Header {
    /// The header's 16 bytes.
    pub fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        for (slot, word) in bytes.chunks_exact_mut(4).zip([self.kind, self.request, self.transaction, self.len]) {
            slot.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// The header at the start of `bytes`; `None` when they are fewer than 16.
    pub fn from_bytes(bytes: &[u8]) -> Option<Header> {
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        Some(Header { kind: word(0)?, request: word(4)?, transaction: word(8)?, len: word(12)? })
    }
}

/// Appends one message to `out`; `parts` are joined with nothing between them.
///
/// # Errors
/// [`Error::TooLong`] when the parts are more than [`PAYLOAD_MAX`] bytes; `out` is then as it was.
pub fn encode(out: &mut Vec<u8>, kind: Kind, request: u32, transaction: u32, parts: &[&[u8]]) -> Result<()> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    if len > PAYLOAD_MAX {
        let object = String::from_utf8_lossy(parts.first().copied().unwrap_or_default()).into_owned();
        return Err(Error::TooLong { operation: kind.name(), object, len });
    }
    let header = Header { kind: kind as u32, request, transaction, len: len as u32 };
    out.reserve(HEADER_LEN + len);
    out.extend_from_slice(&header.to_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(())
}

/// One whole message, cut out of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload, `header.len` bytes.
    pub payload: &'a [u8],
}

impl Message<'_> {
    /// How many bytes of the buffer it took.
    pub fn wire_len(&self) -> usize {
        HEADER_LEN + self.payload.len()
    }
}

/// The message at the start of `buffer`: `Ok(None)` when it is not all there yet.
///
/// # Errors
/// [`Error::Protocol`] when the header announces more than `max` bytes. There is no way to find the next message after
/// that, so the connection is over.
pub fn decode(buffer: &[u8], max: usize) -> Result<Option<Message<'_>>> {
    let Some(header) = Header::from_bytes(buffer) else { return Ok(None) };
    let len = header.len as usize;
    if len > max {
        return Err(Error::Protocol(format!(
            "a message of type {} announces {len} bytes, the limit is {max}",
            header.kind
        )));
    }
    Ok(buffer.get(HEADER_LEN..HEADER_LEN + len).map(|payload| Message { header, payload }))
}

/// What a reply says: its payload, or the refusal it carries.
///
/// # Errors
/// [`Error::Protocol`] when the reply is of another type than the request.
pub fn reply<'a>(message: &Message<'a>, asked: Kind) -> Result<std::result::Result<&'a [u8], Code>> {
    if message.header.kind == Kind::Error as u32 {
        return Ok(Err(Code::from_name(&text(message.payload))));
    }
    if message.header.kind != asked as u32 {
        return Err(Error::Protocol(format!(
            "the reply to request {} ({}) is of type {}",
            message.header.request,
            asked.name(),
            message.header.kind
        )));
    }
    Ok(Ok(message.payload))
}

/// A payload that is one string, with or without its NUL.
pub fn text(payload: &[u8]) -> String {
    let end = payload.iter().position(|byte| *byte == 0).unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

/// A payload that is a list of strings, each closed by a NUL (the last one's may be missing).
pub fn strings(payload: &[u8]) -> Vec<String> {
    let body = payload.strip_suffix(&[0]).unwrap_or(payload);
    if body.is_empty() && payload.len() < 2 {
        return Vec::new();
    }
    body.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The path and the token of a WATCH_EVENT.
///
/// # Errors
/// [`Error::Protocol`] when it is not two strings.
pub fn watch_event(payload: &[u8]) -> Result<(&str, &str)> {
    let mut parts = payload.split(|byte| *byte == 0).map(std::str::from_utf8);
    match (parts.next(), parts.next()) {
        (Some(Ok(path)), Some(Ok(token))) if !path.is_empty() => Ok((path, token)),
        _ => Err(Error::Protocol("a watch event without a path and a token".to_owned())),
    }
}

/// One reply to DIRECTORY_PART: the generation of the list, the names, and whether they are the last.
///
/// # Errors
/// [`Error::Protocol`] when there is no generation.
pub fn directory_part(payload: &[u8]) -> Result<(&[u8], &[u8], bool)> {
    let at = payload
        .iter()
        .position(|byte| *byte == 0)
        .ok_or_else(|| Error::Protocol("a part of a directory without its generation".to_owned()))?;
    let (generation, names) = (&payload[..at], &payload[at + 1..]);
    // The last part is closed by an empty name, a second NUL.
    match names {
        [rest @ .., 0] if rest.is_empty() || rest.ends_with(&[0]) => Ok((generation, rest, true)),
        _ if names.is_empty() => Ok((generation, names, true)),
        _ => Ok((generation, names, false)),
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
