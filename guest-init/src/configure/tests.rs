use super::*;

#[test]
fn resolv_conf_has_what_was_given() {
    let wanted = ResolvConf {
        servers: vec!["10.0.0.1".into(), "fd00::1".into()],
        searches: vec!["a.example".into(), "example".into()],
        options: vec!["ndots:5".into()],
    };
    assert_eq!(
        resolv_conf(&wanted),
        "search a.example example\nnameserver 10.0.0.1\nnameserver fd00::1\noptions ndots:5\n"
    );
    assert_eq!(resolv_conf(&ResolvConf::default()), "");
}

#[test]
fn sysctls_stay_below_proc_sys() {
    let path = |name: &str| sysctl_path(name).map(|p| p.display().to_string());
    assert_eq!(path("net.core.somaxconn").unwrap(), "/proc/sys/net/core/somaxconn");
    assert_eq!(path("net/ipv4/conf/eth0.1/x").unwrap(), "/proc/sys/net/ipv4/conf/eth0.1/x");
    for name in ["", "net..x", "a/../../../etc/passwd", "/etc/passwd"] {
        assert!(path(name).is_err(), "{name:?}");
    }
}

#[test]
fn a_short_seed_is_refused() {
    let error = entropy(&[1; 31]).unwrap_err();
    assert_eq!(error.to_string(), "seed \"31 bytes\": at least 32 bytes are needed");
}
