//! The names a vif goes by: its interface name in dom0 and its MAC address.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest interface name the kernel takes, without the NUL (`IFNAMSIZ` - 1, `linux/if.h`).
pub const IFNAME_MAX: usize = 15;

/// A checked network interface name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

/// A string that cannot name an interface.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an interface name: 1 to 15 printable ASCII characters without '/' or ':'")]
pub struct BadIfName(pub String);

impl IfName {
    /// The backend interface that netback makes for device `handle` of domain `domid`.
    #[must_use]
    pub fn vif(domid: u32, handle: u32) -> Self {
        // "vif" + 5 digits (domids end at 0x7fef) + "." + handle stays below IFNAME_MAX.
        Self(format!("vif{domid}.{handle}"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as nf_tables compares it: 16 bytes, zero padded.
    #[must_use]
    pub fn padded(&self) -> [u8; IFNAME_MAX + 1] {
        let mut out = [0; IFNAME_MAX + 1];
        let len = self.0.len().min(IFNAME_MAX);
        out[..len].copy_from_slice(&self.0.as_bytes()[..len]);
        out
    }
}

impl FromStr for IfName {
    type Err = BadIfName;

    fn from_str(s: &str) -> Result<Self, BadIfName> {
        let good = (1..=IFNAME_MAX).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':')
            && s != "."
            && s != "..";
        if good { Ok(Self(s.to_owned())) } else { Err(BadIfName(s.to_owned())) }
    }
}

impl TryFrom<String> for IfName {
    type Error = BadIfName;

    fn try_from(s: String) -> Result<Self, BadIfName> {
        s.parse()
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// An Ethernet address; text form `02:16:0a:d5:00:02`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

/// A string that is not an Ethernet address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a MAC address: six pairs of hexadecimal digits joined by ':'")]
pub struct BadMac(pub String);

impl MacAddr {
    /// The link-local address that the guest's kernel derives from this MAC (RFC 4291, appendix A: modified EUI-64).
    #[must_use]
    pub fn link_local(self) -> Ipv6Addr {
        let m = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, m[0] ^ 0x02, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]])
    }
}

impl FromStr for MacAddr {
    type Err = BadMac;

    fn from_str(s: &str) -> Result<Self, BadMac> {
        let bad = || BadMac(s.to_owned());
        let mut out = [0; 6];
        let mut parts = s.split(':');
        for byte in &mut out {
            let part = parts.next().ok_or_else(bad)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Self(out)) }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = BadMac;

    fn try_from(s: String) -> Result<Self, BadMac> {
        s.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
