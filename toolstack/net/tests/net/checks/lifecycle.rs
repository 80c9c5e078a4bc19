//! Attach, detach, reconcile, teardown; and what belongs to others.

use std::time::Duration;

use uuid::Uuid;
use xenpod_net::{Change, HostNetwork, IfName, NetError, Network, Port, Reconciled};

use crate::frames::{Pair, ether, udp4};
use crate::world::{Net, Ns, Pod, ip, make_vif, nft, output, plan, ruleset, say};

fn link(name: &IfName) -> String {
    output("ip", &format!("-d -o link show {name}")).unwrap_or_default()
}

pub async fn attach_waits_for_the_interface() {
    let mut net = Net::new().await;
    let port = net.port();
    let guest = Ns::new();
    let (attached, ()) = tokio::join!(net.host.attach(&port), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        if let Some(rules) = ruleset() {
            assert!(rules.contains(&port.lease.v6.to_string()), "pinned before the interface is there: {rules}");
            let element = format!("{:?} comment \"{}\"", port.ifname, port.pod);
            assert!(rules.contains(&element), "{element} in {rules}");
        }
        make_vif(&port.ifname, &guest);
    });
    assert_eq!(attached.unwrap(), Change::Made);
    let shown = link(&port.ifname);
    for part in [
        "master xenpod0",
        &format!("alias xenpod:{}", port.pod),
        "addrgenmode none",
        "learning off",
        " flood off",
        "isolated off",
        "UP",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }

    let nowhere = net.port();
    let host = net.host.with_link_timeout(Duration::from_secs(1));
    let error = host.attach(&nowhere).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "pod {}: interface {} did not appear within 1 s; see the kernel log for xen-netback",
            nowhere.pod, nowhere.ifname
        )
    );
    if let Some(rules) = ruleset() {
        assert!(!rules.contains(nowhere.ifname.as_str()), "the failed attach took its pins out: {rules}");
    }
}

pub async fn attaches_run_side_by_side() {
    let mut net = Net::new().await;
    let guests: Vec<_> = (0..20).map(|_| (net.port(), Ns::new())).collect();
    // Making that many interfaces takes a slow machine a while.
    let host = net.host.with_link_timeout(Duration::from_secs(60));
    let attaches = futures_util::future::join_all(guests.iter().map(|(port, _)| host.attach(port)));
    let (attached, ()) = tokio::join!(attaches, async {
        for (port, guest) in guests.iter().rev() {
            make_vif(&port.ifname, guest);
            tokio::task::yield_now().await;
        }
    });
    for (attached, (port, _)) in attached.into_iter().zip(&guests) {
        assert_eq!(attached.unwrap(), Change::Made);
        assert!(link(&port.ifname).contains("master xenpod0"));
    }
    let ports: Vec<_> = guests.iter().map(|(port, _)| port.clone()).collect();
    assert_eq!(host.reconcile(&ports).await.unwrap(), Reconciled::default(), "all pins are in");
}

pub async fn a_dropped_attach_can_be_detached() {
    let mut net = Net::new().await;
    let before = ruleset();
    let port = net.port();
    let cut = tokio::time::timeout(Duration::from_millis(100), net.host.attach(&port)).await;
    assert!(cut.is_err(), "it was still waiting: {cut:?}");
    assert_eq!(net.host.detach(&port).await.unwrap(), Change::Made);
    assert_eq!(ruleset(), before);
    assert_eq!(net.host.detach(&port).await.unwrap(), Change::AlreadySo);
}

