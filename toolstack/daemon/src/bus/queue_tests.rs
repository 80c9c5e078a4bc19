use std::sync::Arc;

use futures_util::FutureExt;
use xenpod_api::state::PodState;

use super::*;
use crate::testing::record;

fn picture(base: &crate::journal::Record, state: PodState, message: &str) -> Arc<PodStatus> {
    let mut record = base.clone();
    record.state = state;
    record.message = message.into();
    Arc::new(PodStatus { record, domid: None, phases: Vec::new(), removed: false })
}

fn all(queue: &Queue) -> Vec<Change> {
    std::iter::from_fn(|| queue.next().now_or_never()).collect()
}

#[test]
fn every_state_stays_and_what_is_no_state_is_one() {
    let (queue, pod) = (Queue::default(), record("web"));
    let states = [PodState::Starting, PodState::Running, PodState::Stopping, PodState::Running];
    for state in states {
        queue.push(Change::Pod(picture(&pod, state, "first")));
        queue.push(Change::Pod(picture(&pod, state, "second")));
    }
    let wanted: Vec<Change> = states.into_iter().map(|s| Change::Pod(picture(&pod, s, "second"))).collect();
    assert_eq!(all(&queue), wanted);
    assert!(queue.next().now_or_never().is_none());
}

#[test]
fn a_slow_bus_keeps_a_bounded_number_and_the_newest() {
    let (queue, a, b) = (Queue::default(), record("a"), record("b"));
    queue.push(Change::PodNew(picture(&b, PodState::Creating, "")));
    queue.push(Change::Pod(picture(&b, PodState::Created, "")));
    let turn = |n: usize| if n.is_multiple_of(2) { PodState::Running } else { PodState::Paused };
    for n in 0..3 * PICTURES {
        queue.push(Change::Pod(picture(&a, turn(n), &n.to_string())));
    }
    queue.push(Change::Pod(picture(&b, PodState::Failed, "")));
    queue.push(Change::PodGone(a.id));
    let told = all(&queue);
    assert_eq!(told.len(), 1 + PICTURES + 1);
    assert_eq!(told[1], Change::Pod(picture(&b, PodState::Failed, "")));
    let last = 3 * PICTURES - 1;
    assert_eq!(told[PICTURES], Change::Pod(picture(&a, turn(last), &last.to_string())));
    assert_eq!(told[PICTURES + 1], Change::PodGone(a.id));
    // There is room again.
    queue.push(Change::Pod(picture(&a, PodState::Running, "")));
    queue.push(Change::Pod(picture(&a, PodState::Failed, "")));
    assert_eq!(all(&queue).len(), 2);
}
