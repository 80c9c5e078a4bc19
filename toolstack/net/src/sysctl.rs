//! Forwarding, and what switching it on would otherwise take from the host.
//!
//! Files under `/proc/sys/net` show the network namespace of the thread that opens them.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::error::NetError;

/// A kernel setting that was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SysctlChange {
    /// The file under `/proc/sys`.
    pub path: PathBuf,
    /// What it held.
    pub from: String,
    /// What was written.
    pub to: String,
}

const NET: &str = "/proc/sys/net";

/// Whether this kernel was built and booted with IPv6.
pub(crate) fn has_ipv6() -> bool {
    Path::new(NET).join("ipv6/conf/all").exists()
}

/// Switch IPv4 and IPv6 forwarding on.
///
/// With IPv6 forwarding the kernel stops honouring router advertisements where `accept_ra` is 1: a host configured by
/// them would lose its default route when it expires. So such interfaces are set to 2, "accept although forwarding",
/// which is what they did before.
pub(crate) fn enable_forwarding() -> Result<Vec<SysctlChange>, NetError> {
    let net = Path::new(NET);
    let mut changes = Vec::new();
    changes.extend(set(net.join("ipv4/ip_forward"), "0", "1")?);
    if !has_ipv6() {
        return Ok(changes);
    }
    let v6 = net.join("ipv6/conf");
    let all = v6.join("all/forwarding");
    if read(&all)? == "0" {
        let entries = fs::read_dir(&v6).map_err(|source| NetError::Sysctl { path: v6.clone(), source })?;
        for entry in entries.flatten() {
            let conf = entry.path();
            if !(conf.ends_with("all") || conf.ends_with("lo")) {
                changes.extend(set(conf.join("accept_ra"), "1", "2")?);
            }
        }
        changes.extend(set(all, "0", "1")?);
    }
    Ok(changes)
}

/// Settings of our own bridge. It has IPv6 even where new interfaces do not get it. It takes no part in router discovery: pods cannot advertise, and nobody else is on it. Nor
/// in duplicate address detection: pods cannot claim its addresses, and until it ends, dom0 could not resolve a pod's.
pub(crate) fn prepare_bridge(bridge: &str) -> Result<Vec<SysctlChange>, NetError> {
    let conf = Path::new(NET).join("ipv6/conf").join(bridge);
    let mut changes = Vec::new();
    if !has_ipv6() {
        return Ok(changes);
    }
    for name in ["disable_ipv6", "accept_ra", "accept_dad"] {
        let path = conf.join(name);
        let now = read(&path)?;
        if now != "0" {
            changes.extend(set(path, &now, "0")?);
        }
    }
    Ok(changes)
}

/// Write `to` if the file holds `from`.
fn set(path: PathBuf, from: &str, to: &str) -> Result<Option<SysctlChange>, NetError> {
    match read(&path) {
        // An interface went away between the listing and now.
        Err(NetError::Sysctl { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(now) if now != from => Ok(None),
        Ok(now) => {
            fs::write(&path, to).map_err(|source| NetError::Sysctl { path: path.clone(), source })?;
            Ok(Some(SysctlChange { path, from: now, to: to.to_owned() }))
        }
    }
}

fn read(path: &Path) -> Result<String, NetError> {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(|source| NetError::Sysctl { path: path.to_owned(), source })
}
