//! Bridge, ports and addresses over rtnetlink.

use std::net::IpAddr;

use futures_util::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressFlags};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, InfoKind, LinkAttribute, LinkExtentMask, LinkFlags,
    LinkInfo, LinkMessage,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{Error, Handle, LinkBridge, LinkBridgePort, LinkMessageBuilder, LinkUnspec};

use crate::addr::{IfName, MacAddr};
use crate::config::Plan;
use crate::error::NetError;

/// What we look at of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Link {
    pub index: u32,
    pub name: String,
    pub alias: String,
    pub kind: Option<String>,
    pub controller: Option<u32>,
    pub mtu: u32,
    pub mac: Vec<u8>,
    pub up: bool,
}

/// Names the act and the object in a refused request.
pub(crate) fn failed(what: impl Into<String>) -> impl FnOnce(Error) -> NetError {
    let what = what.into();
    move |source| NetError::Link { what, source }
}

/// The errno of a kernel refusal.
pub(crate) fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => message.to_io().raw_os_error(),
        _ => None,
    }
}

/// `asm-generic/errno-base.h`: there is no such interface.
pub(crate) const ENODEV: i32 = 19;

/// `asm-generic/errno.h`: the bridge has `BR_MAX_PORTS` (`net/bridge/br_private.h`) ports.
pub(crate) const EXFULL: i32 = 54;

pub(crate) async fn get(handle: &Handle, name: &str) -> Result<Option<Link>, NetError> {
    // The counters are half of the answer, and nobody looks at them.
    let request = handle.link().get().set_filter_mask(AddressFamily::Unspec, vec![LinkExtentMask::SkipStats]);
    match request.match_name(name).execute().try_next().await {
        Ok(message) => Ok(message.map(read)),
        Err(error) if errno(&error) == Some(ENODEV) => Ok(None),
        Err(error) => Err(failed(format!("look up {name}"))(error)),
    }
}

/// All ports of a bridge.
pub(crate) async fn ports(handle: &Handle, bridge: u32) -> Result<Vec<Link>, NetError> {
    let mut request = handle.link().get();
    // The kernel filters by this; the check below is for kernels that do not.
    request.message_mut().attributes.push(LinkAttribute::Controller(bridge));
    let links: Vec<_> = request.execute().try_collect().await.map_err(failed("list the bridge's ports"))?;
    Ok(links.into_iter().map(read).filter(|link| link.controller == Some(bridge)).collect())
}

fn read(message: LinkMessage) -> Link {
    let mut link =
        Link { index: message.header.index, up: message.header.flags.contains(LinkFlags::Up), ..Link::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Controller(index) if index != 0 => link.controller = Some(index),
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::LinkInfo(infos) => {
                for info in infos {
                    if let LinkInfo::Kind(kind) = info {
                        link.kind = Some(kind.to_string());
                    }
                }
            }
            _ => {}
        }
    }
    link
}

/// Make the bridge, marked from its first moment; no spanning tree, no snooping of multicast.
pub(crate) async fn add_bridge(handle: &Handle, plan: &Plan, alias: &str) -> Result<(), NetError> {
    let message = LinkMessageBuilder::<LinkBridge>::new(plan.bridge.as_str())
        .address(plan.bridge_mac.0.to_vec())
        .mtu(plan.mtu)
        .stp_state(BridgeStpState::Disabled)
        .mcast_snooping(false)
        .alias(alias)
        .build();
    handle.link().add(message).execute().await.map_err(failed(format!("make bridge {}", plan.bridge)))
}

/// Set the bridge's MAC and MTU and set it up.
pub(crate) async fn set_bridge(handle: &Handle, index: u32, plan: &Plan, alias: &str) -> Result<(), NetError> {
    let message =
        LinkUnspec::new_with_index(index).address(plan.bridge_mac.0.to_vec()).mtu(plan.mtu).alias(alias).up().build();
    handle.link().set(message).execute().await.map_err(failed(format!("set bridge {} up", plan.bridge)))
}

pub(crate) async fn delete(handle: &Handle, index: u32, name: &str) -> Result<(), NetError> {
    handle.link().del(index).execute().await.map_err(failed(format!("delete {name}")))
}

