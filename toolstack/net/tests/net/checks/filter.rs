//! What a pod must not be able to send. Each drop is shown against the same frame with true addresses, which passes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use xenpod_net::MacAddr;

use crate::frames::{BROADCAST, Pair, Wire, arp, ether, icmp6, ip6, udp, udp4};
use crate::world::{Net, output, say};

const FORGED_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x66]);

pub async fn spoofed_macs_are_dropped() {
    let mut net = Net::new().await;
    let (a, b, c) = (net.pod().await, net.pod().await, net.pod().await);
    let mut pair = Pair::new(&a, &b);
    assert!(pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(e.a4, e.b4, 7, m))));
    assert!(!pair.arrives(|e, m| ether(e.mac_b, FORGED_MAC, 0x0800, &udp4(e.a4, e.b4, 7, m))));
    let victim = c.port.lease.mac;
    assert!(!pair.arrives(|e, m| ether(e.mac_b, victim, 0x0800, &udp4(e.a4, e.b4, 7, m))), "another pod's");
    let gateway = net.host.plan().bridge_mac;
    assert!(!pair.arrives(|e, m| ether(e.mac_b, gateway, 0x0800, &udp4(e.a4, e.b4, 7, m))), "the gateway's");

    // The bridge takes frames to the link-local groups in before any rule of ours, and would learn their source.
    let wire = Wire::of(&a);
    for source in [victim, FORGED_MAC] {
        wire.send(&ether(MacAddr([1, 0x80, 0xc2, 0, 0, 0x0e]), source, 0x88cc, b"hello"));
    }
    assert!(pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(e.a4, e.b4, 7, m))), "after it");
    let fdb = output("bridge", "fdb show").unwrap();
    let of_victim: Vec<_> = fdb.lines().filter(|line| line.starts_with(&victim.to_string())).collect();
    assert!(!fdb.contains(&FORGED_MAC.to_string()), "{fdb}");
    assert!(!of_victim.is_empty(), "{fdb}");
    assert!(of_victim.iter().all(|line| line.contains(c.port.ifname.as_str())), "{fdb}");
    let (from, to) = (b.ns.udp(b.port.lease.v4, 1000), c.ns.udp(c.port.lease.v4, 2000));
    assert_eq!(say(&from, &to, "still mine"), Some(b.port.lease.v4.into()));
}

pub async fn spoofed_ipv4_is_dropped() {
    let mut net = Net::new().await;
    let (a, b, c) = (net.pod().await, net.pod().await, net.pod().await);
    let mut pair = Pair::new(&a, &b);
    assert!(pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(e.a4, e.b4, 7, m))));
    for forged in [c.port.lease.v4, net.host.plan().gateway4, Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::UNSPECIFIED] {
        let frame = pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(forged, e.b4, 7, m)));
        assert!(!frame, "from {forged}");
    }
}

pub async fn spoofed_arp_is_dropped() {
    let mut net = Net::new().await;
    let (a, b, c) = (net.pod().await, net.pod().await, net.pod().await);
    let mut pair = Pair::new(&a, &b);
    let at: IpAddr = b.port.lease.v4.into();
    let gateway = net.host.plan().gateway4;
    assert!(pair.arrives(|e, m| ether(BROADCAST, e.mac_a, 0x0806, &arp(e.mac_a, e.a4, at, m))));
    assert!(!pair.arrives(|e, m| ether(BROADCAST, e.mac_a, 0x0806, &arp(e.mac_a, gateway, at, m))), "the gateway's");
    let victim = c.port.lease.v4;
    assert!(!pair.arrives(|e, m| ether(BROADCAST, e.mac_a, 0x0806, &arp(e.mac_a, victim, at, m))), "another's");
    assert!(!pair.arrives(|e, m| ether(BROADCAST, e.mac_a, 0x0806, &arp(FORGED_MAC, e.a4, at, m))), "MAC inside");
    let odd = |e: &crate::frames::Ends, m: &[u8]| {
        let mut frame = ether(BROADCAST, e.mac_a, 0x0806, &arp(e.mac_a, e.a4, at, m));
        frame[14 + 4] = 8; // a hardware length that moves the fields
        frame
    };
    assert!(!pair.arrives(odd), "of another shape");
}

