//! What an operator may choose about the `default` network, and the plan worked out from it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::addr::{IfName, MacAddr};
use crate::error::NetError;

/// Configuration of the `default` network. Every key has a default; unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Name of the bridge that is made. One of that name that is not ours is refused. Default `xenpod0`.
    pub bridge: IfName,
    /// The pods' IPv4 subnet, /12 to /29; its first address is dom0's. Default `10.213.0.0/16`.
    pub ipv4_subnet: Ipv4Net,
    /// The pods' IPv6 subnet, a /64; its first address is dom0's. Default: a unique local one (RFC 4193) derived
    /// from the machine id, so that it is stable here and differs from other hosts'.
    pub ipv6_subnet: Option<Ipv6Net>,
    /// MTU of the bridge and of the pods' interfaces in bytes, 1280 (the least IPv6 allows) to 1500 (netback takes no
    /// more before the guest has connected). Default 1500.
    pub mtu: u32,
    /// Rewrite the source of what pods send out of the host to the host's address. Switch it off where the pods'
    /// subnets are routed. Default true.
    pub masquerade: bool,
    /// Whether connections from outside this host to pods' own addresses are let in. Default `deny`.
    pub inbound: Inbound,
    /// Name resolution in pods.
    pub dns: DnsConfig,
}

/// What happens to a connection that comes from beyond this host to a pod's own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inbound {
    /// Dropped, but for answers and for what a destination NAT rule led there.
    Deny,
    /// Forwarded.
    Allow,
}

/// How pods resolve names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DnsConfig {
    /// When pods are pointed at the forwarder on the gateway address. Default `auto`.
    pub forwarder: ForwarderUse,
    /// Name servers to use instead of the host's. Default: none, use the host's resolv.conf.
    pub servers: Vec<IpAddr>,
    /// Search domains to use instead of the host's. Default: none, use the host's.
    pub search: Vec<String>,
}

/// When the forwarder on the gateway address is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwarderUse {
    /// When a server of the host cannot be reached from a pod (a loopback or link-local address).
    #[default]
    Auto,
    /// Always: pods then follow changes of the host's resolv.conf while they run.
    Always,
    /// Never: pods get what can be reached of the host's servers, which may be nothing.
    Never,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            bridge: IfName::try_from("xenpod0".to_owned()).unwrap_or_else(|_| unreachable!("a constant name")),
            // Clear of what usually sits on a host: 10.88 (podman), 10.42, 10.43, 10.96, 10.244 (Kubernetes),
            // 172.16/12 (Docker), 192.168/16 (libvirt, LANs), 100.64/10 (overlay VPNs).
            ipv4_subnet: Ipv4Net::new_assert(Ipv4Addr::new(10, 213, 0, 0), 16),
            ipv6_subnet: None,
            mtu: 1500,
            masquerade: true,
            inbound: Inbound::Deny,
            dns: DnsConfig::default(),
        }
    }
}

/// A [`NetworkConfig`] that was checked, with everything derived from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The bridge.
    pub bridge: IfName,
    /// The bridge's own MAC: fixed, for a bridge otherwise changes it as ports come and go.
    pub bridge_mac: MacAddr,
    /// The pods' IPv4 subnet, host bits clear.
    pub v4: Ipv4Net,
    /// The pods' IPv6 subnet, host bits clear.
    pub v6: Ipv6Net,
    /// dom0's IPv4 address on the bridge.
    pub gateway4: Ipv4Addr,
    /// dom0's IPv6 address on the bridge.
    pub gateway6: Ipv6Addr,
    /// Bytes.
    pub mtu: u32,
    /// See [`NetworkConfig::masquerade`].
    pub masquerade: bool,
    /// See [`NetworkConfig::inbound`].
    pub inbound: Inbound,
}

impl NetworkConfig {
    /// Check the configuration and derive the rest. `machine_id` is the text of `/etc/machine-id`; it only seeds the
    /// default IPv6 subnet.
    ///
    /// # Errors
    /// [`NetError::Config`] names the key and the value.
    pub fn plan(&self, machine_id: &str) -> Result<Plan, NetError> {
        let v4 = self.ipv4_subnet.trunc();
        if v4 != self.ipv4_subnet {
            return Err(bad("ipv4_subnet", self.ipv4_subnet, format!("it has host bits set, write {v4}")));
        }
        if !(12..=29).contains(&v4.prefix_len()) {
            return Err(bad("ipv4_subnet", v4, "its prefix must be /12 to /29".into()));
        }
        if !usable(IpNet::V4(v4)) {
            return Err(bad("ipv4_subnet", v4, "it is not a unicast subnet that pods can have".into()));
        }
        let v6 = match self.ipv6_subnet {
            None => derived_ula(machine_id),
            Some(net) if net.trunc() != net => {
                return Err(bad("ipv6_subnet", net, format!("it has host bits set, write {}", net.trunc())));
            }
            Some(net) if net.prefix_len() != 64 => {
                return Err(bad("ipv6_subnet", net, "its prefix must be /64".into()));
            }
            Some(net) if !usable(IpNet::V6(net)) => {
                return Err(bad("ipv6_subnet", net, "it is not a unicast subnet that pods can have".into()));
            }
            Some(net) => net,
        };
        if !(1280..=1500).contains(&self.mtu) {
            return Err(bad("mtu", self.mtu, "it must be 1280 to 1500".into()));
        }
        let gateway4 = Ipv4Addr::from(u32::from(v4.network()) + 1);
        Ok(Plan {
            bridge: self.bridge.clone(),
            bridge_mac: mac_of(gateway4),
            v4,
            v6,
            gateway4,
            gateway6: Ipv6Addr::from(u128::from(v6.network()) + 1),
            mtu: self.mtu,
            masquerade: self.masquerade,
            inbound: self.inbound,
        })
    }
}

/// The MAC of whoever holds `v4`: locally administered, unique on the network because the address is. One thing to keep
/// unique instead of two, and an address that changes hands leaves no stale neighbour entry behind.
#[must_use]
pub fn mac_of(v4: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = v4.octets();
    MacAddr([0x02, 0x16, a, b, c, d])
}

fn usable(net: IpNet) -> bool {
    match net.network() {
        IpAddr::V4(a) => {
            !(a.is_loopback() || a.is_multicast() || a.is_link_local() || a.octets()[0] == 0 || a.octets()[0] >= 240)
        }
        IpAddr::V6(a) => {
            !(a.is_loopback() || a.is_unspecified() || a.is_multicast() || a.is_unicast_link_local())
                && a.to_ipv4_mapped().is_none()
        }
    }
}

/// RFC 4193, 3.2.2: fd00::/8, 40 bits of SHA-1 over something unique, subnet 0.
fn derived_ula(machine_id: &str) -> Ipv6Net {
    const SPACE: Uuid = Uuid::from_u128(0x8d1c_37f2_5f5b_4e0c_9a55_7d6e_1f0b_c2a4);
    let hash = Uuid::new_v5(&SPACE, machine_id.trim().as_bytes());
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&hash.as_bytes()[..5]);
    Ipv6Net::new_assert(Ipv6Addr::from(octets), 64)
}

fn bad(key: &'static str, value: impl ToString, why: String) -> NetError {
    NetError::Config { key, value: value.to_string(), why }
}

#[cfg(test)]
mod tests;
