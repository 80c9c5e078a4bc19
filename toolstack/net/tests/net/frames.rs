//! Frames made by hand, sent from a pod past its own kernel, and seen by another.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recv, sendto, socket};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::TimeVal;
use xenpod_net::MacAddr;

use crate::world::Pod;

/// A raw socket in a pod's namespace.
pub struct Wire {
    socket: OwnedFd,
    eth0: LinkAddr,
}

impl Wire {
    pub fn of(pod: &Pod) -> Self {
        pod.ns.call(|| {
            let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), SockProtocol::EthAll).unwrap();
            setsockopt(&socket, ReceiveTimeout, &TimeVal::new(0, 200_000)).unwrap();
            let eth0 = getifaddrs()
                .unwrap()
                .filter(|i| i.interface_name == "eth0")
                .find_map(|i| i.address.and_then(|a| a.as_link_addr().copied()))
                .unwrap();
            Self { socket, eth0 }
        })
    }

    pub fn send(&self, frame: &[u8]) {
        let sent = sendto(self.socket.as_raw_fd(), frame, &self.eth0, MsgFlags::empty()).unwrap();
        assert_eq!(sent, frame.len());
    }

    /// Whether a frame that holds `text` arrives within the socket's time-out of 200 ms.
    fn hears(&self, text: &[u8]) -> bool {
        let mut buf = [0; 2048];
        while let Ok(len) = recv(self.socket.as_raw_fd(), &mut buf, MsgFlags::empty()) {
            if buf[..len].windows(text.len()).any(|window| window == text) {
                return true;
            }
        }
        false
    }

    /// Whether a frame that holds `text` arrives before one that holds `end`, which must arrive.
    fn sees(&self, text: &[u8], end: &[u8]) -> bool {
        let until = Instant::now() + Duration::from_secs(5);
        let mut buf = [0; 2048];
        let mut seen = false;
        while Instant::now() < until {
            let Ok(len) = recv(self.socket.as_raw_fd(), &mut buf, MsgFlags::empty()) else { continue };
            let holds = |what: &[u8]| buf[..len].windows(what.len()).any(|window| window == what);
            seen |= holds(text);
            if holds(end) {
                return seen;
            }
        }
        panic!("the frame that ends the check did not arrive");
    }
}

/// Two pods' wires: what one sends, the other may see.
pub struct Pair<'a> {
    pub a: &'a Pod,
    pub b: &'a Pod,
    from: Wire,
    to: Wire,
    count: u32,
}

impl<'a> Pair<'a> {
    pub fn new(a: &'a Pod, b: &'a Pod) -> Self {
        let pair = Self { a, b, from: Wire::of(a), to: Wire::of(b), count: 0 };
        // The kernel starts a new link's queue from a work item, shortly after its carrier: send until one gets through.
        let ends = Ends::of(a, b);
        let hello = ether(ends.mac_b, ends.mac_a, 0x0800, &udp4(ends.a4, ends.b4, 7, b"<hello>"));
        let until = Instant::now() + Duration::from_secs(5);
        while Instant::now() < until {
            pair.from.send(&hello);
            if pair.to.hears(b"<hello>") {
                return pair;
            }
        }
        panic!("{} cannot reach {}", a.port.ifname, b.port.ifname);
    }

    /// Whether B sees the frame `make` builds around a mark. A good frame sent after it ends the wait, so a drop is
    /// certain and not a time-out.
    pub fn arrives(&mut self, make: impl FnOnce(&Ends, &[u8]) -> Vec<u8>) -> bool {
        self.count += 1;
        let (mark, end) = (format!("<mark {:06}>", self.count), format!("<end {:06}>", self.count));
        let ends = Ends::of(self.a, self.b);
        self.from.send(&make(&ends, mark.as_bytes()));
        self.from.send(&ether(ends.mac_b, ends.mac_a, 0x0800, &udp4(ends.a4, ends.b4, 7, end.as_bytes())));
        self.to.sees(mark.as_bytes(), end.as_bytes())
    }
}

/// The true addresses of both ends.
pub struct Ends {
    pub mac_a: MacAddr,
    pub mac_b: MacAddr,
    pub a4: Ipv4Addr,
    pub b4: Ipv4Addr,
    pub a6: Ipv6Addr,
    pub b6: Ipv6Addr,
}

impl Ends {
    fn of(a: &Pod, b: &Pod) -> Self {
        let (a, b) = (a.port.lease, b.port.lease);
        Self { mac_a: a.mac, mac_b: b.mac, a4: a.v4, b4: b.v4, a6: a.v6, b6: b.v6 }
    }
}

pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);

pub fn ether(to: MacAddr, from: MacAddr, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to.0, &from.0, &kind.to_be_bytes()[..], payload].concat()
}

/// An IPv4 UDP datagram to port 9 of `to`.
pub fn udp4(from: Ipv4Addr, to: Ipv4Addr, source_port: u16, data: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x45, 0];
    ip.extend((28 + data.len() as u16).to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ip.extend(udp(source_port, data));
    ip
}

/// An IPv6 packet.
pub fn ip6(from: Ipv6Addr, to: Ipv6Addr, proto: u8, data: &[u8]) -> Vec<u8> {
    let mut ip = vec![0x60, 0, 0, 0];
    ip.extend((data.len() as u16).to_be_bytes());
    ip.extend([proto, 255]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    ip.extend(data);
    ip
}

/// A UDP datagram without a checksum, to port 9.
pub fn udp(source_port: u16, data: &[u8]) -> Vec<u8> {
    let mut out = source_port.to_be_bytes().to_vec();
    out.extend([0, 9]);
    out.extend((8 + data.len() as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(data);
    out
}

/// An ICMPv6 message of `kind`: 4 bytes, `target`, then `data`. Nobody on the path looks at the checksum.
pub fn icmp6(kind: u8, target: Ipv6Addr, data: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0, 0, 0, 0, 0], &target.octets()[..], data].concat()
}

/// An ARP reply that says `sender` has `mac`, padded with `mark`.
pub fn arp(mac: MacAddr, sender: Ipv4Addr, target: IpAddr, mark: &[u8]) -> Vec<u8> {
    let IpAddr::V4(target) = target else { panic!("ARP is for IPv4") };
    let mut out = vec![0, 1, 8, 0, 6, 4, 0, 2];
    out.extend(mac.0);
    out.extend(sender.octets());
    out.extend([0; 6]);
    out.extend(target.octets());
    out.extend(mark);
    out
}

fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}
