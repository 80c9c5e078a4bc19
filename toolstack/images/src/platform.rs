//! Which of a multi-architecture image's manifests is ours.

use std::fmt;

use crate::error::ErrorKind;

/// A platform in the words of the OCI image index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`.
    pub architecture: String,
    /// Highest acceptable `vN` of the architecture; for amd64 the micro-architecture levels. The default is 1, what
    /// every pod's virtual CPU has.
    pub level: u8,
}

impl Default for Platform {
    fn default() -> Self {
        Self { os: "linux".to_owned(), architecture: "amd64".to_owned(), level: 1 }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.level > 1 { write!(f, "/v{}", self.level) } else { Ok(()) }
    }
}

/// What an index says of one of its manifests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// `os`.
    pub os: String,
    /// `architecture`.
    pub architecture: String,
    /// `variant`, or empty.
    pub variant: String,
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if self.variant.is_empty() { Ok(()) } else { write!(f, "/{}", self.variant) }
    }
}

impl Offered {
    /// How well it fits: `None` not at all, otherwise the higher the better.
    pub fn fits(&self, wanted: &Platform) -> Option<u8> {
        if self.os != wanted.os || self.architecture != wanted.architecture {
            return None;
        }
        let level = match self.variant.strip_prefix('v') {
            Some(level) => level.parse().ok()?,
            None if self.variant.is_empty() => 1,
            None => return None,
        };
        (level <= wanted.level).then_some(level)
    }
}

/// Chooses the best; the first of equals, as the specification asks. Entries without a platform fit if nothing else
/// does.
pub fn choose<'a, T>(offers: &'a [(Option<Offered>, T)], wanted: &Platform) -> Result<&'a T, ErrorKind> {
    let mut best: Option<(u8, &T)> = None;
    for (offered, item) in offers {
        let Some(fit) = offered.as_ref().map_or(Some(0), |offered| offered.fits(wanted)) else { continue };
        if best.is_none_or(|(so_far, _)| fit > so_far) {
            best = Some((fit, item));
        }
    }
    best.map(|(_, item)| item).ok_or_else(|| ErrorKind::WrongPlatform {
        wanted: wanted.to_string(),
        available: offers.iter().filter_map(|(offered, _)| offered.as_ref()).map(Offered::to_string).collect(),
    })
}
