use uuid::Uuid;

use super::*;
use crate::lease::Lease;

fn port() -> Port {
    Port {
        pod: Uuid::from_u128(7),
        ifname: IfName::vif(3, 0),
        lease: Lease {
            v4: [10, 213, 0, 2].into(),
            v6: "fd00::ad5:2".parse().unwrap(),
            mac: MacAddr([2, 0x16, 10, 213, 0, 2]),
        },
    }
}

#[test]
fn keys_are_laid_out_as_the_registers_are() {
    let pins = pins(&port());
    let mut ip4 = b"vif3.0\0\0\0\0\0\0\0\0\0\0".to_vec();
    ip4.extend([2, 0x16, 10, 213, 0, 2, 0, 0, 10, 213, 0, 2]);
    assert_eq!(pins.iter().filter(|p| p.set == Set::Ip4).map(|p| &p.key).collect::<Vec<_>>(), [&ip4]);
    let ip6: Vec<_> = pins.iter().filter(|p| p.set == Set::Ip6).map(|p| &p.key[24..]).collect();
    let local = "fe80::16:aff:fed5:2".parse::<std::net::Ipv6Addr>().unwrap().octets();
    assert_eq!(ip6, [&port().lease.v6.octets()[..], &local[..]]);
    for pin in &pins {
        assert_eq!(pin.key.len() as u32, pin.set.key_len(), "{:?}", pin.set);
    }
}

#[test]
fn a_change_deletes_before_it_adds() {
    let (old, new) = (pins(&port()), pins(&Port { ifname: IfName::vif(4, 0), ..port() }));
    let what: Vec<_> = change(&old, &new).into_iter().map(|r| r.what).collect();
    assert_eq!(what.len(), 8, "a message per set and direction, however many elements");
    assert!(what[..4].iter().all(|w| w.starts_with("delete")) && what[4..].iter().all(|w| w.starts_with("add")));
}

#[test]
fn comments_survive_the_wire_form() {
    let data = expr::comment("a pod");
    assert_eq!(data, b"\x00\x06a pod\0");
    assert_eq!(expr::read_comment(&data), Some("a pod"));
    assert_eq!(expr::read_comment(b"\x05\x01x\x00\x03ab\0"), Some("ab"), "other records are skipped");
    assert_eq!(expr::read_comment(b"\x00\xffab"), None, "a length beyond the end");
}
