//! The checks, by name.

mod filter;
mod lifecycle;
mod reach;

use crate::world;

type Check = fn();

macro_rules! checks {
    ($($module:ident: $($name:ident),*;)*) => {
        /// Every check, in the order they run.
        pub const ALL: &[(&str, Check)] = &[$($((stringify!($name), || world::dom0($module::$name))),*),*];
    };
}

checks! {
    lifecycle: attach_waits_for_the_interface, attaches_run_side_by_side, a_dropped_attach_can_be_detached, attach_and_detach_are_idempotent, a_recycled_name_gets_new_pins;
    reach: pods_reach_each_other_and_dom0, pods_reach_out_through_nat, outside_cannot_reach_in,
        pods_resolve_through_the_forwarder;
    filter: spoofed_macs_are_dropped, spoofed_ipv4_is_dropped, spoofed_arp_is_dropped, spoofed_ipv6_is_dropped,
        pods_are_no_routers_and_no_dhcp_servers, other_frames_are_dropped;
    lifecycle: reconcile_converges, a_restart_changes_nothing, a_flushed_ruleset_is_repaired, a_deleted_bridge_is_told_and_made_again, teardown_leaves_nothing,
        others_are_left_alone, names_taken_by_others_are_refused;
}

/// Run one check; the error is its panic.
pub fn run(name: &str) -> Result<(), String> {
    let (_, check) = ALL.iter().find(|(n, _)| *n == name).ok_or_else(|| format!("no check {name}"))?;
    std::panic::catch_unwind(check).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_else(|| "panicked".into())
    })
}
