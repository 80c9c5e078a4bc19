use super::*;

#[test]
fn defaults_give_a_whole_plan() {
    let plan = NetworkConfig::default().plan("0123456789abcdef0123456789abcdef\n").unwrap();
    assert_eq!(plan.bridge.as_str(), "xenpod0");
    assert_eq!(plan.gateway4, Ipv4Addr::new(10, 213, 0, 1));
    assert_eq!(plan.bridge_mac.to_string(), "02:16:0a:d5:00:01");
    assert_eq!(plan.v6.prefix_len(), 64);
    assert_eq!(plan.v6.network().octets()[0], 0xfd);
    assert_eq!(plan.gateway6, Ipv6Addr::from(u128::from(plan.v6.network()) | 1));
}

#[test]
fn the_derived_subnet_is_stable_and_the_machines_own() {
    let of = |id: &str| NetworkConfig::default().plan(id).unwrap().v6;
    assert_eq!(of("a"), of("a\n"));
    assert_ne!(of("a"), of("b"));
}

#[test]
fn bad_values_are_refused_by_key() {
    let with = |json: &str| serde_json::from_str::<NetworkConfig>(json).unwrap().plan("x");
    for (json, text) in [
        (r#"{"ipv4_subnet":"10.1.2.3/16"}"#, "ipv4_subnet = 10.1.2.3/16: it has host bits set, write 10.1.0.0/16"),
        (r#"{"ipv4_subnet":"10.1.0.0/30"}"#, "ipv4_subnet = 10.1.0.0/30: its prefix must be /12 to /29"),
        (
            r#"{"ipv4_subnet":"127.1.0.0/16"}"#,
            "ipv4_subnet = 127.1.0.0/16: it is not a unicast subnet that pods can have",
        ),
        (r#"{"ipv6_subnet":"fd00::/48"}"#, "ipv6_subnet = fd00::/48: its prefix must be /64"),
        (r#"{"ipv6_subnet":"fe80::/64"}"#, "ipv6_subnet = fe80::/64: it is not a unicast subnet that pods can have"),
        (r#"{"mtu":576}"#, "mtu = 576: it must be 1280 to 1500"),
        (r#"{"mtu":9000}"#, "mtu = 9000: it must be 1280 to 1500"),
    ] {
        assert_eq!(with(json).unwrap_err().to_string(), format!("network configuration: {text}"), "{json}");
    }
}

#[test]
fn unknown_keys_and_bad_names_are_refused() {
    let parse = |json: &str| serde_json::from_str::<NetworkConfig>(json).unwrap_err().to_string();
    assert!(parse(r#"{"brige":"x"}"#).contains("unknown field `brige`"));
    assert!(parse(r#"{"dns":{"server":[]}}"#).contains("unknown field `server`"));
    assert!(parse(r#"{"bridge":"a/b"}"#).contains("is not an interface name"));
}