pub async fn attach_and_detach_are_idempotent() {
    let mut net = Net::new().await;
    let before = (output("ip", "-d -o addr").unwrap(), ruleset());
    let port = net.port();
    let guest = Ns::new();
    make_vif(&port.ifname, &guest);
    assert_eq!(net.host.attach(&port).await.unwrap(), Change::Made);
    let attached = (link(&port.ifname), ruleset());
    assert_eq!(net.host.attach(&port).await.unwrap(), Change::AlreadySo);
    assert_eq!((link(&port.ifname), ruleset()), attached, "the second attach changes nothing");

    assert_eq!(net.host.detach(&port).await.unwrap(), Change::Made);
    let shown = link(&port.ifname);
    assert!(!shown.contains("master") && !shown.contains("alias") && shown.contains("state DOWN"), "{shown}");
    assert_eq!(net.host.detach(&port).await.unwrap(), Change::AlreadySo);
    ip(&format!("link del {}", port.ifname));
    assert_eq!(net.host.detach(&port).await.unwrap(), Change::AlreadySo);
    assert_eq!((output("ip", "-d -o addr").unwrap(), ruleset()), before, "nothing is left");

    // The usual order at a pod's end: its domain, and so its interface, is gone first.
    make_vif(&port.ifname, &guest);
    net.host.attach(&port).await.unwrap();
    ip(&format!("link del {}", port.ifname));
    assert_eq!(net.host.detach(&port).await.unwrap(), Change::Made);
    assert_eq!(ruleset(), before.1, "nothing is left");
}

pub async fn a_recycled_name_gets_new_pins() {
    let mut net = Net::new().await;
    let b = net.pod().await;
    let old = net.pod().await;
    // The old pod's domain died, and its name went to a new pod, before the old one was detached.
    ip(&format!("link del {}", old.port.ifname));
    let mut port = net.port();
    port.ifname = old.port.ifname.clone();
    let a = Pod::new(port, net.host.plan());
    assert_eq!(net.host.attach(&a.port).await.unwrap(), Change::Made);
    let stale = old.port.lease;
    let mut pair = Pair::new(&a, &b);
    assert!(pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(e.a4, e.b4, 7, m))));
    assert!(!pair.arrives(|e, m| ether(e.mac_b, stale.mac, 0x0800, &udp4(stale.v4, e.b4, 7, m))), "the old one's");
    assert_eq!(net.host.detach(&old.port).await.unwrap(), Change::AlreadySo, "the name is not the old one's any more");
    assert!(pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(e.a4, e.b4, 7, m))), "still attached");

    let foreign = Port { pod: Uuid::new_v4(), ..a.port.clone() };
    let error = net.host.attach(&foreign).await.unwrap_err();
    assert!(
        matches!(&error, NetError::ForeignPort { alias, .. } if alias.contains(&a.port.pod.to_string())),
        "{error}"
    );
}

pub async fn reconcile_converges() {
    let mut net = Net::new().await;
    let (kept, dropped, down) = (net.pod().await, net.pod().await, net.pod().await);
    let missing = net.port();
    ip(&format!("link set {} down", down.port.ifname));
    // A port that somebody else put on our bridge is theirs.
    ip("link add other0 type veth peer name other1");
    ip("link set other0 master xenpod0");
    ip("addr add 203.0.113.9/24 dev xenpod0");

    let expected = [kept.port.clone(), down.port.clone(), missing.clone()];
    let done = net.host.reconcile(&expected).await.unwrap();
    assert_eq!(done.ports_detached, std::slice::from_ref(&dropped.port.ifname));
    assert_eq!(done.ports_attached, std::slice::from_ref(&down.port.ifname));
    assert_eq!(done.missing, [missing]);
    assert_eq!((done.pins_added, done.pins_removed), (5, 5), "the missing one's in, the dropped one's out");
    assert!(!done.bridge_made && !done.tables_made);
    assert!(!link(&dropped.port.ifname).contains("master"));
    assert!(link(&"other0".parse().unwrap()).contains("master xenpod0"));
    assert!(!output("ip", "addr show xenpod0").unwrap().contains("203.0.113.9"), "the bridge is ours");
    let (from, to) = (kept.ns.udp(kept.port.lease.v4, 1000), down.ns.udp(down.port.lease.v4, 2000));
    assert_eq!(say(&from, &to, "up again"), Some(kept.port.lease.v4.into()));
    let again = net.host.reconcile(&expected).await.unwrap();
    assert_eq!(
        again,
        Reconciled { missing: done.missing, ..Reconciled::default() },
        "a second one finds nothing to do"
    );
}

