//! The world of `engine::world` on a real host.
//!
//! `domains`: libxc and xenstore. `disks`: loop devices. `net`: the bridge. `images`: the store.
//! `marks`: what udev is to leave alone. `meter`: what pods use.

mod checks;
mod disks;
mod domains;
mod images;
mod marks;
mod meter;
mod net;
mod sizes;

pub use checks::{Check, checks, host_state};
pub use disks::HostDisks;
pub use domains::HostDomains;
pub use images::HostImages;
pub use meter::HostMeter;
pub use net::HostNet;
