//! The network in memory, for tests of whoever uses one.
//!
//! It does what the real network does, step by step, on a world that outlives it: a test can make any step fail, look at
//! what is left, and open a second fake on the same world as a restarted daemon would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uuid::Uuid;

use crate::addr::IfName;
use crate::config::Plan;
use crate::error::NetError;
use crate::lease::Lease;
use crate::network::{Change, GuestNet, Network, Pending, Port, Reconciled};

/// The acts of a network, in the order in which each operation takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Reconcile: the bridge and its addresses.
    Bridge,
    /// Reconcile: tables, stale ports, pins.
    Tables,
    /// Attach: the port's pins go in.
    Pin,
    /// Attach: the wait for the interface.
    Wait,
    /// Attach: the interface onto the bridge.
    Enslave,
    /// Attach: the interface up.
    Up,
    /// Detach: the interface off the bridge.
    Release,
    /// Detach: the port's pins out.
    Unpin,
    /// Teardown: bridge and tables go.
    Teardown,
}

impl Step {
    /// Every step, for tests that fail each in turn.
    pub const ALL: [Self; 9] = [
        Self::Bridge,
        Self::Tables,
        Self::Pin,
        Self::Wait,
        Self::Enslave,
        Self::Up,
        Self::Release,
        Self::Unpin,
        Self::Teardown,
    ];
}

/// What is on the fake host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct World {
    /// Whether bridge and tables exist.
    pub made: bool,
    /// Interfaces that exist. Tests put them in and take them out, as netback does.
    pub links: BTreeSet<IfName>,
    /// Pinned ports.
    pub pinned: BTreeMap<IfName, Port>,
    /// Ports on the bridge, and whose they are.
    pub enslaved: BTreeMap<IfName, Uuid>,
    /// Ports that are up.
    pub up: BTreeSet<IfName>,
    /// Every step taken, and of which interface.
    pub log: Vec<(Step, Option<IfName>)>,
}

impl World {
    /// Whether the port is pinned, on the bridge and up.
    #[must_use]
    pub fn is_attached(&self, port: &Port) -> bool {
        self.pinned.get(&port.ifname) == Some(port)
            && self.enslaved.get(&port.ifname) == Some(&port.pod)
            && self.up.contains(&port.ifname)
    }

    /// An interface goes, as when its domain dies.
    pub fn remove_link(&mut self, ifname: &IfName) {
        self.links.remove(ifname);
        self.enslaved.remove(ifname);
        self.up.remove(ifname);
    }
}

#[derive(Default)]
struct Inner {
    world: World,
    failing: BTreeMap<Step, usize>,
}

/// A [`Network`] in memory. Clones share the world.
#[derive(Clone)]
pub struct FakeNetwork {
    plan: Plan,
    links_appear: bool,
    inner: Arc<Mutex<Inner>>,
}

impl FakeNetwork {
    /// A network on which every interface waited for appears at once.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        Self { plan, links_appear: true, inner: Arc::default() }
    }

    /// Interfaces exist only if the test puts them into [`World::links`]; a wait for another times out at once.
    #[must_use]
    pub fn with_explicit_links(mut self) -> Self {
        self.links_appear = false;
        self
    }

    /// Make the next `times` passes of `step` fail, before it does anything.
    pub fn fail(&self, step: Step, times: usize) {
        self.lock().failing.insert(step, times);
    }

    /// Look at the world.
    #[must_use]
    pub fn world(&self) -> World {
        self.lock().world.clone()
    }

    /// Change the world behind the network's back.
    pub fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.lock().world);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attach_port(&self, port: &Port) -> Result<Change, NetError> {
        let mut inner = self.lock();
        if !inner.world.made {
            return Err(NetError::NotReady);
        }
        if inner.world.is_attached(port) {
            return Ok(Change::AlreadySo);
        }
        let done = inner.attach(port, self.links_appear);
        if done.is_err() {
            // As the real one does; what this leaves when it fails too is for reconcile.
            let _ = inner.detach(port);
        }
        done.map(|()| Change::Made)
    }

    fn converge(&self, expected: &[Port]) -> Result<Reconciled, NetError> {
        let mut inner = self.lock();
        let mut done = Reconciled::default();
        inner.step(Step::Bridge, None)?;
        done.bridge_made = !inner.world.made;
        inner.step(Step::Tables, None)?;
        done.tables_made = !inner.world.made;
        inner.world.made = true;
        let wanted: BTreeMap<_, _> = expected.iter().map(|port| (port.ifname.clone(), port.clone())).collect();
        let stale: Vec<_> = inner.world.enslaved.iter().map(|(name, pod)| (name.clone(), *pod)).collect();
        for (name, pod) in stale {
            if wanted.get(&name).is_none_or(|port| port.pod != pod) {
                inner.world.enslaved.remove(&name);
                inner.world.up.remove(&name);
                done.ports_detached.push(name);
            }
        }
        done.pins_removed = inner.world.pinned.iter().filter(|(name, port)| wanted.get(*name) != Some(*port)).count();
        done.pins_added = wanted.iter().filter(|(name, port)| inner.world.pinned.get(*name) != Some(*port)).count();
        inner.world.pinned = wanted;
        for port in expected {
            if self.links_appear {
                inner.world.links.insert(port.ifname.clone());
            }
            if !inner.world.links.contains(&port.ifname) {
                done.missing.push(port.clone());
            } else if !inner.world.is_attached(port) {
                inner.open(port)?;
                done.ports_attached.push(port.ifname.clone());
            }
        }
        Ok(done)
    }

    fn remove(&self) -> Result<Change, NetError> {
        let mut inner = self.lock();
        if !inner.world.enslaved.is_empty() {
            let ports = inner.world.enslaved.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(NetError::InUse { bridge: self.plan.bridge.clone(), ports });
        }
        inner.step(Step::Teardown, None)?;
        inner.world.pinned.clear();
        Ok(if std::mem::take(&mut inner.world.made) { Change::Made } else { Change::AlreadySo })
    }
}