pub async fn a_restart_changes_nothing() {
    let mut net = Net::new().await;
    let (a, b) = (net.pod().await, net.pod().await);
    let ports = [a.port.clone(), b.port.clone()];
    let before = (output("ip", "-d -o addr").unwrap(), output("bridge", "fdb show").unwrap(), ruleset());
    drop(net);
    let host = HostNetwork::open(plan()).unwrap();
    assert!(matches!(host.attach(&a.port).await, Err(NetError::NotReady)));
    assert_eq!(host.reconcile(&ports).await.unwrap(), Reconciled::default());
    assert_eq!((output("ip", "-d -o addr").unwrap(), output("bridge", "fdb show").unwrap(), ruleset()), before);
    assert_eq!(host.attach(&a.port).await.unwrap(), Change::AlreadySo);

    // Another configuration: the tables are made anew, with the pods' pins in them.
    drop(host);
    let host = HostNetwork::open(xenpod_net::Plan { masquerade: false, ..plan() }).unwrap();
    let done = host.reconcile(&ports).await.unwrap();
    assert!(done.tables_made && done.pins_added == 10, "{done:?}");
    if let Some(rules) = ruleset() {
        assert!(!rules.contains("masquerade") && rules.contains(&a.port.lease.v4.to_string()), "{rules}");
    }
    let mut pair = Pair::new(&a, &b);
    assert!(!pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4([192, 0, 2, 1].into(), e.b4, 7, m))));
}

pub async fn a_flushed_ruleset_is_repaired() {
    let mut net = Net::new().await;
    let (a, b) = (net.pod().await, net.pod().await);
    if !nft("flush ruleset") {
        return;
    }
    let c = net.pod().await;
    for (from, to) in [(&a, &b), (&c, &b)] {
        let mut pair = Pair::new(from, to);
        assert!(pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(e.a4, e.b4, 7, m))));
        assert!(!pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4([192, 0, 2, 1].into(), e.b4, 7, m))));
    }
    let mut watch = net.host.watch_tables().await.unwrap();
    net.host.reconcile(&[a.port.clone(), b.port.clone(), c.port.clone()]).await.unwrap();
    nft("table inet other { }; delete table inet other");
    let told = tokio::time::timeout(Duration::from_millis(200), watch.lost()).await;
    assert!(told.is_err(), "changes of ours and of other tables are not told");
    nft("flush ruleset");
    let told = tokio::time::timeout(Duration::from_secs(5), watch.lost()).await;
    assert!(matches!(told, Ok(Ok(()))), "{told:?}");
    assert_eq!(net.host.restore().await.unwrap(), Change::Made);
    assert_eq!(net.host.restore().await.unwrap(), Change::AlreadySo);
    let mut pair = Pair::new(&c, &b);
    assert!(pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4(e.a4, e.b4, 7, m))));
    assert!(!pair.arrives(|e, m| ether(e.mac_b, e.mac_a, 0x0800, &udp4([192, 0, 2, 1].into(), e.b4, 7, m))));
    nft("flush ruleset");
    assert_eq!(net.host.detach(&c.port).await.unwrap(), Change::Made);
    let rules = ruleset().unwrap();
    assert!(rules.contains(a.port.ifname.as_str()) && !rules.contains(c.port.ifname.as_str()), "{rules}");
}

pub async fn a_deleted_bridge_is_told_and_made_again() {
    let mut net = Net::new().await;
    let a = net.pod().await;
    ip("link del xenpod0");
    let b = Pod::new(net.port(), net.host.plan());
    assert!(matches!(net.host.attach(&b.port).await, Err(NetError::NotReady)));
    assert!(matches!(net.host.attach(&b.port).await, Err(NetError::NotReady)));
    let done = net.host.reconcile(std::slice::from_ref(&a.port)).await.unwrap();
    assert!(done.bridge_made && done.ports_attached == [a.port.ifname.clone()], "{done:?}");
    assert_eq!(net.host.attach(&b.port).await.unwrap(), Change::Made);
    let (from, to) = (a.ns.udp(a.port.lease.v4, 1000), b.ns.udp(b.port.lease.v4, 2000));
    assert_eq!(say(&from, &to, "again"), Some(a.port.lease.v4.into()));
}

