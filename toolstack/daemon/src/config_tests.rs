use std::path::Path;

use super::*;

const SHIPPED: &str = include_str!("../../../systemd/etc/xenpod/xenpodd.yaml");

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("/etc/xenpod/xenpodd.yaml"))
}

#[test]
fn the_shipped_file_changes_nothing() {
    let shipped = serde_yaml::to_value(parse(SHIPPED).unwrap()).unwrap();
    assert_eq!(shipped, serde_yaml::to_value(Config::default()).unwrap());
}

#[test]
fn the_shipped_file_lists_every_key_with_its_default() {
    // A setting is commented out by a bare `#`; prose has a blank after it, and three make an example.
    let setting = |l: &&str| {
        let key = l.trim_start();
        let indent = l.len() - key.len();
        indent != 1 && indent != 3 && key.starts_with(|c: char| c.is_ascii_lowercase())
    };
    let settings: String =
        SHIPPED.lines().filter_map(|l| l.strip_prefix('#')).filter(setting).map(|l| format!("{l}\n")).collect();
    let listed: serde_yaml::Value = serde_yaml::from_str(&settings).unwrap();
    assert_eq!(listed, serde_yaml::to_value(Config::default()).unwrap(), "{settings}");
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let e = parse("state_dir: /srv/x\nkernle: /boot/vmlinux\n").unwrap_err().to_string();
    assert!(e.contains("kernle") && e.contains("line 2") && e.contains("/etc/xenpod/xenpodd.yaml"), "{e}");
}

#[test]
fn values_out_of_bounds_are_named() {
    let e = parse("kernel: vmlinux\n").unwrap_err().to_string();
    assert_eq!(e, "configuration /etc/xenpod/xenpodd.yaml: kernel: must be an absolute path");
    let e = parse("boot_timeout_seconds: 0\n").unwrap_err().to_string();
    assert!(e.ends_with("boot_timeout_seconds: must be at least 1"), "{e}");
}

#[test]
fn a_named_file_that_is_missing_is_an_error_and_the_default_one_is_not() {
    assert!(matches!(Config::load(Some(Path::new("/nonexistent/x.yaml"))), Err(ConfigError::Read { .. })));
}
