//! The seam between the engine and a network: "attach this vif" and "these addresses".

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::addr::{IfName, MacAddr};
use crate::config::Plan;
use crate::error::NetError;
use crate::lease::Lease;
use crate::sysctl::SysctlChange;

/// A boxed future, so that a network can be a trait object.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, NetError>> + Send + 'a>>;

/// Whether an idempotent act did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not so, and now is.
    Made,
    /// It was so already; nothing was done.
    AlreadySo,
}

/// A pod's place on the network. Everything an attach or detach needs is in it, so either can be repeated from a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Whose it is.
    pub pod: Uuid,
    /// The backend interface in dom0, `vif<domid>.<handle>`.
    pub ifname: IfName,
    /// What the pod may send as.
    pub lease: Lease,
}

/// What the guest is told to configure on its interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestNet {
    /// The interface is found by its MAC.
    pub mac: MacAddr,
    /// Bytes.
    pub mtu: u32,
    /// Address.
    pub v4: Ipv4Addr,
    /// Prefix length of `v4`.
    pub v4_prefix: u8,
    /// Default gateway.
    pub gateway4: Ipv4Addr,
    /// Address.
    pub v6: Ipv6Addr,
    /// Prefix length of `v6`.
    pub v6_prefix: u8,
    /// Default gateway.
    pub gateway6: Ipv6Addr,
}

impl GuestNet {
    /// What the holder of `lease` configures on the network of `plan`.
    #[must_use]
    pub fn new(plan: &Plan, lease: &Lease) -> Self {
        Self {
            mac: lease.mac,
            mtu: plan.mtu,
            v4: lease.v4,
            v4_prefix: plan.v4.prefix_len(),
            gateway4: plan.gateway4,
            v6: lease.v6,
            v6_prefix: plan.v6.prefix_len(),
            gateway6: plan.gateway6,
        }
    }

    /// Both gateways, where the forwarder listens.
    #[must_use]
    pub fn gateways(&self) -> [IpAddr; 2] {
        [self.gateway4.into(), self.gateway6.into()]
    }
}

/// What a reconcile found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// The bridge had to be made.
    pub bridge_made: bool,
    /// The tables had to be made, or made anew for another configuration or release.
    pub tables_made: bool,
    /// Elements put into our sets.
    pub pins_added: usize,
    /// Stale elements taken out of our sets.
    pub pins_removed: usize,
    /// Expected ports that had to be put on the bridge or set up.
    pub ports_attached: Vec<IfName>,
    /// Ports bearing our mark that belong to no expected pod, taken off the bridge.
    pub ports_detached: Vec<IfName>,
    /// Expected ports whose interface is not there.
    pub missing: Vec<Port>,
    /// Kernel settings that were changed. They stay when the network is torn down: others may count on them by then.
    pub sysctls: Vec<SysctlChange>,
}

/// A network that pods can be on.
pub trait Network: Send + Sync {
    /// Make the network what it should be with exactly the pods' ports `expected` on it: bridge, addresses, tables, pins,
    /// ports. What does not bear our mark is left alone. Ports of attaches under way must be among the expected.
    fn reconcile<'a>(&'a self, expected: &'a [Port]) -> Pending<'a, Reconciled>;

    /// Pin the port, wait for its interface, put it on the bridge and set it up, in this order. On failure the pins are
    /// taken out again.
    fn attach<'a>(&'a self, port: &'a Port) -> Pending<'a, Change>;

    /// Take the port off the bridge, if its interface still exists, and its pins out.
    fn detach<'a>(&'a self, port: &'a Port) -> Pending<'a, Change>;

    /// Remove the bridge and the tables; refused while there is a port on the bridge.
    fn teardown(&self) -> Pending<'_, Change>;

    /// What the guest with this lease configures.
    fn guest(&self, lease: &Lease) -> GuestNet;
}
