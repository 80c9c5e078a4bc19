//! A pod's pins: the elements of our sets that say what may come in through its port.

use std::collections::HashSet;

use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_netfilter::NetfilterProtoFamily;
use netlink_packet_netfilter::nftables::{
    DataAttribute, ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList, SetElementMessage,
};

use super::TABLE;
use super::expr;
use super::socket::{NftError, NftSocket, Request};
use crate::addr::{IfName, MacAddr};
use crate::network::Port;

/// nft's data type numbers (`enum datatypes`), only so that `nft list ruleset` prints the keys as what they are.
const TYPE_IPADDR: u32 = 7;
const TYPE_IP6ADDR: u32 = 8;
const TYPE_ETHERADDR: u32 = 9;
const TYPE_IFNAME: u32 = 41;

/// The sets of the bridge table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Set {
    /// Ports that the pod chain judges.
    Ports,
    /// Port and Ethernet source.
    Mac,
    /// Port, MAC and IPv4 source, for IPv4 and ARP.
    Ip4,
    /// Port, MAC and IPv6 source, for IPv6 and neighbour advertisements.
    Ip6,
}

impl Set {
    pub const ALL: [Self; 4] = [Self::Ports, Self::Mac, Self::Ip4, Self::Ip6];

    pub fn name(self) -> &'static str {
        match self {
            Self::Ports => "pod_ports",
            Self::Mac => "pod_mac",
            Self::Ip4 => "pod_ip4",
            Self::Ip6 => "pod_ip6",
        }
    }

    /// nft's concatenation of data types: 6 bits each.
    pub fn key_type(self) -> u32 {
        let parts: &[u32] = match self {
            Self::Ports => &[TYPE_IFNAME],
            Self::Mac => &[TYPE_IFNAME, TYPE_ETHERADDR],
            Self::Ip4 => &[TYPE_IFNAME, TYPE_ETHERADDR, TYPE_IPADDR],
            Self::Ip6 => &[TYPE_IFNAME, TYPE_ETHERADDR, TYPE_IP6ADDR],
        };
        parts.iter().fold(0, |all, part| all << 6 | part)
    }

    /// Bytes; each part is padded to a 32-bit register.
    pub fn key_len(self) -> u32 {
        match self {
            Self::Ports => 16,
            Self::Mac => 16 + 8,
            Self::Ip4 => 16 + 8 + 4,
            Self::Ip6 => 16 + 8 + 16,
        }
    }
}

/// One element.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pin {
    pub set: Set,
    pub key: Vec<u8>,
    /// The pod's UUID, on the port's element only: it tells a person whose port that is.
    pub comment: Option<String>,
}

/// The pins of a pod's port.
pub fn pins(port: &Port) -> Vec<Pin> {
    let pin = |set, address: &[u8]| Pin { set, key: key(&port.ifname, Some(port.lease.mac), address), comment: None };
    vec![
        Pin { set: Set::Ports, key: key(&port.ifname, None, &[]), comment: Some(port.pod.to_string()) },
        pin(Set::Mac, &[]),
        pin(Set::Ip4, &port.lease.v4.octets()),
        pin(Set::Ip6, &port.lease.v6.octets()),
        pin(Set::Ip6, &port.lease.mac.link_local().octets()),
    ]
}

fn key(ifname: &IfName, mac: Option<MacAddr>, address: &[u8]) -> Vec<u8> {
    let mut key = ifname.padded().to_vec();
    if let Some(mac) = mac {
        key.extend_from_slice(&mac.0);
        key.extend_from_slice(&[0; 2]);
    }
    key.extend_from_slice(address);
    key
}

/// How many elements go into one message: it must stay under the 64 KiB of an attribute.
const PER_MESSAGE: usize = 256;

/// The messages that take out `old` and put in `new`.
pub fn change<'a>(old: impl IntoIterator<Item = &'a Pin>, new: impl IntoIterator<Item = &'a Pin>) -> Vec<Request> {
    let mut out = Vec::new();
    let (old, new): (Vec<_>, Vec<_>) = (old.into_iter().collect(), new.into_iter().collect());
    for set in Set::ALL {
        of_set(&mut out, set, &old, "delete elements of", 0, NfTablesMessage::DeleteSetElement);
    }
    for set in Set::ALL {
        of_set(&mut out, set, &new, "add elements to", NLM_F_CREATE, NfTablesMessage::NewSetElement);
    }
    out
}

fn of_set(
    out: &mut Vec<Request>,
    set: Set,
    pins: &[&Pin],
    verb: &str,
    flags: u16,
    message: fn(SetElementMessage) -> NfTablesMessage,
) {
    let elements: Vec<_> = pins.iter().filter(|pin| pin.set == set).map(|pin| element(pin)).collect();
    for chunk in elements.chunks(PER_MESSAGE) {
        out.push(Request {
            family: NetfilterProtoFamily::Bridge,
            message: message(SetElementMessage {
                attributes: vec![
                    SetElementList::Table(TABLE.into()),
                    SetElementList::Set(set.name().into()),
                    SetElementList::Elements(chunk.to_vec()),
                ],
            }),
            flags,
            what: format!("{verb} set bridge {TABLE} {}", set.name()),
        });
    }
}

fn element(pin: &Pin) -> ListAttribute<SetElementAttribute> {
    let mut attributes = vec![SetElementAttribute::Key(DataAttribute::Value(pin.key.clone()))];
    if let Some(text) = &pin.comment {
        attributes.push(SetElementAttribute::UserData(expr::comment(text)));
    }
    ListAttribute::Element(attributes)
}

/// All pins in the kernel; `None` if there is no table of ours.
pub async fn list(socket: &mut NftSocket) -> Result<Option<HashSet<Pin>>, NftError> {
    let mut out = HashSet::new();
    for set in Set::ALL {
        let request = Request {
            family: NetfilterProtoFamily::Bridge,
            message: NfTablesMessage::GetSetElement(SetElementMessage {
                attributes: vec![SetElementList::Table(TABLE.into()), SetElementList::Set(set.name().into())],
            }),
            flags: 0,
            what: format!("list set bridge {TABLE} {}", set.name()),
        };
        let Some(messages) = socket.dump(&request).await? else { return Ok(None) };
        for message in messages {
            let NfTablesMessage::NewSetElement(message) = message else { continue };
            for attribute in message.attributes {
                let SetElementList::Elements(elements) = attribute else { continue };
                out.extend(elements.into_iter().filter_map(|element| read(set, element)));
            }
        }
    }
    Ok(Some(out))
}

fn read(set: Set, element: ListAttribute<SetElementAttribute>) -> Option<Pin> {
    let ListAttribute::Element(attributes) = element else { return None };
    let (mut key, mut comment) = (None, None);
    for attribute in attributes {
        match attribute {
            SetElementAttribute::Key(DataAttribute::Value(value)) => key = Some(value),
            SetElementAttribute::UserData(data) => comment = expr::read_comment(&data).map(str::to_owned),
            _ => {}
        }
    }
    Some(Pin { set, key: key?, comment })
}

#[cfg(test)]
#[path = "pins_tests.rs"]
mod tests;
