//! PID 1 of a pod's domain.

fn main() {}
