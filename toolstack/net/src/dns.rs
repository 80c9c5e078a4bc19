//! How pods resolve names: with the host's servers where pods can reach them, else through the forwarder.

pub mod forwarder;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use resolv_conf::{Config, ScopedIp};
use serde::{Deserialize, Serialize};

use crate::config::{DnsConfig, ForwarderUse};
use crate::error::NetError;

pub use forwarder::{Forwarder, Limits, Upstreams};

/// glibc's `MAXNS` and `MAXDNSRCH`: more are ignored by resolvers.
const MAX_SERVERS: usize = 3;
const MAX_SEARCH: usize = 6;

/// The port of every server in a resolv.conf.
const PORT: u16 = 53;

/// A host's resolv.conf.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DnsSettings {
    /// Name servers, at most 3, as sockets: a link-local one has its interface's index as scope.
    pub servers: Vec<SocketAddr>,
    /// Search domains, at most 6.
    pub search: Vec<String>,
    /// Options that differ from the defaults, as they are written: `ndots:2`.
    pub options: Vec<String>,
}

/// What goes into a pod's resolv.conf.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PodDns {
    /// `nameserver` lines.
    pub servers: Vec<IpAddr>,
    /// The `search` line.
    pub search: Vec<String>,
    /// The `options` line.
    pub options: Vec<String>,
    /// Whether `servers` are the gateways, so that the forwarder must run.
    pub forwarded: bool,
}

impl DnsSettings {
    /// Read a host's resolv.conf; a file that is not there means a server on this host, as it does for libc.
    ///
    /// # Errors
    /// [`NetError::ResolvConf`] if the file cannot be read.
    pub fn from_host(path: &Path) -> Result<Self, NetError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::parse(b"")),
            Err(error) => Err(NetError::ResolvConf { path: path.to_owned(), why: error.to_string() }),
        }
    }

    /// Parse a resolv.conf. As libc does, what cannot be understood is skipped, and no server means one on this host.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let (config, errors) = Config::parse_with_errors(bytes);
        for error in errors {
            tracing::debug!(%error, "resolv.conf");
        }
        let mut servers: Vec<_> = config.nameservers.iter().map(socket).take(MAX_SERVERS).collect();
        if servers.is_empty() {
            servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
        }
        Self {
            servers,
            search: config.get_last_search_or_domain().map(|s| s.to_string()).take(MAX_SEARCH).collect(),
            options: options(&config),
        }
    }
}

impl PodDns {
    /// What pods are given, from the configuration, the host's settings and the gateway addresses.
    #[must_use]
    pub fn new(config: &DnsConfig, host: &DnsSettings, gateways: [IpAddr; 2]) -> Self {
        let own: Vec<_> = config.servers.iter().copied().take(MAX_SERVERS).collect();
        let servers = if own.is_empty() { host.servers.iter().map(SocketAddr::ip).collect() } else { own };
        let reachable = || servers.iter().copied().filter(|ip| from_pods(*ip)).collect::<Vec<_>>();
        // Through the forwarder all of them, in their order, or none: a mix would change which is asked first.
        let forwarded = match config.forwarder {
            ForwarderUse::Always => true,
            ForwarderUse::Never => false,
            ForwarderUse::Auto => reachable().len() < servers.len(),
        };
        Self {
            servers: if forwarded { gateways.to_vec() } else { reachable() },
            search: if config.search.is_empty() { host.search.clone() } else { config.search.clone() },
            options: host.options.clone(),
            forwarded,
        }
    }

    /// The text of the pod's resolv.conf.
    #[must_use]
    pub fn resolv_conf(&self) -> String {
        let mut out: String = self.servers.iter().map(|server| format!("nameserver {server}\n")).collect();
        for (key, values) in [("search", &self.search), ("options", &self.options)] {
            if !values.is_empty() {
                out += &format!("{key} {}\n", values.join(" "));
            }
        }
        out
    }
}

/// Whether a packet from a pod can get to this address of a name server.
fn from_pods(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_unspecified() || ip.is_link_local()),
        IpAddr::V6(ip) => {
            !(ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local())
                && ip.to_ipv4_mapped().is_none_or(|ip| !ip.is_loopback())
        }
    }
}

fn socket(server: &ScopedIp) -> SocketAddr {
    match server {
        ScopedIp::V4(ip) => SocketAddr::new((*ip).into(), PORT),
        ScopedIp::V6(ip, scope) => {
            let index = scope.as_deref().map_or(0, interface_index);
            SocketAddrV6::new(*ip, PORT, 0, index).into()
        }
    }
}

/// The index of an interface by name or number; 0, "any", if there is none.
fn interface_index(scope: &str) -> u32 {
    scope
        .parse()
        .ok()
        .or_else(|| {
            let text = std::fs::read_to_string(Path::new("/sys/class/net").join(scope).join("ifindex")).ok()?;
            text.trim().parse().ok()
        })
        .unwrap_or(0)
}

/// `trust-ad` is left out: the path from a pod to the server is not the host's own.
fn options(config: &Config) -> Vec<String> {
    let defaults = Config::default();
    let mut out = Vec::new();
    for (key, value, default) in [
        ("ndots", config.ndots, defaults.ndots),
        ("timeout", config.timeout, defaults.timeout),
        ("attempts", config.attempts, defaults.attempts),
    ] {
        if value != default {
            out.push(format!("{key}:{value}"));
        }
    }
    for (key, set) in [
        ("rotate", config.rotate),
        ("edns0", config.edns0),
        ("single-request", config.single_request),
        ("single-request-reopen", config.single_request_reopen),
        ("use-vc", config.use_vc),
        ("no-aaaa", config.no_aaaa),
    ] {
        if set {
            out.push(key.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests;
