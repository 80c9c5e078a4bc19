//! The `default` network, through netlink.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use xenpod_api::ids::PodId;
use xenpod_net::dns::{DnsSettings, Forwarder, PodDns};
use xenpod_net::{Change, HostNetwork, IfName, Lease, LeasePool, MacAddr, Network, NetworkConfig, Plan, Port};

use crate::engine::world::{Net, NetError, NetSettings};
use crate::journal::LeaseRecord;

/// After the rules could not be put back, until it is tried again.
const RULES_AGAIN: Duration = Duration::from_secs(5);

const RESOLV_CONF: &str = "/etc/resolv.conf";

struct Inner {
    config: NetworkConfig,
    plan: Plan,
    leases: Mutex<LeasePool>,
    network: OnceCell<HostNetwork>,
    forwarder: Mutex<Option<Forwarder>>,
    /// Somebody watches over the rules.
    guarded: AtomicBool,
}

/// The network of this host. Made at the first reconcile; nothing of the host is changed before.
#[derive(Clone)]
pub struct HostNet(Arc<Inner>);

fn text(error: impl std::fmt::Display) -> NetError {
    NetError(error.to_string())
}

fn lease(record: &LeaseRecord) -> Lease {
    Lease { v4: record.v4, v6: record.v6, mac: MacAddr(record.mac) }
}

impl HostNet {
    /// Checks the configuration.
    ///
    /// # Errors
    /// Names the key that cannot be used.
    pub fn new(config: NetworkConfig) -> Result<Self, NetError> {
        let machine_id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let plan = config.plan(&machine_id).map_err(text)?;
        let leases = Mutex::new(LeasePool::new(&plan));
        Ok(Self(Arc::new(Inner {
            config,
            plan,
            leases,
            network: OnceCell::new(),
            forwarder: Mutex::default(),
            guarded: AtomicBool::new(false),
        })))
    }

    fn leases(&self) -> MutexGuard<'_, LeasePool> {
        self.0.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn network(&self) -> Result<&HostNetwork, NetError> {
        let plan = self.0.plan.clone();
        let open = async { HostNetwork::open(plan).map(|n| n.with_link_timeout(Duration::from_secs(10))) };
        self.0.network.get_or_try_init(|| open).await.map_err(text)
    }

    /// The interface of a domain in dom0. Its name is the backend's; each pod has one.
    fn port(id: PodId, domid: u16, record: &LeaseRecord) -> Port {
        Port { pod: id.0, ifname: IfName::vif(domid.into(), 0), lease: lease(record) }
    }

    /// From now on puts the rules back when somebody takes them away, as `nft flush ruleset` does.
    async fn guard_rules(&self) -> Result<(), NetError> {
        if self.0.guarded.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let mut watch = self.network().await?.watch_tables().await.map_err(text)?;
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let lost = watch.lost().await.map_err(text);
                let restored = match (lost, this.network().await) {
                    (Ok(()), Ok(network)) => network.restore().await.map_err(text),
                    (Err(error), _) | (_, Err(error)) => Err(error),
                };
                match restored {
                    Ok(Change::Made) => tracing::warn!("somebody deleted our nftables tables; they are back"),
                    // Each table's end is told.
                    Ok(Change::AlreadySo) => {}
                    Err(error) => {
                        tracing::error!(%error, "our nftables tables may be missing: {error}; restart xenpodd to make them again");
                        tokio::time::sleep(RULES_AGAIN).await;
                    }
                }
            }
        });
        Ok(())
    }

    /// Answers the pods' queries on the gateway addresses, if the configuration wants that.
    async fn forward_dns(&self) -> Result<(), NetError> {
        let started = Forwarder::of_network(&self.0.plan, &self.0.config.dns, Path::new(RESOLV_CONF)).await;
        *self.0.forwarder.lock().unwrap_or_else(PoisonError::into_inner) = started.map_err(text)?;
        Ok(())
    }
}

#[async_trait]
impl Net for HostNet {
    fn allocate(&self, id: PodId, want: Option<Ipv4Addr>) -> Result<LeaseRecord, NetError> {
        let lease = self.leases().allocate(id.0, want).map_err(text)?;
        Ok(LeaseRecord { v4: lease.v4, v6: lease.v6, mac: lease.mac.0 })
    }

    fn reserve(&self, id: PodId, record: &LeaseRecord) -> Result<(), NetError> {
        self.leases().reserve(id.0, &lease(record)).map(drop).map_err(text)
    }

    fn forget(&self, id: PodId) {
        self.leases().release(id.0);
    }

    fn settings(&self, record: &LeaseRecord) -> NetSettings {
        let guest = xenpod_net::GuestNet::new(&self.0.plan, &lease(record));
        // What cannot be read is what libc takes it for: a server on this host, so the forwarder.
        let host = DnsSettings::from_host(Path::new(RESOLV_CONF)).unwrap_or_else(|error| {
            tracing::warn!(%error, "pods resolve names through this host: {error}");
            DnsSettings::parse(b"")
        });
        let dns = PodDns::new(&self.0.config.dns, &host, guest.gateways());
        NetSettings {
            mtu: guest.mtu,
            addresses: vec![(guest.v4.into(), guest.v4_prefix), (guest.v6.into(), guest.v6_prefix)],
            gateways: guest.gateways().to_vec(),
            servers: dns.servers,
            searches: dns.search,
            options: dns.options,
        }
    }

    async fn attach(&self, id: PodId, domid: u16, record: &LeaseRecord) -> Result<(), NetError> {
        self.network().await?.attach(&Self::port(id, domid, record)).await.map(drop).map_err(text)
    }

    async fn detach(&self, id: PodId, domid: Option<u16>, record: &LeaseRecord) -> Result<(), NetError> {
        // Without a domain it never had an interface, and so no pins.
        let Some(domid) = domid else { return Ok(()) };
        self.network().await?.detach(&Self::port(id, domid, record)).await.map(drop).map_err(text)
    }

    async fn reconcile(&self, live: &[(PodId, u16, LeaseRecord)]) -> Result<(), NetError> {
        let ports: Vec<Port> = live.iter().map(|(id, domid, record)| Self::port(*id, *domid, record)).collect();
        // First, so that no loss is missed.
        self.guard_rules().await?;
        let done = self.network().await?.reconcile(&ports).await.map_err(text)?;
        for change in &done.sysctls {
            tracing::info!("kernel setting changed: {change:?}");
        }
        for port in &done.missing {
            tracing::warn!(pod_id = %port.pod, interface = %port.ifname.as_str(), "interface {} is not there", port.ifname.as_str());
        }
        self.forward_dns().await
    }
}

impl std::fmt::Debug for HostNet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostNet").field("gateway", &IpAddr::from(self.0.plan.gateway4)).finish_non_exhaustive()
    }
}
