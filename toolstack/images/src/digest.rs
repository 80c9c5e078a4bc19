//! Content digests: `sha256:<64 hex>` and `sha512:<128 hex>`, the two algorithms the OCI image specification registers.

use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

/// A digest in its canonical form, lower-case hex. Safe to use as a file name once `:` is replaced
/// ([`Digest::file_stem`]).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Algorithm {
    Sha256,
    Sha512,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// Why a string is not a digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    /// There is no `algorithm:` part.
    #[error("digest {0:?} has no algorithm; expected sha256:<64 hex digits>")]
    NoAlgorithm(String),
    /// The algorithm is none we can compute.
    #[error("digest algorithm {0:?} is not supported; supported are sha256 and sha512")]
    Algorithm(String),
    /// The hex part has the wrong length or a character that is not lower-case hex.
    #[error("digest {0:?} is malformed; expected lower-case hex of the algorithm's length")]
    Malformed(String),
}

impl Digest {
    /// The sha256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::sha256();
        hasher.update(bytes);
        hasher.finish()
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        self.algorithm.name()
    }

    /// The hex part.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// `sha256-<hex>`: the name of this digest's files in the store.
    pub fn file_stem(&self) -> String {
        format!("{}-{}", self.algorithm(), self.hex)
    }

    /// The inverse of [`Digest::file_stem`].
    pub fn from_file_stem(stem: &str) -> Option<Self> {
        stem.replacen('-', ":", 1).parse().ok()
    }

    /// The first 16 bytes: the UUID of the filesystem built for this image.
    pub(crate) fn uuid(&self) -> [u8; 16] {
        let mut uuid = [0; 16];
        for (byte, pair) in uuid.iter_mut().zip(self.hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or("0");
            *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
        }
        // RFC 9562: version 8 (vendor's own), variant 10.
        uuid[6] = uuid[6] & 0x0f | 0x80;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        uuid
    }

    /// A hasher of this digest's algorithm.
    pub fn hasher(&self) -> Hasher {
        match self.algorithm {
            Algorithm::Sha256 => Hasher::sha256(),
            Algorithm::Sha512 => Hasher::Sha512(Box::default()),
        }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(s: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = s.split_once(':').ok_or_else(|| DigestError::NoAlgorithm(s.to_owned()))?;
        let algorithm = match algorithm {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            other => return Err(DigestError::Algorithm(other.to_owned())),
        };
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if hex.len() != algorithm.hex_len() || !hex.bytes().all(lower_hex) {
            return Err(DigestError::Malformed(s.to_owned()));
        }
        Ok(Self { algorithm, hex: hex.into() })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(s: String) -> Result<Self, DigestError> {
        s.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Computes a [`Digest`] over a stream.
#[derive(Clone)]
pub enum Hasher {
    /// sha256 in progress.
    Sha256(Box<sha2::Sha256>),
    /// sha512 in progress.
    Sha512(Box<sha2::Sha512>),
}

impl Hasher {
    /// A fresh sha256.
    pub fn sha256() -> Self {
        Self::Sha256(Box::default())
    }

    /// A fresh one of the same algorithm.
    pub fn fresh(&self) -> Self {
        match self {
            Self::Sha256(_) => Self::Sha256(Box::default()),
            Self::Sha512(_) => Self::Sha512(Box::default()),
        }
    }

    /// Takes in the next bytes of the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(h) => h.update(bytes),
            Self::Sha512(h) => h.update(bytes),
        }
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        let (algorithm, bytes): (_, Vec<u8>) = match self {
            Self::Sha256(h) => (Algorithm::Sha256, h.finalize().to_vec()),
            Self::Sha512(h) => (Algorithm::Sha512, h.finalize().to_vec()),
        };
        let mut hex = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            use fmt::Write as _;
            let _ = write!(hex, "{byte:02x}");
        }
        Digest { algorithm, hex: hex.into() }
    }
}

#[cfg(test)]
mod tests;
