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
        let mut socket = Socket::open().unwrap();
        let links = socket.links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").expect("a loopback");
        // The loopback stands in for a vif: its hardware address is all zero.
        let wanted = Interface {
            mac: vec![0; 6],
            name: String::new(),
            mtu: 1400,
            addresses: vec![
                xenpod_protocol::message::Address { ip: vec![10, 7, 0, 2], prefix: 24 },
                xenpod_protocol::message::Address { ip: [&[0xfd][..], &[0; 14], &[2]].concat(), prefix: 64 },
            ],
            routes: vec![
                Route { destination: vec![0; 4], prefix: 0, gateway: vec![10, 7, 0, 1], onlink: true },
                Route { destination: vec![192, 0, 2, 0], prefix: 24, gateway: vec![], onlink: false },
            ],
        };
        assert_eq!(lo.mac, wanted.mac);
        configure(std::slice::from_ref(&wanted)).unwrap();
        configure(&[wanted.clone()]).expect("the same again is fine");
        let routes = fs::read_to_string("/proc/thread-self/net/route").unwrap();
        assert!(routes.lines().any(|l| l.starts_with("lo\t00000000\t0100070A\t0003")), "{routes}");
        assert!(routes.lines().any(|l| l.starts_with("lo\t000200C0\t00000000\t0001")), "{routes}");
        let v6 = fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
        assert!(v6.lines().any(|l| l.starts_with("fd000000000000000000000000000002 01 40 00 82")), "{v6}");

        let unreachable = Interface {
            routes: vec![Route { destination: vec![0; 4], prefix: 0, gateway: vec![9, 9, 9, 9], onlink: false }],
            ..wanted.clone()
        };
        let Err(Halt::Failed(error)) = configure(&[unreachable]) else { panic!("no such gateway") };
        assert!(error.to_string().starts_with("cannot set route 0.0.0.0/0 of network interface lo: "), "{error}");

        let absent = Interface { mac: vec![0, 0x16, 0x3e, 1, 2, 3], ..Interface::default() };
        let Err(Halt::Wait { name, .. }) = configure(&[absent]) else { panic!("no such interface") };
        assert_eq!(name, "00:16:3e:01:02:03");
    });
}