impl Inner {
    fn step(&mut self, step: Step, ifname: Option<&IfName>) -> Result<(), NetError> {
        if let Some(left) = self.failing.get_mut(&step).filter(|left| **left > 0) {
            *left -= 1;
            return Err(NetError::Injected(step));
        }
        self.world.log.push((step, ifname.cloned()));
        Ok(())
    }

    fn attach(&mut self, port: &Port, links_appear: bool) -> Result<(), NetError> {
        self.step(Step::Pin, Some(&port.ifname))?;
        self.world.pinned.insert(port.ifname.clone(), port.clone());
        self.step(Step::Wait, Some(&port.ifname))?;
        if links_appear {
            self.world.links.insert(port.ifname.clone());
        } else if !self.world.links.contains(&port.ifname) {
            return Err(NetError::LinkTimeout { pod: port.pod, ifname: port.ifname.clone(), seconds: 10 });
        }
        self.open(port)
    }

    fn open(&mut self, port: &Port) -> Result<(), NetError> {
        if let Some(pod) = self.world.enslaved.get(&port.ifname).filter(|pod| **pod != port.pod) {
            let alias = format!("xenpod:{pod}");
            return Err(NetError::ForeignPort { pod: port.pod, ifname: port.ifname.clone(), alias });
        }
        self.step(Step::Enslave, Some(&port.ifname))?;
        self.world.enslaved.insert(port.ifname.clone(), port.pod);
        self.step(Step::Up, Some(&port.ifname))?;
        self.world.up.insert(port.ifname.clone());
        Ok(())
    }

    fn detach(&mut self, port: &Port) -> Result<Change, NetError> {
        let mut change = Change::AlreadySo;
        if self.world.enslaved.get(&port.ifname) == Some(&port.pod) {
            self.step(Step::Release, Some(&port.ifname))?;
            self.world.enslaved.remove(&port.ifname);
            self.world.up.remove(&port.ifname);
            change = Change::Made;
        }
        if self.world.pinned.get(&port.ifname) == Some(port) {
            self.step(Step::Unpin, Some(&port.ifname))?;
            self.world.pinned.remove(&port.ifname);
            change = Change::Made;
        }
        Ok(change)
    }
}

impl Network for FakeNetwork {
    fn reconcile<'a>(&'a self, expected: &'a [Port]) -> Pending<'a, Reconciled> {
        Box::pin(async { self.converge(expected) })
    }

    fn attach<'a>(&'a self, port: &'a Port) -> Pending<'a, Change> {
        Box::pin(async { self.attach_port(port) })
    }

    fn detach<'a>(&'a self, port: &'a Port) -> Pending<'a, Change> {
        Box::pin(async { self.lock().detach(port) })
    }

    fn teardown(&self) -> Pending<'_, Change> {
        Box::pin(async { self.remove() })
    }

    fn guest(&self, lease: &Lease) -> GuestNet {
        GuestNet::new(&self.plan, lease)
    }
}

#[cfg(test)]
mod tests;
