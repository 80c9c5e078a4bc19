use super::*;

const GATEWAYS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::new(10, 213, 0, 1)), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)];

fn pod_dns(config: &DnsConfig, host: &str) -> PodDns {
    PodDns::new(config, &DnsSettings::parse(host.as_bytes()), GATEWAYS)
}

#[test]
fn reachable_servers_are_passed_on() {
    let host = "# made by hand\nnameserver 192.0.2.53\nnameserver 2001:db8::53\ndomain old.example\n\
                search a.example b.example\noptions ndots:2 edns0 trust-ad timeout:5\n";
    let dns = pod_dns(&DnsConfig::default(), host);
    assert!(!dns.forwarded);
    assert_eq!(
        dns.resolv_conf(),
        "nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch a.example b.example\noptions ndots:2 edns0\n"
    );
}

#[test]
fn servers_out_of_a_pods_reach_go_through_the_forwarder() {
    for server in ["127.0.0.53", "::1", "fe80::1%eth0", "169.254.169.253", "0.0.0.0", "::ffff:127.0.0.1"] {
        let dns = pod_dns(&DnsConfig::default(), &format!("nameserver 192.0.2.53\nnameserver {server}\n"));
        assert!(dns.forwarded, "{server}");
        assert_eq!(dns.servers, GATEWAYS, "{server}");
    }
    let none = DnsSettings::parse(b"search x.example\n");
    assert_eq!(none.servers, ["127.0.0.1:53".parse().unwrap()], "libc asks this host");
    assert!(PodDns::new(&DnsConfig::default(), &none, GATEWAYS).forwarded);
}

#[test]
fn the_configuration_comes_first() {
    let own = DnsConfig {
        servers: vec!["198.51.100.53".parse().unwrap()],
        search: vec!["pods.example".into()],
        ..DnsConfig::default()
    };
    let dns = pod_dns(&own, "nameserver 127.0.0.53\nsearch host.example\n");
    assert_eq!(dns.resolv_conf(), "nameserver 198.51.100.53\nsearch pods.example\n");
    let never = DnsConfig { forwarder: ForwarderUse::Never, ..DnsConfig::default() };
    assert_eq!(
        pod_dns(&never, "nameserver 127.0.0.53\nnameserver 192.0.2.1\n").resolv_conf(),
        "nameserver 192.0.2.1\n"
    );
    let always = DnsConfig { forwarder: ForwarderUse::Always, ..DnsConfig::default() };
    assert_eq!(pod_dns(&always, "nameserver 192.0.2.1\n").servers, GATEWAYS);
}

#[test]
fn bad_lines_are_skipped_and_long_lists_cut() {
    let host = "nameserver not-an-address\nbogus\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n\
                nameserver 192.0.2.3\nnameserver 192.0.2.4\nsearch a b c d e f g\n";
    let settings = DnsSettings::parse(host.as_bytes());
    assert_eq!(settings.servers.len(), 3);
    assert_eq!(settings.servers[0], "192.0.2.1:53".parse().unwrap());
    assert_eq!(settings.search, ["a", "b", "c", "d", "e", "f"]);
}

#[test]
fn a_link_local_server_keeps_its_interface() {
    let settings = DnsSettings::parse(b"nameserver fe80::1%lo\n");
    assert_eq!(settings.servers[0].to_string(), "[fe80::1%1]:53", "lo is number 1");
}

#[test]
fn a_missing_file_is_a_server_on_this_host() {
    let settings = DnsSettings::from_host(Path::new("/nonexistent/resolv.conf")).unwrap();
    assert_eq!(settings.servers, ["127.0.0.1:53".parse().unwrap()]);
    let error = DnsSettings::from_host(Path::new("/")).unwrap_err().to_string();
    assert!(error.starts_with("/: "), "{error}");
}
