//! The `default` network on this host: a bridge, two tables, and ports.
//!
//! ```text
//! attach:  pin (elements in our sets) -> wait for the interface -> on the bridge, down -> MAC fixed -> up
//! detach:  off the bridge -> unpin
//! ```
//!
//! A port is never up on the bridge without its pins. What was pinned is remembered here, so neither attach nor detach
//! lists anything; the memory is filled by the first reconcile.

mod converge;

use std::collections::HashMap;
use std::time::Duration;

use rtnetlink::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::addr::IfName;
use crate::config::Plan;
use crate::error::NetError;
use crate::lease::Lease;
use crate::link::{self, Link};
use crate::monitor::LinkMonitor;
use crate::network::{Change, GuestNet, Network, Pending, Port, Reconciled};
use crate::nft::pins;
use crate::nft::socket::NftSocket;
use crate::nft::watch::TableWatch;
use crate::sysctl;

/// How long netback may take to make an interface after its device was written to xenstore.
const LINK_TIMEOUT: Duration = Duration::from_secs(10);

/// The real network.
pub struct HostNetwork {
    plan: Plan,
    link_timeout: Duration,
    /// Whether this kernel has IPv6 at all; without it pods have it among themselves only.
    ipv6: bool,
    handle: Handle,
    connection: JoinHandle<()>,
    monitor: LinkMonitor,
    state: Mutex<State>,
}

struct State {
    nft: NftSocket,
    /// Index of the bridge; `None` before the first reconcile and after a teardown.
    bridge: Option<u32>,
    /// What our sets hold.
    pinned: HashMap<IfName, Port>,
}

