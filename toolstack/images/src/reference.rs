//! Image names, as `docker pull` takes them: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
//!
//! Completed as docker and containerd do: no host means docker.io, a single part there means `library/…`, neither tag
//! nor digest means `:latest`. The grammar is that of distribution's `reference` package, IPv6 hosts in brackets
//! included.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::digest::Digest;
use crate::error::ErrorKind;

/// A complete image name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    host: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Host and port as written; `docker.io` for Docker Hub.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if any. With a digest beside it, it is a comment.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if any: then the image is this and no other.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to ask the registry for: the digest, or else the tag.
    pub fn selector(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// Refuses a name with a digest: such a name says what the image is, and is not for anybody to give.
    pub(crate) fn givable(&self) -> Result<&Self, ErrorKind> {
        if self.digest.is_some() {
            let reason = "a name that is given to an image cannot hold a digest";
            return Err(ErrorKind::BadReference { input: self.to_string(), reason });
        }
        Ok(self)
    }

    /// Whether the host is this machine: 127.0.0.0/8, ::1, or `localhost`.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// Whether a `host[:port]` names this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let (name, _) = split_port(host);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Splits `host:port`; the host of an IPv6 literal keeps its brackets.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => (&host[..colon], Some(&host[colon + 1..])),
        _ => (host, None),
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ErrorKind;

    fn from_str(input: &str) -> Result<Self, ErrorKind> {
        parse(input).map_err(|reason| ErrorKind::BadReference { input: input.to_owned(), reason })
    }
}

fn parse(input: &str) -> Result<Reference, &'static str> {
    if input.contains("://") {
        return Err("it has a scheme; give HOST/PATH:TAG");
    }
    let (rest, digest) = match input.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| "its digest is malformed")?)),
        None => (input, None),
    };
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[last..].find(':') {
        // In `host:5000` alone the colon still begins a tag, as for docker.
        Some(colon) => (&rest[..last + colon], Some(&rest[last + colon + 1..])),
        None => (rest, None),
    };
    if name.is_empty() {
        return Err("it is empty");
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag is malformed; up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'");
    }
    let (host, path) = match name.split_once('/') {
        Some((first, path)) if looks_like_host(first) => (first, path),
        _ => ("docker.io", name),
    };
    let host = if host == "index.docker.io" { "docker.io" } else { host };
    if !is_host(host) {
        return Err("its host is malformed");
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err("its path has upper-case letters");
    }
    if !path.split('/').all(is_path_part) {
        return Err(
            "its path is malformed; parts of lower-case letters and digits, separated by '.', '_', '__' or '-'",
        );
    }
    if path.len() == 64 && path.bytes().all(|b| b.is_ascii_hexdigit()) && host == "docker.io" {
        return Err("it looks like a digest; write sha256: before it");
    }
    let official = host == "docker.io" && !path.contains('/');
    let path = if official { format!("library/{path}") } else { path.to_owned() };
    if host.len() + 1 + path.len() > 255 {
        return Err("it is longer than 255 characters");
    }
    let tag = match (tag, &digest) {
        (None, None) => Some("latest".to_owned()),
        (tag, _) => tag.map(str::to_owned),
    };
    Ok(Reference { host: host.to_owned(), path, tag, digest })
}

fn looks_like_host(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':', '[']) || first.bytes().any(|b| b.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    let (name, port) = split_port(host);
    if !port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0)) {
        return false;
    }
    if let Some(inner) = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |l: &str| {
        !l.is_empty()
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(label)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_part(part: &str) -> bool {
    let alnum = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return false };
    if !alnum(first) || !alnum(last) {
        return false;
    }
    part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

/// `[\w][\w.-]{0,127}`
fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= 128
        && bytes.first().is_some_and(|&b| word(b))
        && bytes.iter().all(|&b| word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests;
