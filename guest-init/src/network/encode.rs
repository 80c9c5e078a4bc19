//! The few rtnetlink messages we use, as bytes (<linux/netlink.h>, <linux/rtnetlink.h>). Pure.

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFF_UP: u32 = 1;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_F_NODAD: u8 = 2;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;

const HEADER: usize = 16;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// A message that is being put together.
#[derive(Debug)]
pub struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(NLM_F_REQUEST | flags).to_ne_bytes());
        Self(bytes)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// With its length and number: what is sent.
    pub fn finish(mut self, sequence: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }
}

/// struct ifinfomsg
fn link_header(index: i32, flags: u32, change: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..16].copy_from_slice(&change.to_ne_bytes());
    header
}

/// A new bridge with nothing on it: what a test can have as an interface.
#[cfg(test)]
pub fn add_bridge(mac: &[u8]) -> Message {
    const IFLA_LINKINFO: u16 = 18;
    const IFLA_INFO_KIND: u16 = 1;
    let kind = Message(Vec::new()).attribute(IFLA_INFO_KIND, b"bridge").0;
    Message::new(RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
        .raw(&link_header(0, 0, 0))
        .attribute(IFLA_ADDRESS, mac)
        .attribute(IFLA_IFNAME, b"x\0")
        .attribute(IFLA_LINKINFO, &kind)
}

/// All interfaces, please.
pub fn list_links() -> Message {
    Message::new(RTM_GETLINK, NLM_F_DUMP).raw(&link_header(0, 0, 0))
}

/// A new name, another MTU (0: as it is), up.
pub fn set_link(index: i32, name: Option<&str>, mtu: u32, up: bool) -> Message {
    let flags = if up { IFF_UP } else { 0 };
    let mut message = Message::new(RTM_NEWLINK, NLM_F_ACK).raw(&link_header(index, flags, flags));
    if let Some(name) = name {
        message = message.attribute(IFLA_IFNAME, &[name.as_bytes(), b"\0"].concat());
    }
    if mtu != 0 {
        message = message.attribute(IFLA_MTU, &mtu.to_ne_bytes());
    }
    message
}

fn family(ip: &[u8], prefix: u32) -> Option<(u8, u8)> {
    let family = match ip.len() {
        4 => AF_INET,
        16 => AF_INET6,
        _ => return None,
    };
    (prefix as usize <= ip.len() * 8).then_some((family, prefix as u8))
}

/// An address; `None` when it is none.
pub fn add_address(index: i32, ip: &[u8], prefix: u32) -> Option<Message> {
    let (family, length) = family(ip, prefix)?;
    // struct ifaddrmsg: family, prefix length, flags, scope, index. IPv6 is used at once: dom0 gave it to nobody else.
    let flags = if family == AF_INET6 { IFA_F_NODAD } else { 0 };
    let mut message = Message::new(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
        .raw(&[family, length, flags, RT_SCOPE_UNIVERSE])
        .raw(&index.to_ne_bytes())
        .attribute(IFA_LOCAL, ip)
        .attribute(IFA_ADDRESS, ip);
    if let (Ok(v4), true) = (<[u8; 4]>::try_from(ip), length < 31) {
        let broadcast = u32::from_be_bytes(v4) | (u32::MAX >> length);
        message = message.attribute(IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    Some(message)
}

/// A route; `None` when an address is none.
pub fn add_route(index: i32, destination: &[u8], prefix: u32, gateway: &[u8], onlink: bool) -> Option<Message> {
    let (family, length) = family(destination, prefix)?;
    if !gateway.is_empty() && gateway.len() != destination.len() {
        return None;
    }
    let scope = if gateway.is_empty() && family == AF_INET { RT_SCOPE_LINK } else { RT_SCOPE_UNIVERSE };
    let flags = if onlink { RTNH_F_ONLINK } else { 0 };
    // struct rtmsg
    let mut message = Message::new(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
        .raw(&[family, length, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST])
        .raw(&flags.to_ne_bytes());
    if length > 0 {
        message = message.attribute(RTA_DST, destination);
    }
    if !gateway.is_empty() {
        message = message.attribute(RTA_GATEWAY, gateway);
    }
    Some(message.attribute(RTA_OIF, &index.to_ne_bytes()))
}

/// One message of the kernel's.
#[derive(Debug)]
pub struct Reply<'a> {
    /// Of the question.
    pub sequence: u32,
    /// The kernel's word on it: 0 or a negative error number.
    pub error: Option<i32>,
    /// The end of a list.
    pub done: bool,
    /// What follows the header.
    pub body: &'a [u8],
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The messages in one datagram.
pub fn replies(mut bytes: &[u8]) -> impl Iterator<Item = Reply<'_>> {
    std::iter::from_fn(move || {
        let length = word(bytes, 0)? as usize;
        let (kind, sequence) = (half(bytes, 4)?, word(bytes, 8)?);
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        let error = if kind == NLMSG_ERROR { Some(word(body, 0)? as i32) } else { None };
        Some(Reply { sequence, error, done: kind == NLMSG_DONE, body })
    })
}

/// A network interface.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number.
    pub index: i32,
    /// Its name.
    pub name: String,
    /// Its hardware address.
    pub mac: Vec<u8>,
}

/// From the body of an RTM_NEWLINK message.
pub fn link(body: &[u8]) -> Option<Link> {
    let mut link = Link { index: word(body, 4)? as i32, name: String::new(), mac: Vec::new() };
    let mut rest = body.get(16..)?;
    while let (Some(length), Some(kind)) = (half(rest, 0), half(rest, 2)) {
        let length = usize::from(length);
        let Some(value) = rest.get(4..length) else { break };
        match kind {
            IFLA_IFNAME => link.name = String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned(),
            IFLA_ADDRESS => link.mac = value.to_vec(),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(link)
}
