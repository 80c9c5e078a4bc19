//! The two names a domain has: the number Xen gives it while it lives, and the UUID that is its own for ever.
//!
//! Xen hands a domain number out again after the domain is gone, so nothing that outlives one call may be keyed on a
//! [`Domid`] alone. Whoever changes a domain says which one with a [`DomainRef`].

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A domain's number on this host. Reused by Xen once the domain is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Domid(pub u16);

impl Domid {
    /// The control domain: dom0.
    pub const DOM0: Domid = Domid(0);
    /// The first number that is no ordinary domain (`DOMID_FIRST_RESERVED`, xen/include/public/xen.h).
    pub const FIRST_RESERVED: u16 = 0x7ff0;
}

impl fmt::Display for Domid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not a domain number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDomidError {
    /// Not a decimal number of 16 bits.
    #[error("domain number {text:?}: {source}")]
    NotANumber {
        /// What was given.
        text: String,
        /// Why it does not parse.
        source: ParseIntError,
    },
    /// A number Xen keeps for itself.
    #[error("domain number {0}: reserved by Xen (the largest is {max})", max = Domid::FIRST_RESERVED - 1)]
    Reserved(u16),
}

impl FromStr for Domid {
    type Err = ParseDomidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(number) if number < Self::FIRST_RESERVED => Ok(Domid(number)),
            Ok(number) => Err(ParseDomidError::Reserved(number)),
            Err(source) => Err(ParseDomidError::NotANumber { text: text.to_owned(), source }),
        }
    }
}

/// A domain's UUID, chosen by us and kept by Xen as the domain's handle.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DomainUuid(pub [u8; 16]);

impl DomainUuid {
    /// A new random one (version 4).
    pub fn random() -> Self {
        DomainUuid(*uuid::Uuid::new_v4().as_bytes())
    }

    /// The 16 bytes, in the order of the text form; what Xen calls `xen_domain_handle_t`.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for DomainUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        uuid::Uuid::from_bytes(self.0).as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for DomainUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DomainUuid({self})")
    }
}

/// A text that is not a UUID of the form `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("domain UUID {text:?}: {reason}")]
pub struct ParseUuidError {
    text: String,
    reason: String,
}

impl FromStr for DomainUuid {
    type Err = ParseUuidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // One spelling only: a UUID is a key of directories and xenstore nodes, where two spellings would be two pods.
        match uuid::Uuid::try_parse(text) {
            Ok(uuid) if uuid.as_hyphenated().to_string() == text => Ok(DomainUuid(*uuid.as_bytes())),
            Ok(_) => Err(ParseUuidError {
                text: text.to_owned(),
                reason: "must be lower case, with its four hyphens and nothing around it".to_owned(),
            }),
            Err(error) => Err(ParseUuidError { text: text.to_owned(), reason: error.to_string() }),
        }
    }
}

impl TryFrom<String> for DomainUuid {
    type Error = ParseUuidError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DomainUuid> for String {
    fn from(uuid: DomainUuid) -> Self {
        uuid.to_string()
    }
}

/// One domain beyond doubt: its number, and the UUID that must be found behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DomainRef {
    /// Its number.
    pub domid: Domid,
    /// Its UUID.
    pub uuid: DomainUuid,
}

impl fmt::Display for DomainRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.domid, self.uuid)
    }
}

#[cfg(test)]
#[path = "ids_tests.rs"]
mod tests;
