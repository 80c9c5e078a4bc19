//! The pods' network: one bridge, an IPv4 and an IPv6 subnet, addresses leased to pods, every port pinned to its
//! pod's addresses before its link goes up, NAT to the outside, and name resolution.
//!
//! ```text
//! config    what an operator chooses -> Plan          lease    which pod has which address (pure)
//! network   the Network trait and its types           host     the real one: ensure, attach, detach, reconcile
//! link      bridge, ports, addresses (rtnetlink)      monitor  waits for interfaces to appear
//! nft       rules and pins (nf_tables netlink)        sysctl   forwarding
//! dns       what pods resolve with; the forwarder     fake     the network in memory (feature `fake`)
//! ```
//!
//! Nothing here starts a process, and nothing is touched that does not bear our mark: the bridge's alias, the ports'
//! aliases, the tables' comment.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test's unwrap is an assertion"))]

pub mod addr;
pub mod config;
pub mod dns;
pub mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod host;
pub mod lease;
mod link;
mod monitor;
pub mod network;
mod nft;
mod sysctl;

pub use addr::{IfName, MacAddr};
pub use config::{NetworkConfig, Plan};
pub use error::NetError;
pub use host::HostNetwork;
pub use lease::{Lease, LeaseError, LeasePool};
pub use network::{Change, GuestNet, Network, Pending, Port, Reconciled};
pub use nft::socket::NftError;
pub use nft::watch::TableWatch;
pub use sysctl::SysctlChange;
