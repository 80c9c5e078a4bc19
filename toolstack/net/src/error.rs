//! What can go wrong with a network.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use uuid::Uuid;

use crate::addr::IfName;
use crate::nft::socket::NftError;

/// Errors of this crate; those of leases are [`crate::LeaseError`].
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// A configured value cannot be used.
    #[error("network configuration: {key} = {value}: {why}")]
    Config {
        /// The key in the configuration.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// The bridge's name is taken by an interface that is not ours.
    #[error(
        "interface {bridge} exists and was not made by xenpod (it is {found}); remove it or configure another bridge name"
    )]
    ForeignBridge {
        /// The configured name.
        bridge: IfName,
        /// Its kind or alias.
        found: String,
    },
    /// A table of our name exists that does not bear our mark.
    #[error("nftables table {family} xenpod exists and was not made by xenpod; delete or rename it")]
    ForeignTable {
        /// `bridge` or `inet`.
        family: &'static str,
    },
    /// The host has an address in the pods' subnet elsewhere.
    #[error("subnet {subnet} overlaps {address} of interface {interface}; configure another subnet")]
    SubnetInUse {
        /// The configured subnet.
        subnet: String,
        /// The interface that has the address.
        interface: String,
        /// The address with its prefix length.
        address: String,
    },
    /// The network was not reconciled yet, or somebody deleted its bridge.
    #[error("the network is not set up, or its bridge was deleted: reconcile it first")]
    NotReady,
    /// The backend never made the interface.
    #[error("pod {pod}: interface {ifname} did not appear within {seconds} s; see the kernel log for xen-netback")]
    LinkTimeout {
        /// Whose port.
        pod: Uuid,
        /// What was waited for.
        ifname: IfName,
        /// For how long.
        seconds: u64,
    },
    /// The interface vanished while it was being attached: the domain died.
    #[error("pod {pod}: interface {ifname} vanished while it was attached; its domain is gone")]
    LinkVanished {
        /// Whose port.
        pod: Uuid,
        /// The interface.
        ifname: IfName,
    },
    /// The bridge has all the ports the kernel allows.
    #[error("pod {pod}: bridge {bridge} is full, the kernel allows 1023 ports on one")]
    BridgeFull {
        /// Whose port.
        pod: Uuid,
        /// The bridge.
        bridge: IfName,
    },
    /// The interface belongs to somebody else.
    #[error("pod {pod}: interface {ifname} is marked {alias:?}, it belongs to another")]
    ForeignPort {
        /// Whose port it should be.
        pod: Uuid,
        /// The interface.
        ifname: IfName,
        /// Its alias.
        alias: String,
    },
    /// A port is still on the bridge.
    #[error("bridge {bridge} still has the ports {ports}; remove their pods first")]
    InUse {
        /// The bridge.
        bridge: IfName,
        /// The ports' names.
        ports: String,
    },
    /// The kernel refused a change of an interface or an address.
    #[error("{what}: {source}")]
    Link {
        /// The act and the object: "set vif3.0 up".
        what: String,
        /// The kernel's reason.
        source: rtnetlink::Error,
    },
    /// nf_tables refused a change.
    #[error("nf_tables: {0}")]
    Nft(#[from] NftError),
    /// A kernel setting could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Sysctl {
        /// The file under `/proc/sys`.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A netlink socket could not be opened.
    #[error("netlink socket: {0}")]
    Socket(#[source] io::Error),
    /// The DNS forwarder could not listen.
    #[error("DNS forwarder: listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why; "address in use" means that another server listens on every address of this host.
        source: io::Error,
    },
    /// The host's resolver configuration could not be read.
    #[error("{path}: {why}", path = path.display())]
    ResolvConf {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A fake was told to fail here.
    #[cfg(any(test, feature = "fake"))]
    #[error("injected failure at step {0:?}")]
    Injected(crate::fake::Step),
}
