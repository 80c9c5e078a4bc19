//! The xenpod command line.

fn main() {}