pub async fn teardown_leaves_nothing() {
    let before = (output("ip", "-o link").unwrap(), ruleset());
    let mut net = Net::new().await;
    let pod = net.pod().await;
    let error = net.host.teardown().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("bridge xenpod0 still has the ports {}; remove their pods first", pod.port.ifname)
    );
    net.host.detach(&pod.port).await.unwrap();
    ip(&format!("link del {}", pod.port.ifname));
    assert_eq!(net.host.teardown().await.unwrap(), Change::Made);
    assert_eq!(net.host.teardown().await.unwrap(), Change::AlreadySo);
    assert_eq!((output("ip", "-o link").unwrap(), ruleset()), before);
}

pub async fn others_are_left_alone() {
    ip("link add br9 type bridge");
    ip("addr add 192.0.2.1/24 dev br9");
    ip("link add tap9 type veth peer name tap8");
    for name in ["br9", "tap9"] {
        // No address that the kernel is still making while it is looked at.
        ip(&format!("link set {name} addrgenmode none"));
    }
    ip("link set tap8 up");
    ip("link set tap9 master br9 up");
    nft("table inet filter { chain forward { type filter hook forward priority 0; policy accept; counter; }; }
         table bridge other { set s { type ifname; elements = { \"vif9.0\" }; }; }
         table ip xenpod { chain c { }; }");
    let theirs = || {
        let links = ["br9", "tap9"].map(|name| output("ip", &format!("-d -o addr show {name}")).unwrap());
        let rules =
            ["inet filter", "bridge other", "ip xenpod"].map(|t| output("nft", &format!("list table {t}")).ok());
        (links, rules)
    };
    let before = theirs();
    let mut net = Net::new().await;
    let pod = net.pod().await;
    net.host.reconcile(&[]).await.unwrap();
    net.host.detach(&pod.port).await.unwrap();
    let taken = Pod::new(net.port(), net.host.plan());
    ip(&format!("link set {} master br9", taken.port.ifname));
    let error = net.host.attach(&taken.port).await.unwrap_err();
    assert!(matches!(&error, NetError::ForeignPort { alias, .. } if alias == "port of br9"), "{error}");
    assert!(link(&taken.port.ifname).contains("master br9"));
    net.host.teardown().await.unwrap();
    assert_eq!(theirs(), before);
}

pub async fn names_taken_by_others_are_refused() {
    let reconcile = |plan| async { HostNetwork::open(plan).unwrap().reconcile(&[]).await.map_err(|e| e.to_string()) };
    ip("link add xenpod0 type bridge");
    assert_eq!(
        reconcile(plan()).await.unwrap_err(),
        "interface xenpod0 exists and was not made by xenpod (it is bridge); remove it or configure another bridge name"
    );
    ip("link del xenpod0");
    ip("link add lan0 type veth peer name lan1");
    ip("addr add 10.213.7.1/24 dev lan0");
    assert_eq!(
        reconcile(plan()).await.unwrap_err(),
        "subnet 10.213.0.0/16 overlaps 10.213.7.1/24 of interface lan0; configure another subnet"
    );
    ip("link del lan0");
    if nft("table bridge xenpod { }") {
        assert_eq!(
            reconcile(plan()).await.unwrap_err(),
            "nftables table bridge xenpod exists and was not made by xenpod; delete or rename it"
        );
        nft("delete table bridge xenpod");
    }
    // Made, but not yet marked, when a crash came: known by its MAC.
    ip("link del xenpod0");
    ip(&format!("link add xenpod0 address {} type bridge", plan().bridge_mac));
    let done = reconcile(plan()).await.unwrap();
    assert!(!done.bridge_made && done.tables_made, "{done:?}");
}
