use super::*;

/// Runs `test` in a network namespace of its own, on a thread that ends with it.
fn in_new_network(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        crate::sys::unshare_network().expect("these tests need root, for a network namespace");
        test();
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn messages_are_what_the_kernel_reads() {
    let bytes = encode::add_route(7, &[0, 0, 0, 0], 0, &[10, 0, 0, 1], true).unwrap().finish(3);
    assert_eq!(bytes.len(), 44);
    assert_eq!(&bytes[..16], [44, 0, 0, 0, 24, 0, 5, 6, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(&bytes[16..28], [2, 0, 0, 0, 254, 4, 0, 1, 4, 0, 0, 0]);
    assert_eq!(&bytes[28..], [8, 0, 5, 0, 10, 0, 0, 1, 8, 0, 4, 0, 7, 0, 0, 0]);
}

#[test]
fn nonsense_is_refused() {
    assert!(encode::add_address(1, &[1, 2, 3], 8).is_none());
    assert!(encode::add_address(1, &[1, 2, 3, 4], 33).is_none());
    assert!(encode::add_route(1, &[0; 16], 0, &[10, 0, 0, 1], false).is_none());
    assert_eq!(encode::replies(&[1, 2, 3]).count(), 0);
    assert_eq!(encode::replies(&[0; 64]).count(), 0);
    assert_eq!(encode::link(&[0; 8]), None);
}

#[test]
fn the_kernel_takes_what_we_say() {
    in_new_network(|| {
        let mac = vec![2, 0, 0, 0, 0, 9];
        Socket::open().unwrap().call(encode::add_bridge(&mac)).expect("a bridge");
        let wanted = Interface {
            mac,
            name: "eth0".into(),
            mtu: 1400,
            addresses: vec![
                xenpod_protocol::message::Address { ip: vec![10, 7, 0, 2], prefix: 24 },
                xenpod_protocol::message::Address { ip: [&[0xfd][..], &[0; 14], &[2]].concat(), prefix: 64 },
            ],
            routes: vec![
                Route { destination: vec![0; 4], prefix: 0, gateway: vec![10, 7, 0, 1], onlink: false },
                Route { destination: vec![192, 0, 2, 0], prefix: 24, gateway: vec![172, 16, 0, 1], onlink: true },
                Route {
                    destination: vec![0; 16],
                    prefix: 0,
                    gateway: [&[0xfd][..], &[0; 14], &[1]].concat(),
                    onlink: false,
                },
            ],
        };
        configure(std::slice::from_ref(&wanted)).unwrap();
        configure(std::slice::from_ref(&wanted)).expect("the same again is fine");
        let read = |name: &str| fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap();
        let (routes, routes6, v6) = (read("route"), read("ipv6_route"), read("if_inet6"));
        assert!(routes.lines().any(|l| l.starts_with("eth0\t00000000\t0100070A\t0003")), "{routes}");
        assert!(routes.lines().any(|l| l.starts_with("eth0\t000200C0\t010010AC\t0003")), "{routes}");
        assert!(routes.lines().any(|l| l.starts_with("eth0\t0000070A\t00000000\t0001")), "{routes}");
        let zero = "0".repeat(32);
        let default6 = format!("{zero} 00 {zero} 00 fd000000000000000000000000000001 ");
        assert!(routes6.lines().any(|l| l.starts_with(&default6) && l.ends_with(" eth0")), "{routes6}");
        // Permanent (80) and without duplicate address detection (02).
        let address6 = "fd000000000000000000000000000002 ";
        assert!(v6.lines().any(|l| l.starts_with(address6) && l.contains(" 40 00 82 ")), "{v6}");
        let links = Socket::open().unwrap().links().unwrap();
        assert!(links.iter().any(|link| link.name == "eth0") && !links.iter().any(|link| link.name == "x"));

        let unreachable = Interface {
            routes: vec![Route { destination: vec![0; 4], prefix: 0, gateway: vec![9, 9, 9, 9], onlink: false }],
            ..wanted.clone()
        };
        let Err(Halt::Failed(error)) = configure(&[unreachable]) else { panic!("no such gateway") };
        assert!(error.to_string().starts_with("cannot set route 0.0.0.0/0 of network interface eth0: "), "{error}");

        let absent = Interface { mac: vec![0, 0x16, 0x3e, 1, 2, 3], ..Interface::default() };
        let Err(Halt::Wait { name, .. }) = configure(&[absent]) else { panic!("no such interface") };
        assert_eq!(name, "00:16:3e:01:02:03");
    });
}
