use super::*;

fn popped(queue: &Queue) -> Option<WatchEvent> {
    match queue.pop() {
        Popped::Event(event) => Some(event),
        Popped::Empty | Popped::Closed => None,
    }
}

#[test]
fn a_path_that_changes_twice_is_told_once() {
    let queue = Queue::default();
    for path in ["/a", "/b", "/a", "/a"] {
        queue.changed(path);
    }
    assert_eq!(popped(&queue), Some(WatchEvent::Changed("/a".to_owned())));
    // Told, and changed again since: told again.
    queue.changed("/a");
    assert_eq!(popped(&queue), Some(WatchEvent::Changed("/b".to_owned())));
    assert_eq!(popped(&queue), Some(WatchEvent::Changed("/a".to_owned())));
    assert_eq!(popped(&queue), None);
}

#[test]
fn a_full_queue_becomes_one_resync() {
    let queue = Queue::default();
    for number in 0..=QUEUE_MAX {
        queue.changed(&format!("/{number}"));
    }
    queue.changed("/after");
    assert_eq!(popped(&queue), Some(WatchEvent::Resync));
    assert_eq!(popped(&queue), None);
    queue.changed("/later");
    assert_eq!(popped(&queue), Some(WatchEvent::Changed("/later".to_owned())));
}

#[test]
fn the_last_events_come_before_the_end() {
    let queue = Queue::default();
    queue.changed("/a");
    queue.close();
    assert_eq!(popped(&queue), Some(WatchEvent::Changed("/a".to_owned())));
    assert!(matches!(queue.pop(), Popped::Closed));
}
