use super::*;

#[test]
fn panics_of_xen_and_dom0_are_seen() {
    assert!(is_last_word("(XEN) Panic on CPU 0:"));
    assert!(is_last_word("(XEN) [2026-01-01 00:00:00] Panic on CPU 0:"));
    assert!(is_last_word("[   12.3] Kernel panic - not syncing: Attempted to kill init!"));
}

#[test]
fn panics_of_guests_are_theirs() {
    assert!(!is_last_word("(XEN) (d3) Kernel panic - not syncing: VFS"));
    assert!(!is_last_word("(d12) [    0.5] Kernel panic - not syncing: VFS"));
    assert!(!is_last_word("(XEN) d3 is crashing"));
}

#[test]
fn a_panic_is_found_once_though_its_line_came_in_two_parts() {
    let path = std::env::temp_dir().join(format!("xen-lab-serial-{}", std::process::id()));
    std::fs::write(&path, "booting\n(XEN) Panic on").unwrap();
    let mut serial = Serial::new(path.clone());
    assert_eq!(serial.panic(), None);
    std::fs::write(&path, "booting\n(XEN) Panic on CPU 0:\n").unwrap();
    assert_eq!(serial.panic().as_deref(), Some("(XEN) Panic on CPU 0:"));
    assert_eq!(serial.panic(), None);
    std::fs::remove_file(path).unwrap();
}
