use super::*;

#[test]
fn a_guest_keeps_a_reserve() {
    assert_eq!(reserve_kib(24 * MIB), 4 * MIB);
    assert_eq!(reserve_kib(1024 * MIB), 32 * MIB);
    // 128 MiB of which 100 are free: 96 can go.
    assert_eq!(least_mib(128 * MIB, 100 * MIB), 32);
    // Nothing to spare: it stays what it is.
    assert_eq!(least_mib(128 * MIB, 3 * MIB), 128);
    assert_eq!(least_mib(128 * MIB, 0), 128);
}

#[test]
fn a_guest_shrinks_in_steps_and_stops_before_it_hurts() {
    assert_eq!(step_down(128 * MIB, 64, 100 * MIB), Some(112));
    assert_eq!(step_down(112 * MIB, 108, 100 * MIB), Some(108));
    assert_eq!(step_down(128 * MIB, 64, 10 * MIB), Some(122), "as far as it can");
    assert_eq!(step_down(128 * MIB, 64, 4 * MIB), None);
    assert_eq!(step_down(64 * MIB, 64, 50 * MIB), None, "there");
}

#[test]
fn a_guest_grows_no_faster_than_it_can_keep_account() {
    assert_eq!(step_up(64, 128, 40 * MIB), 128);
    // A small pod that is to be huge: 5 MiB of account for 320 MiB.
    assert_eq!(step_up(24, 4096, 20 * MIB), 24 + 320);
    assert_eq!(step_up(24, 4096, 0), 32, "a section at least");
    assert_eq!(step_up(24, 26, 0), 26);
}