/// Put a marked port on the bridge, without addresses of its own; it stays down.
pub(crate) async fn enslave(
    handle: &Handle,
    link: &Link,
    bridge: u32,
    alias: &str,
    mtu: u32,
    ipv6: bool,
) -> Result<(), NetError> {
    let mut message = LinkUnspec::new_with_index(link.index).alias(alias).controller(bridge);
    if link.mtu != mtu {
        message = message.mtu(mtu);
    }
    if ipv6 {
        // Before it is up, or the kernel gives it a link-local address and starts talking to the pod.
        let quiet = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        message = message.append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![quiet]));
    }
    handle.link().set(message.build()).execute().await.map_err(failed(format!("put {} on the bridge", link.name)))
}

/// The port's MAC in the bridge's table, for good. With learning off a pod cannot draw another's traffic to itself, not
/// even by frames to the link-local groups, which the bridge takes in ahead of our rules.
pub(crate) async fn fix_mac(handle: &Handle, link: &Link, mac: MacAddr) -> Result<(), NetError> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = link.index;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewNeighbour(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    let what = || failed(format!("fix {mac} to {}", link.name));
    let mut answers = handle.clone().request(request).map_err(what())?;
    while let Some(answer) = answers.next().await {
        if let NetlinkPayload::Error(error) = answer.payload
            && error.code.is_some()
        {
            return Err(what()(Error::NetlinkError(error)));
        }
    }
    Ok(())
}

/// Learning and flooding of unknown unicast off, not isolated from other ports; then up.
pub(crate) async fn open_port(handle: &Handle, link: &Link) -> Result<(), NetError> {
    let message = LinkBridgePort::new(link.index).learning(false).flood(false).isolated(false).up().build();
    handle.link().set_port(message).execute().await.map_err(failed(format!("set {} up", link.name)))
}

/// Down, off the bridge, and no longer marked; or gone altogether, which is as good.
pub(crate) async fn release(handle: &Handle, link: &Link) -> Result<(), NetError> {
    let message = LinkUnspec::new_with_index(link.index).nocontroller().down().alias("").build();
    match handle.link().set(message).execute().await {
        Err(error) if errno(&error) == Some(ENODEV) => Ok(()),
        done => done.map_err(failed(format!("take {} off the bridge", link.name))),
    }
}

/// Interface index and address of every address of this host.
pub(crate) async fn addresses(handle: &Handle) -> Result<Vec<(u32, IpNet)>, NetError> {
    let messages: Vec<_> = handle.address().get().execute().try_collect().await.map_err(failed("list addresses"))?;
    Ok(messages
        .into_iter()
        .filter_map(|message| {
            // For IPv4 point-to-point links Address is the peer's, Local ours.
            let mut address = None;
            for attribute in &message.attributes {
                match attribute {
                    AddressAttribute::Local(ip) => address = Some(*ip),
                    AddressAttribute::Address(ip) if address.is_none() => address = Some(*ip),
                    _ => {}
                }
            }
            Some((message.header.index, IpNet::new(address?, message.header.prefix_len).ok()?))
        })
        .collect())
}

/// Give the bridge an address. Not subject to duplicate detection: pods cannot claim it, and the forwarder binds to it
/// at once.
pub(crate) async fn add_address(handle: &Handle, index: u32, address: IpNet) -> Result<(), NetError> {
    let mut request = handle.address().add(index, address.addr(), address.prefix_len()).replace();
    if address.addr().is_ipv6() {
        request.message_mut().attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
    }
    request.execute().await.map_err(failed(format!("give the bridge {address}")))
}

/// Take an address from the bridge.
pub(crate) async fn delete_address(handle: &Handle, index: u32, address: IpNet) -> Result<(), NetError> {
    let what = failed(format!("take {address} from the bridge"));
    let mut message = netlink_packet_route::address::AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.header.family = if address.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.attributes.push(AddressAttribute::Local(address.addr()));
    handle.address().del(message).execute().await.map_err(what)
}

/// Whether the kernel makes this address itself.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// The name of an interface by its index, for a message.
pub(crate) async fn name_of(handle: &Handle, index: u32) -> String {
    match handle.link().get().match_index(index).execute().try_next().await {
        Ok(Some(message)) => read(message).name,
        _ => format!("number {index}"),
    }
}

/// Whether the interface is a bridge.
pub(crate) fn is_bridge(link: &Link) -> bool {
    link.kind.as_deref() == Some(InfoKind::Bridge.to_string().as_str())
}

/// Our mark on a port.
pub(crate) fn port_alias(pod: uuid::Uuid) -> String {
    format!("xenpod:{pod}")
}

/// The mark a port of ours begins with.
pub(crate) const PORT_MARK: &str = "xenpod:";

/// Our mark on the bridge.
pub(crate) fn bridge_alias(bridge: &IfName) -> String {
    format!("xenpod bridge {bridge}")
}
