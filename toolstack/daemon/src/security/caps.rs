//! Capabilities as bit masks.

use xenpod_api::capability::{NAMES, number};
use xenpod_api::spec::SecuritySpec;

/// What containerd and Docker give a container that asks for nothing.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The bit of a capability, by its name with or without `CAP_`.
pub(super) fn bit(name: &str) -> Option<u64> {
    number(name).map(|number| 1 << number)
}

fn mask(names: &[String]) -> Result<u64, String> {
    names.iter().try_fold(0, |mask, name| {
        if name.eq_ignore_ascii_case("ALL") {
            return Ok(mask | ((1 << NAMES.len()) - 1));
        }
        bit(name).map(|b| mask | b).ok_or_else(|| format!("{name:?} is no capability of Linux 6.1"))
    })
}

/// The set of a container: the default one, with what is added and without what is dropped. What is added by name wins
/// over `drop: [ALL]`, as everywhere.
///
/// # Errors
/// Names what is no capability.
pub fn capabilities(security: &SecuritySpec) -> Result<u64, String> {
    if security.privileged {
        return Ok((1 << NAMES.len()) - 1);
    }
    let is_all = |name: &String| name.eq_ignore_ascii_case("ALL");
    let (add, drop) = (mask(&security.add_capabilities)?, mask(&security.drop_capabilities)?);
    let default = DEFAULT.iter().filter_map(|n| bit(n)).fold(0, |a, b| a | b);
    if security.drop_capabilities.iter().any(is_all) {
        return Ok(if security.add_capabilities.iter().any(is_all) { 0 } else { add });
    }
    Ok((default | add) & !drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps(add: &[&str], drop: &[&str]) -> Result<u64, String> {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        capabilities(&SecuritySpec {
            add_capabilities: own(add),
            drop_capabilities: own(drop),
            ..SecuritySpec::default()
        })
    }

    #[test]
    fn the_default_is_the_mask_that_docker_containers_have() {
        // CapBnd of `docker run alpine cat /proc/self/status`.
        assert_eq!(caps(&[], &[]), Ok(0x0000_0000_a804_25fb));
    }

    #[test]
    fn all_is_what_a_root_shell_has() {
        assert_eq!(caps(&["ALL"], &[]), Ok(0x0000_01ff_ffff_ffff));
    }

    #[test]
    fn names_are_added_and_dropped() {
        assert_eq!(caps(&["cap_net_admin"], &["CHOWN"]), Ok(0xa804_25fb | 1 << 12 & !1).map(|m: u64| m & !1));
        assert_eq!(caps(&["NET_BIND_SERVICE"], &["ALL"]), Ok(1 << 10));
        assert_eq!(caps(&[], &["all"]), Ok(0));
    }

    #[test]
    fn a_privileged_container_has_all_whatever_else_is_said() {
        let security =
            SecuritySpec { privileged: true, drop_capabilities: vec!["ALL".into()], ..SecuritySpec::default() };
        assert_eq!(capabilities(&security), Ok(0x0000_01ff_ffff_ffff));
    }

    #[test]
    fn an_unknown_name_is_named() {
        assert_eq!(caps(&["SYS_EVERYTHING"], &[]).unwrap_err(), "\"SYS_EVERYTHING\" is no capability of Linux 6.1");
    }
}
