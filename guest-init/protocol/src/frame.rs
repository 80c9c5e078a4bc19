//! Frames: a fixed header of 20 bytes, little-endian, and a payload of at most 64 KiB.
//!
//! ```text
//!  0  kind      u8    1 MESSAGE, 2 DATA, 3 CREDIT, 4 CLOSE
//!  1  flags     u8    MESSAGE: 1 = more fragments follow; CREDIT: 1 = the end was seen and all is acknowledged
//!  2  reserved  u16   0
//!  4  length    u32   of the payload
//!  8  stream    u32   0 for MESSAGE
//! 12  offset    u64   DATA: of the first byte; CREDIT: acknowledged up to here; CLOSE: length of the stream; else 0
//! 20  payload         MESSAGE: protobuf; DATA: bytes; CREDIT: next u64, limit u64; CLOSE: reason u8
//! ```

use crate::error::ProtocolError;

/// Bytes of a header.
pub const HEADER_LEN: usize = 20;
/// Most bytes of a payload.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A message or a fragment of one.
    Message = 1,
    /// Bytes of a stream.
    Data = 2,
    /// Receiver to sender: acknowledgement and permission.
    Credit = 3,
    /// Either end of a stream ends it.
    Close = 4,
}

/// The only flag there is; what it means depends on the kind.
pub const FLAG: u8 = 1;

/// A header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// [`FLAG`] is set.
    pub flag: bool,
    /// Bytes of payload, within what the kind allows.
    pub length: u32,
    /// 0 for a message.
    pub stream: u32,
    /// Depends on the kind.
    pub offset: u64,
}

impl Header {
    /// The wire form.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[0] = self.kind as u8;
        out[1] = if self.flag { FLAG } else { 0 };
        out[4..8].copy_from_slice(&self.length.to_le_bytes());
        out[8..12].copy_from_slice(&self.stream.to_le_bytes());
        out[12..20].copy_from_slice(&self.offset.to_le_bytes());
        out
    }

    /// Reads and checks a header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(raw: &[u8; HEADER_LEN]) -> Result<Self, ProtocolError> {
        let kind = match raw[0] {
            1 => Kind::Message,
            2 => Kind::Data,
            3 => Kind::Credit,
            4 => Kind::Close,
            other => return Err(ProtocolError::FrameKind(other)),
        };
        let header = Self {
            kind,
            flag: raw[1] == FLAG,
            length: u32::from_le_bytes([raw[4], raw[5], raw[6], raw[7]]),
            stream: u32::from_le_bytes([raw[8], raw[9], raw[10], raw[11]]),
            offset: u64::from_le_bytes([raw[12], raw[13], raw[14], raw[15], raw[16], raw[17], raw[18], raw[19]]),
        };
        let flag_allowed = matches!(kind, Kind::Message | Kind::Credit);
        let stray = header.kind == Kind::Message && (header.stream != 0 || header.offset != 0);
        if raw[1] > FLAG || (header.flag && !flag_allowed) || raw[2] != 0 || raw[3] != 0 || stray {
            return Err(ProtocolError::FrameFlags { kind: raw[0] });
        }
        if kind != Kind::Message && header.stream == 0 {
            return Err(ProtocolError::UnknownStream(0));
        }
        let fits = match kind {
            Kind::Message | Kind::Data => (1..=MAX_PAYLOAD).contains(&(header.length as usize)),
            Kind::Credit => header.length == 16,
            Kind::Close => header.length == 1,
        };
        if !fits {
            return Err(ProtocolError::FrameLength { kind: raw[0], length: header.length });
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests;
