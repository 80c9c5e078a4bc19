//! Ids and the object paths that derive from them.
//!
//! A pod's id is the UUID of its domain: Xen, xenstore, the journal and the bus all key on it. Domids are recycled and
//! are never part of a path.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The service's name on the bus.
pub const BUS_NAME: &str = "org.xenpod1";
/// The root of the object tree. Nothing is served above it.
pub const ROOT_PATH: &str = "/org/xenpod1";

/// What the ids of all pods of one daemon have in common: six random bytes, made once for each state folder.
///
/// With it a domain is known as ours by its UUID alone, from the moment Xen makes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostTag([u8; 6]);

impl HostTag {
    /// A new random one.
    #[must_use]
    pub fn random() -> Self {
        let mut tag = [0; 6];
        tag.copy_from_slice(&Uuid::new_v4().as_bytes()[10..]);
        Self(tag)
    }
}

impl fmt::Display for HostTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for HostTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostTag({self})")
    }
}

/// A text that is no [`HostTag`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not twelve hexadecimal digits")]
pub struct ParseTagError;

impl FromStr for HostTag {
    type Err = ParseTagError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut tag = [0; 6];
        if text.len() != 12 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ParseTagError);
        }
        for (byte, pair) in tag.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| ParseTagError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| ParseTagError)?;
        }
        Ok(Self(tag))
    }
}

/// The id of a pod and of its domain: a UUID of version 8 (RFC 9562, 5.8), random but for the [`HostTag`] in its last six
/// bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodId(pub Uuid);

impl PodId {
    /// A new id of this host.
    #[must_use]
    pub fn new(tag: HostTag) -> Self {
        let mut bytes = *Uuid::new_v4().as_bytes();
        bytes[10..].copy_from_slice(&tag.0);
        Self(Uuid::new_v8(bytes))
    }

    /// Whether it was made with this tag.
    #[must_use]
    pub fn bears(&self, tag: HostTag) -> bool {
        self.0.get_version_num() == 8 && self.0.as_bytes()[10..] == tag.0
    }

    /// The sixteen bytes, in the order Xen's domain handle has them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The pod's object path.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{ROOT_PATH}/pod/{}", escape(&self.to_string()))
    }

    /// The path of the container `name` of this pod.
    #[must_use]
    pub fn container_path(&self, name: &str) -> String {
        format!("{}/container/{}", self.path(), escape(name))
    }
}

impl fmt::Display for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for PodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PodId({self})")
    }
}

impl FromStr for PodId {
    type Err = uuid::Error;

    /// Accepts the hyphenated form only, in either case: other forms are more likely names.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let id = Uuid::try_parse(s)?;
        // `try_parse` takes braces, URNs and 32 bare digits as well; a pod may be named like the last of these.
        if s.len() == 36 { Ok(Self(id)) } else { Uuid::try_parse("").map(Self) }
    }
}

/// The path of an image by its digest (`sha256:<hex>`).
#[must_use]
pub fn image_path(digest: &str) -> String {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    format!("{ROOT_PATH}/image/{}", escape(hex))
}

/// The path of a guest kernel by its digest (`sha256:<hex>`).
#[must_use]
pub fn kernel_path(digest: &str) -> String {
    let hex = digest.split_once(':').map_or(digest, |(_, hex)| hex);
    format!("{ROOT_PATH}/kernel/{}", escape(hex))
}

/// The path of a job by its number.
#[must_use]
pub fn job_path(id: u32) -> String {
    format!("{ROOT_PATH}/job/{id}")
}

/// Escapes a label for use as one element of an object path, as `sd_bus_path_encode(3)` does: ASCII letters and digits stay, a
/// leading digit and every other byte become `_` and two hex digits, and the empty string is `_`.
#[must_use]
pub fn escape(label: &str) -> String {
    if label.is_empty() {
        return "_".into();
    }
    let mut out = String::with_capacity(label.len() + 16);
    for (i, b) in label.bytes().enumerate() {
        if b.is_ascii_alphabetic() || (i > 0 && b.is_ascii_digit()) {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("_{b:02x}"));
        }
    }
    out
}

/// The inverse of [`escape`]; `None` when the text is not one that [`escape`] makes.
#[must_use]
pub fn unescape(element: &str) -> Option<String> {
    if element == "_" {
        return Some(String::new());
    }
    let mut out = Vec::with_capacity(element.len());
    let bytes = element.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'_' {
            out.push(u8::from_str_radix(element.get(i + 1..i + 3)?, 16).ok()?);
            i += 3;
        } else {
            out.push(bytes[i]);
            i += 1;
        }
    }
    let label = String::from_utf8(out).ok()?;
    (!label.is_empty() && escape(&label) == element).then_some(label)
}

#[cfg(test)]
mod tests;
