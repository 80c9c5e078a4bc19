use std::collections::HashSet;

use super::*;
use crate::config::NetworkConfig;

fn pool(subnet: &str) -> LeasePool {
    let config = NetworkConfig {
        ipv4_subnet: subnet.parse().unwrap(),
        ipv6_subnet: Some("fd00:1:2:3::/64".parse().unwrap()),
        ..NetworkConfig::default()
    };
    LeasePool::new(&config.plan("").unwrap())
}

fn pod(n: u128) -> Uuid {
    Uuid::from_u128(n * 0x1_0001_0001_0001_0001_0001)
}

#[test]
fn a_lease_is_one_number_three_times() {
    let lease = pool("10.213.0.0/16").allocate(pod(1), Some(Ipv4Addr::new(10, 213, 3, 7))).unwrap();
    assert_eq!(lease.v6.to_string(), "fd00:1:2:3::ad5:307");
    assert_eq!(lease.mac.to_string(), "02:16:0a:d5:03:07");
}

#[test]
fn the_choice_depends_on_the_pod_alone() {
    let (mut a, mut b) = (pool("10.213.0.0/16"), pool("10.213.0.0/16"));
    b.allocate(pod(9), None).unwrap();
    let first = a.allocate(pod(1), None).unwrap();
    assert_eq!(b.allocate(pod(1), None), Ok(first));
    assert_eq!(a.allocate(pod(1), None), Ok(first), "asking again gives the same");
    assert_eq!(a.len(), 1);
}

#[test]
fn the_whole_subnet_can_be_leased_and_no_more() {
    for (subnet, usable) in [("10.1.0.0/29", 5), ("10.1.0.0/24", 253), ("10.1.0.0/22", 1021)] {
        let mut pool = pool(subnet);
        let mut seen = HashSet::new();
        for n in 0..usable {
            let lease = pool.allocate(pod(n), None).unwrap();
            let host = u32::from(lease.v4) - u32::from(Ipv4Addr::new(10, 1, 0, 0));
            assert!(host >= 2 && u128::from(host) <= usable + 1, "{subnet}: {}", lease.v4);
            assert!(seen.insert(lease.v4), "{} twice", lease.v4);
        }
        let full = pool.allocate(pod(5000), None).unwrap_err();
        assert_eq!(
            full,
            LeaseError::Exhausted { pod: pod(5000), subnet: subnet.parse().unwrap(), leased: usable as usize }
        );
        let freed = pool.get(pod(3)).unwrap();
        assert_eq!(pool.release(pod(3)), Change::Made);
        assert_eq!(pool.release(pod(3)), Change::AlreadySo);
        assert_eq!(pool.allocate(pod(5000), None), Ok(freed), "the one that came free is found");
    }
}

#[test]
fn requested_addresses_are_given_or_refused_with_the_reason() {
    let mut pool = pool("10.1.0.0/24");
    let ask = |pool: &mut LeasePool, who, address: &str| {
        pool.allocate(pod(who), Some(address.parse().unwrap())).map_err(|e| e.to_string())
    };
    assert_eq!(ask(&mut pool, 1, "10.1.0.9").unwrap().v4, Ipv4Addr::new(10, 1, 0, 9));
    assert_eq!(ask(&mut pool, 1, "10.1.0.9").unwrap().v4, Ipv4Addr::new(10, 1, 0, 9));
    let (p1, p2) = (pod(1), pod(2));
    assert_eq!(ask(&mut pool, 2, "10.1.0.9").unwrap_err(), format!("pod {p2}: address 10.1.0.9 is leased to pod {p1}"));
    assert_eq!(
        ask(&mut pool, 1, "10.1.0.10").unwrap_err(),
        format!("pod {p1}: it already holds 10.1.0.9, it cannot have 10.1.0.10 too")
    );
    for (address, why) in [
        ("10.2.0.9", "it is outside"),
        ("10.1.0.0", "it names the network"),
        ("10.1.0.1", "it is the gateway's"),
        ("10.1.0.255", "it is the broadcast address"),
    ] {
        assert_eq!(
            ask(&mut pool, 2, address).unwrap_err(),
            format!("pod {p2}: address {address} is not one a pod can have in 10.1.0.0/24 ({why})")
        );
    }
    assert_eq!(pool.len(), 1, "a refusal leases nothing");
}

#[test]
fn leases_from_records_come_back() {
    let mut before = pool("10.1.0.0/24");
    let lease = before.allocate(pod(1), None).unwrap();
    let mut after = pool("10.1.0.0/24");
    assert_eq!(after.reserve(pod(1), &lease), Ok(Change::Made));
    assert_eq!(after.reserve(pod(1), &lease), Ok(Change::AlreadySo));
    assert_eq!(
        after.reserve(pod(2), &lease),
        Err(LeaseError::Taken { pod: pod(2), address: lease.v4, holder: pod(1) })
    );
    let other = Lease { mac: MacAddr([2, 0, 0, 0, 0, 1]), ..lease };
    assert!(matches!(after.reserve(pod(3), &other), Err(LeaseError::Foreign { .. })));
    assert!(matches!(pool("10.9.0.0/24").reserve(pod(1), &lease), Err(LeaseError::Foreign { .. })));
    let json = serde_json::to_string(&lease).unwrap();
    assert_eq!(serde_json::from_str::<Lease>(&json).unwrap(), lease);
}
