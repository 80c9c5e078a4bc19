//! What must get through, and what must not get in.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use xenpod_net::Network;
use xenpod_net::config::{DnsConfig, Inbound};
use xenpod_net::dns::{DnsSettings, Forwarder, PodDns};

use crate::world::{Net, Ns, outside, plan, say, say_to};

pub async fn pods_reach_each_other_and_dom0() {
    let mut net = Net::new().await;
    let (a, b) = (net.pod().await, net.pod().await);
    let plan = net.host.plan();
    let ends: [[IpAddr; 3]; 2] = [
        [a.port.lease.v4.into(), b.port.lease.v4.into(), plan.gateway4.into()],
        [a.port.lease.v6.into(), b.port.lease.v6.into(), plan.gateway6.into()],
    ];
    for [in_a, in_b, in_dom0] in ends {
        let (from, to) = (a.ns.udp(in_a, 1000), b.ns.udp(in_b, 2000));
        assert_eq!(say(&from, &to, "to a pod"), Some(in_a), "{in_a} to {in_b}, with its own address");
        let here = std::net::UdpSocket::bind(SocketAddr::new(in_dom0, 3000)).unwrap();
        here.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(say(&from, &here, "to dom0"), Some(in_a));
        assert_eq!(say(&here, &from, "from dom0"), Some(in_dom0));
    }
}

pub async fn pods_reach_out_through_nat() {
    let far = outside();
    let mut net = Net::new().await;
    let pod = net.pod().await;
    let (in4, out4): (IpAddr, IpAddr) = (pod.port.lease.v4.into(), "198.51.100.2".parse().unwrap());
    let (in6, out6): (IpAddr, IpAddr) = (pod.port.lease.v6.into(), "2001:db8:77::2".parse().unwrap());
    for (inside, beyond, uplink) in [(in4, out4, "198.51.100.1"), (in6, out6, "2001:db8:77::1")] {
        let (from, to) = (pod.ns.udp(inside, 1000), far.udp(beyond, 53));
        let mut buf = [0; 64];
        from.send_to(b"query", SocketAddr::new(beyond, 53)).unwrap();
        let (len, source) = to.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..len], source.ip()), (&b"query"[..], uplink.parse().unwrap()), "as dom0's address");
        to.send_to(b"answer", source).unwrap();
        let (len, source) = from.recv_from(&mut buf).unwrap();
        assert_eq!((&buf[..len], source), (&b"answer"[..], SocketAddr::new(beyond, 53)), "the answer comes back");
    }
}

pub async fn pods_resolve_through_the_forwarder() {
    let mut net = Net::new().await;
    let pod = net.pod().await;
    let plan = net.host.plan().clone();
    let host = DnsSettings::parse(b"nameserver 127.0.0.53\nsearch host.example\n");
    let config = DnsConfig { servers: vec!["127.0.0.53".parse().unwrap()], ..DnsConfig::default() };
    let dns = PodDns::new(&config, &host, net.host.guest(&pod.port.lease).gateways());
    assert!(dns.forwarded);
    let _forwarder = Forwarder::of_network(&plan, &config, Path::new("/nonexistent")).await.unwrap().unwrap();
    let server = tokio::net::UdpSocket::bind("127.0.0.53:53").await.unwrap();
    for gateway in dns.servers {
        let own: IpAddr = if gateway.is_ipv4() { pod.port.lease.v4.into() } else { pod.port.lease.v6.into() };
        let resolver = pod.ns.udp(own, 0);
        resolver.send_to(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03pod\0\0\x01\0\x01", (gateway, 53)).unwrap();
        let mut buf = [0; 64];
        let wait = Duration::from_secs(3);
        let (len, from) = tokio::time::timeout(wait, server.recv_from(&mut buf)).await.unwrap().unwrap();
        buf[2] |= 0x80;
        server.send_to(&buf[..len], from).await.unwrap();
        let answer = tokio::task::spawn_blocking(move || {
            let mut buf = [0; 64];
            resolver.recv_from(&mut buf).map(|(len, from)| (buf[..len].to_vec(), from.ip()))
        });
        assert_eq!(answer.await.unwrap().unwrap(), (buf[..len].to_vec(), gateway));
    }
}

pub async fn outside_cannot_reach_in() {
    for (inbound, expected) in [(Inbound::Deny, false), (Inbound::Allow, true)] {
        crate::world::dom0(move || reach_in(inbound, expected));
    }
}

async fn reach_in(inbound: Inbound, expected: bool) {
    let far: Ns = outside();
    let mut net = Net::with(xenpod_net::Plan { inbound, masquerade: false, ..plan() }).await;
    let pod = net.pod().await;
    far.ip(&format!("route add {} via 198.51.100.1", net.host.plan().v4));
    far.ip(&format!("-6 route add {} via 2001:db8:77::1", net.host.plan().v6));
    let lease = pod.port.lease;
    let pairs: [(IpAddr, IpAddr); 2] =
        [("198.51.100.2".parse().unwrap(), lease.v4.into()), ("2001:db8:77::2".parse().unwrap(), lease.v6.into())];
    for (beyond, inside) in pairs {
        let (from, to) = (far.udp(beyond, 1000), pod.ns.udp(inside, 2000));
        // What is let in may first have to wait for the uplink's duplicate address detection.
        let patience = if expected { 3000 } else { 700 };
        to.set_read_timeout(Some(Duration::from_millis(patience))).unwrap();
        let arrived = say_to(&from, &to, SocketAddr::new(inside, 2000), "knock");
        assert_eq!(arrived.is_some(), expected, "{inbound:?}: {beyond} to {inside}");
        // Not masqueraded here, so what the pod sends out goes as itself, and the answer is let in either way.
        to.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(say(&to, &from, "out"), Some(inside));
        assert_eq!(say(&from, &to, "answer"), Some(beyond));
    }
}