pub async fn spoofed_ipv6_is_dropped() {
    let mut net = Net::new().await;
    let (a, b, c) = (net.pod().await, net.pod().await, net.pod().await);
    let mut pair = Pair::new(&a, &b);
    let local = a.port.lease.mac.link_local();
    let mut from =
        |source: Ipv6Addr| pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x86dd, &ip6(source, e.b6, 17, &udp(7, m))));
    assert!(from(a.port.lease.v6) && from(local), "its own, and the link-local one of its MAC");
    let others = [c.port.lease.v6, c.port.lease.mac.link_local(), net.host.plan().gateway6];
    for forged in others.into_iter().chain(["fe80::1".parse().unwrap(), Ipv6Addr::UNSPECIFIED]) {
        assert!(!from(forged), "from {forged}");
    }

    let mut nd = |source: Ipv6Addr, kind, target| {
        pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x86dd, &ip6(source, e.b6, 58, &icmp6(kind, target, m))))
    };
    let (own, gateway) = (a.port.lease.v6, net.host.plan().gateway6);
    assert!(nd(own, 136, own) && nd(own, 136, local), "advertises what it has");
    assert!(!nd(own, 136, gateway), "advertises the gateway's address");
    assert!(!nd(own, 136, c.port.lease.v6), "advertises another pod's address");
    assert!(nd(own, 135, gateway), "asks for the gateway");
    assert!(nd(Ipv6Addr::UNSPECIFIED, 135, own), "looks for duplicates before it has an address");
    assert!(nd(Ipv6Addr::UNSPECIFIED, 143, own), "joins groups before it has an address");
    assert!(!nd(Ipv6Addr::UNSPECIFIED, 128, own), "pings from no address");
}

pub async fn pods_are_no_routers_and_no_dhcp_servers() {
    let mut net = Net::new().await;
    let (a, b) = (net.pod().await, net.pod().await);
    let mut pair = Pair::new(&a, &b);
    let local = a.port.lease.mac.link_local();
    let zero = Ipv6Addr::UNSPECIFIED;
    for (kind, what) in [(134, "router advertisement"), (137, "redirect")] {
        let frame = pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x86dd, &ip6(local, e.b6, 58, &icmp6(kind, zero, m))));
        assert!(!frame, "{what}");
        // The same behind an empty destination options header: 58 follows, length 0, PadN of 4.
        let hidden = |m: &[u8]| [&[58, 0, 1, 4, 0, 0, 0, 0], &icmp6(kind, zero, m)[..]].concat();
        let frame = pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x86dd, &ip6(local, e.b6, 60, &hidden(m))));
        assert!(!frame, "{what} behind an extension header");
    }
    assert!(
        pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x86dd, &ip6(local, e.b6, 58, &icmp6(133, zero, m)))),
        "a router solicitation is only a question"
    );
    assert!(!pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(e.a4, e.b4, 67, m))), "DHCP");
    assert!(pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(e.a4, e.b4, 68, m))), "a DHCP client");
    assert!(!pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x86dd, &ip6(e.a6, e.b6, 17, &udp(547, m)))), "DHCPv6");
    assert!(pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x86dd, &ip6(e.a6, e.b6, 17, &udp(546, m)))), "its client");
}

pub async fn other_frames_are_dropped() {
    let mut net = Net::new().await;
    let (a, b) = (net.pod().await, net.pod().await);
    let mut pair = Pair::new(&a, &b);
    for (kind, what) in [(0x88b5, "an experimental protocol"), (0x8863, "PPPoE"), (0x0026, "an 802.3 length")] {
        assert!(!pair.arrives(|e, m| ether(e.mac_b, e.mac_a, kind, m)), "{what}");
    }
    let tagged = |e: &crate::frames::Ends, m: &[u8], tag: u16, vlan: u8| {
        let inner = [&[0, vlan, 8, 0], &udp4(e.a4, e.b4, 7, m)[..]].concat();
        ether(e.mac_b, e.mac_a, tag, &inner)
    };
    assert!(!pair.arrives(|e, m| tagged(e, m, 0x8100, 5)), "VLAN 5");
    assert!(!pair.arrives(|e, m| tagged(e, m, 0x8100, 0)), "a priority tag");
    assert!(!pair.arrives(|e, m| tagged(e, m, 0x88a8, 5)), "a service tag");
}
