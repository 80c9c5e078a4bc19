use super::*;

#[test]
fn restarts_come_at_once_then_ever_later_up_to_a_bound() {
    let base = Duration::from_secs(10);
    let delays: Vec<_> = (0..8).map(|n| restart_delay(base, n, Duration::from_secs(1)).as_secs()).collect();
    assert_eq!(delays, [0, 10, 20, 40, 80, 160, 300, 300]);
    assert_eq!(restart_delay(base, 7, LONG_RUN), Duration::ZERO);
}
