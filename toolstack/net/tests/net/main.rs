//! Real packets through the real network code, in network namespaces of the tests' own. Needs root; without it each
//! check says that it was skipped.
//!
//! `examples/net-check.rs` runs the same checks where no test harness is: in a dom0.

#![allow(clippy::unwrap_used, reason = "a check's unwrap is an assertion")]

mod checks;
mod frames;
mod world;

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                if world::can_run() {
                    checks::run(stringify!($name)).unwrap();
                }
            }
        )*

        #[test]
        fn every_check_is_a_test() {
            let tests = [$(stringify!($name)),*];
            let checks: Vec<_> = checks::ALL.iter().map(|(name, _)| *name).collect();
            assert_eq!(tests.as_slice(), checks);
        }
    };
}

tests![
    attach_waits_for_the_interface,
    attaches_run_side_by_side,
    a_dropped_attach_can_be_detached,
    attach_and_detach_are_idempotent,
    a_recycled_name_gets_new_pins,
    pods_reach_each_other_and_dom0,
    pods_reach_out_through_nat,
    outside_cannot_reach_in,
    pods_resolve_through_the_forwarder,
    spoofed_macs_are_dropped,
    spoofed_ipv4_is_dropped,
    spoofed_arp_is_dropped,
    spoofed_ipv6_is_dropped,
    pods_are_no_routers_and_no_dhcp_servers,
    other_frames_are_dropped,
    reconcile_converges,
    a_restart_changes_nothing,
    a_flushed_ruleset_is_repaired,
    a_deleted_bridge_is_told_and_made_again,
    teardown_leaves_nothing,
    others_are_left_alone,
    names_taken_by_others_are_refused,
];