impl HostNetwork {
    /// Open the sockets, in the network namespace of the calling thread. Nothing is changed yet: reconcile first.
    ///
    /// # Errors
    /// [`NetError::Socket`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(plan: Plan) -> Result<Self, NetError> {
        let (connection, handle, _) = rtnetlink::new_connection().map_err(NetError::Socket)?;
        let monitor = LinkMonitor::start().map_err(NetError::Socket)?;
        let nft = NftSocket::open().map_err(NetError::Socket)?;
        Ok(Self {
            plan,
            link_timeout: LINK_TIMEOUT,
            ipv6: sysctl::has_ipv6(),
            handle,
            connection: tokio::spawn(connection),
            monitor,
            state: Mutex::new(State { nft, bridge: None, pinned: HashMap::new() }),
        })
    }

    /// Wait this long for interfaces instead of 10 s.
    #[must_use]
    pub fn with_link_timeout(mut self, timeout: Duration) -> Self {
        self.link_timeout = timeout;
        self
    }

    /// The plan this network follows.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Tells when somebody deletes our tables, as `nft flush ruleset` does: reconcile then.
    ///
    /// # Errors
    /// [`NetError::Socket`].
    pub async fn watch_tables(&self) -> Result<TableWatch, NetError> {
        let own = self.state.lock().await.nft.port();
        TableWatch::open(own).map_err(NetError::Socket)
    }

    /// Makes our tables whole again after somebody deleted them, with the pins of the ports that are attached.
    ///
    /// # Errors
    /// What nftables says.
    pub async fn restore(&self) -> Result<Change, NetError> {
        let mut state = self.state.lock().await;
        // Before the first reconcile nothing is to be there.
        if state.bridge.is_none() {
            return Ok(Change::AlreadySo);
        }
        let ports: Vec<_> = state.pinned.values().cloned().collect();
        let (made, ..) = converge::tables(&self.plan, &mut state.nft, &ports).await?;
        Ok(if made { Change::Made } else { Change::AlreadySo })
    }

    async fn attach_port(&self, port: &Port) -> Result<Change, NetError> {
        let (bridge, pinned) = self.pin(port).await?;
        let opened = match self.wait_for(port).await {
            Ok(found) => match self.connect(port, &found, bridge).await {
                Err(error) => Err(self.explain(port, bridge, error).await),
                opened => opened,
            },
            Err(error) => Err(error),
        };
        match opened {
            Ok(opened) if pinned == Change::AlreadySo => Ok(opened),
            Ok(_) => Ok(Change::Made),
            Err(error) => {
                if let Err(undo) = self.detach_port(port).await {
                    tracing::warn!(pod = %port.pod, ifname = %port.ifname, error = %undo, "undo of a failed attach");
                }
                Err(error)
            }
        }
    }

    async fn detach_port(&self, port: &Port) -> Result<Change, NetError> {
        let mut change = Change::AlreadySo;
        if let Some(found) = link::get(&self.handle, port.ifname.as_str()).await?
            && found.alias == link::port_alias(port.pod)
        {
            link::release(&self.handle, &found).await?;
            change = Change::Made;
        }
        if self.unpin(port).await? == Change::Made { Ok(Change::Made) } else { Ok(change) }
    }

    /// Put the port's pins in, in place of those of an earlier owner of the name.
    async fn pin(&self, port: &Port) -> Result<(u32, Change), NetError> {
        let mut state = self.state.lock().await;
        let bridge = state.bridge.ok_or(NetError::NotReady)?;
        // Remembered first, so that an attach that is dropped half-way can still be detached.
        let old = state.pinned.insert(port.ifname.clone(), port.clone());
        if old.as_ref() == Some(port) {
            return Ok((bridge, Change::AlreadySo));
        }
        let requests = pins::change(&old.as_ref().map(pins::pins).unwrap_or_default(), &pins::pins(port));
        match state.nft.transact(&requests).await {
            Ok(()) => {}
            // Somebody flushed the ruleset. Make it whole again, this port included.
            Err(error) if error.is_missing() => self.repair(&mut state, &error).await?,
            Err(error) => {
                match old {
                    Some(old) => state.pinned.insert(port.ifname.clone(), old),
                    None => state.pinned.remove(&port.ifname),
                };
                return Err(error.into());
            }
        }
        Ok((bridge, Change::Made))
    }

    async fn unpin(&self, port: &Port) -> Result<Change, NetError> {
        let mut state = self.state.lock().await;
        // The name may have passed to another pod: domids are recycled.
        if state.pinned.get(&port.ifname) != Some(port) {
            return Ok(Change::AlreadySo);
        }
        // Forgotten first: an attach must never believe in pins that a dropped detach took out.
        state.pinned.remove(&port.ifname);
        match state.nft.transact(&pins::change(&pins::pins(port), [])).await {
            Ok(()) => Ok(Change::Made),
            Err(error) if error.is_missing() => self.repair(&mut state, &error).await.map(|()| Change::Made),
            Err(error) => {
                state.pinned.insert(port.ifname.clone(), port.clone());
                Err(error.into())
            }
        }
    }

    async fn repair(&self, state: &mut State, why: &crate::NftError) -> Result<(), NetError> {
        tracing::warn!(%why, "our nftables tables were changed by somebody else; making them whole again");
        let ports: Vec<_> = state.pinned.values().cloned().collect();
        converge::tables(&self.plan, &mut state.nft, &ports).await?;
        Ok(())
    }

    /// The port's interface, once it exists.
    async fn wait_for(&self, port: &Port) -> Result<Link, NetError> {
        let watch = self.monitor.watch(port.ifname.as_str());
        let appeared = async {
            loop {
                if let Some(found) = link::get(&self.handle, port.ifname.as_str()).await? {
                    return Ok(found);
                }
                watch.announced().await;
            }
        };
        tokio::time::timeout(self.link_timeout, appeared).await.unwrap_or_else(|_| {
            Err(NetError::LinkTimeout {
                pod: port.pod,
                ifname: port.ifname.clone(),
                seconds: self.link_timeout.as_secs(),
            })
        })
    }

    /// What a refusal really means: the kernel's errno does not tell which of the two interfaces is gone.
    async fn explain(&self, port: &Port, bridge: u32, error: NetError) -> NetError {
        let NetError::Link { source, .. } = &error else { return error };
        if link::errno(source) == Some(link::EXFULL) {
            return NetError::BridgeFull { pod: port.pod, bridge: self.plan.bridge.clone() };
        }
        if let Ok(None) = link::get(&self.handle, port.ifname.as_str()).await {
            return NetError::LinkVanished { pod: port.pod, ifname: port.ifname.clone() };
        }
        match link::get(&self.handle, self.plan.bridge.as_str()).await {
            Ok(found) if found.as_ref().map(|found| found.index) != Some(bridge) => {
                self.state.lock().await.bridge = None;
                NetError::NotReady
            }
            _ => error,
        }
    }

    /// Put the interface on the bridge and set it up. The pins are in.
    async fn connect(&self, port: &Port, found: &Link, bridge: u32) -> Result<Change, NetError> {
        let alias = link::port_alias(port.pod);
        let foreign = |alias: String| NetError::ForeignPort { pod: port.pod, ifname: port.ifname.clone(), alias };
        if !found.alias.is_empty() && found.alias != alias {
            return Err(foreign(found.alias.clone()));
        }
        if let Some(other) = found.controller.filter(|&index| index != bridge) {
            return Err(foreign(format!("port of {}", link::name_of(&self.handle, other).await)));
        }
        if found.alias == alias && found.controller.is_some() && found.up && found.mtu == self.plan.mtu {
            return Ok(Change::AlreadySo);
        }
        link::enslave(&self.handle, found, bridge, &alias, self.plan.mtu, self.ipv6).await?;
        link::fix_mac(&self.handle, found, port.lease.mac).await?;
        link::open_port(&self.handle, found).await?;
        Ok(Change::Made)
    }
}

impl Drop for HostNetwork {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Network for HostNetwork {
    fn reconcile<'a>(&'a self, expected: &'a [Port]) -> Pending<'a, Reconciled> {
        Box::pin(self.converge(expected))
    }

    fn attach<'a>(&'a self, port: &'a Port) -> Pending<'a, Change> {
        Box::pin(self.attach_port(port))
    }

    fn detach<'a>(&'a self, port: &'a Port) -> Pending<'a, Change> {
        Box::pin(self.detach_port(port))
    }

    fn teardown(&self) -> Pending<'_, Change> {
        Box::pin(self.remove())
    }

    fn guest(&self, lease: &Lease) -> GuestNet {
        GuestNet::new(&self.plan, lease)
    }
}
