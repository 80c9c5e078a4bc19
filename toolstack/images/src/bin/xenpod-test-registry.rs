//! A registry for tests.
fn main() {}
