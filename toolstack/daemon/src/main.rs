//! The xenpod daemon: pods as PVH domains, published on D-Bus.

fn main() {}
