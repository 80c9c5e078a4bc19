//! The lab: real Xen in QEMU, with the tests, benchmarks and the demo that run on it.

fn main() {}
