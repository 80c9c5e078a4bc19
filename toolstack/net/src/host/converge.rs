//! Reconcile and teardown: what is there compared with what should be.

use std::collections::{HashMap, HashSet};

use ipnet::IpNet;
use netlink_packet_netfilter::NetfilterProtoFamily as Family;
use netlink_packet_netfilter::nftables::{NfTablesMessage, TableAttribute};

use super::{HostNetwork, State};
use crate::config::Plan;
use crate::error::NetError;
use crate::link::{self, Link};
use crate::network::{Change, Port, Reconciled};
use crate::nft::pins::{self, Pin, Set};
use crate::nft::socket::NftSocket;
use crate::nft::{expr, ruleset};
use crate::sysctl;

impl HostNetwork {
    pub(super) async fn converge(&self, expected: &[Port]) -> Result<Reconciled, NetError> {
        let mut state = self.state.lock().await;
        let mut done = Reconciled::default();
        let bridge = self.bridge(&mut done).await?;

        // A stale port leaves the bridge before its pins go.
        let wanted: HashMap<&str, &Port> = expected.iter().map(|port| (port.ifname.as_str(), port)).collect();
        let mut on_bridge = HashMap::new();
        for found in link::ports(&self.handle, bridge).await? {
            let ours = found.alias.starts_with(link::PORT_MARK);
            let stays = wanted.get(found.name.as_str()).is_some_and(|port| link::port_alias(port.pod) == found.alias);
            if ours && !stays {
                link::release(&self.handle, &found).await?;
                done.ports_detached.extend(found.name.parse());
            } else {
                on_bridge.insert(found.name.clone(), found);
            }
        }

        let outcome = tables(&self.plan, &mut state.nft, expected).await?;
        (done.tables_made, done.pins_added, done.pins_removed) = outcome;
        state.pinned = expected.iter().map(|port| (port.ifname.clone(), port.clone())).collect();
        state.bridge = Some(bridge);

        for port in expected {
            let found = match on_bridge.remove(port.ifname.as_str()) {
                Some(found) => Some(found),
                None => link::get(&self.handle, port.ifname.as_str()).await?,
            };
            match found {
                None => done.missing.push(port.clone()),
                Some(found) => match self.connect(port, &found, bridge).await {
                    Ok(Change::Made) => done.ports_attached.push(port.ifname.clone()),
                    Ok(Change::AlreadySo) => {}
                    // Another's interface by now, or gone since it was looked up: the pod's own is missing.
                    Err(NetError::ForeignPort { alias, .. }) => {
                        tracing::warn!(pod = %port.pod, ifname = %port.ifname, %alias, "interface belongs to another");
                        done.missing.push(port.clone());
                    }
                    Err(NetError::Link { source, .. }) if link::errno(&source) == Some(link::ENODEV) => {
                        done.missing.push(port.clone());
                    }
                    Err(error) => return Err(error),
                },
            }
        }
        Ok(done)
    }

    pub(super) async fn remove(&self) -> Result<Change, NetError> {
        let mut state = self.state.lock().await;
        let State { nft, bridge, pinned } = &mut *state;
        let found = match link::get(&self.handle, self.plan.bridge.as_str()).await? {
            Some(found) if is_ours(&self.plan, &found) => Some(found),
            _ => None,
        };
        if let Some(found) = &found {
            let ports = link::ports(&self.handle, found.index).await?;
            if !ports.is_empty() {
                let ports = ports.into_iter().map(|port| port.name).collect::<Vec<_>>().join(", ");
                return Err(NetError::InUse { bridge: self.plan.bridge.clone(), ports });
            }
            link::delete(&self.handle, found.index, &found.name).await?;
        }
        let mut requests = Vec::new();
        for (family, comment) in existing(nft).await? {
            if comment.is_some_and(|comment| comment.starts_with(ruleset::MARK)) {
                requests.push(ruleset::delete(family));
            }
        }
        nft.transact(&requests).await?;
        *bridge = None;
        pinned.clear();
        Ok(if found.is_some() || !requests.is_empty() { Change::Made } else { Change::AlreadySo })
    }

    /// The bridge with its addresses, and forwarding.
    async fn bridge(&self, done: &mut Reconciled) -> Result<u32, NetError> {
        let plan = &self.plan;
        let alias = link::bridge_alias(&plan.bridge);
        let before = link::get(&self.handle, plan.bridge.as_str()).await?;
        if let Some(found) = before.as_ref().filter(|found| !is_ours(plan, found)) {
            let kind = found.kind.clone().unwrap_or_else(|| "a device".into());
            let found = if found.alias.is_empty() { kind } else { format!("{kind} {:?}", found.alias) };
            return Err(NetError::ForeignBridge { bridge: plan.bridge.clone(), found });
        }
        let addresses = link::addresses(&self.handle).await?;
        let own = before.as_ref().map(|found| found.index);
        for (index, address) in &addresses {
            let overlaps = match address {
                IpNet::V4(net) => nets_overlap(&IpNet::V4(plan.v4), &IpNet::V4(*net)),
                IpNet::V6(net) => nets_overlap(&IpNet::V6(plan.v6), &IpNet::V6(*net)),
            };
            if overlaps && Some(*index) != own {
                let subnet = if address.addr().is_ipv4() { plan.v4.to_string() } else { plan.v6.to_string() };
                let interface = link::name_of(&self.handle, *index).await;
                return Err(NetError::SubnetInUse { subnet, interface, address: address.to_string() });
            }
        }

        let index = match own {
            Some(index) => index,
            None => {
                link::add_bridge(&self.handle, plan, &alias).await?;
                done.bridge_made = true;
                let made = link::get(&self.handle, plan.bridge.as_str()).await?;
                made.ok_or_else(|| NetError::ForeignBridge {
                    bridge: plan.bridge.clone(),
                    found: "gone as soon as it was made".into(),
                })?
                .index
            }
        };
        done.sysctls.extend(sysctl::prepare_bridge(plan.bridge.as_str())?);
        link::set_bridge(&self.handle, index, plan, &alias).await?;

        let wanted = [
            IpNet::new_assert(plan.gateway4.into(), plan.v4.prefix_len()),
            IpNet::new_assert(plan.gateway6.into(), plan.v6.prefix_len()),
        ];
        for (_, address) in addresses.iter().filter(|(at, _)| *at == index) {
            // Of an earlier configuration.
            if !wanted.contains(address) && !link::is_link_local(address.addr()) {
                link::delete_address(&self.handle, index, *address).await?;
            }
        }
        for address in wanted.into_iter().filter(|address| self.ipv6 || address.addr().is_ipv4()) {
            if !addresses.contains(&(index, address)) {
                link::add_address(&self.handle, index, address).await?;
            }
        }
        done.sysctls.extend(sysctl::enable_forwarding()?);
        Ok(index)
    }
}

/// By its alias; or by its MAC, which it has from its first moment, if a crash came before the alias.
fn is_ours(plan: &Plan, found: &Link) -> bool {
    link::is_bridge(found)
        && (found.alias == link::bridge_alias(&plan.bridge)
            || (found.alias.is_empty() && found.mac == plan.bridge_mac.0))
}

fn nets_overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// A pin takes up to 100 bytes of a message, and a transaction must fit the socket's send buffer
/// (`net.core.wmem_default`, 208 KiB).
const PINS_PER_TRANSACTION: usize = 1000;

/// Make the tables right and their sets hold exactly the pins of `ports`. Returns whether tables were made, and how many
/// pins were added and removed.
pub(super) async fn tables(plan: &Plan, nft: &mut NftSocket, ports: &[Port]) -> Result<(bool, usize, usize), NetError> {
    let wanted: HashSet<Pin> = ports.iter().flat_map(pins::pins).collect();
    let existing = existing(nft).await?;
    for (family, comment) in &existing {
        if !comment.as_deref().is_some_and(|comment| comment.starts_with(ruleset::MARK)) {
            let family = if *family == Family::Bridge { "bridge" } else { "inet" };
            return Err(NetError::ForeignTable { family });
        }
    }
    let revision = ruleset::revision(plan);
    let current = existing.len() == 2 && existing.iter().all(|(_, comment)| comment.as_ref() == Some(&revision));
    if current && let Some(held) = pins::list(nft).await? {
        let stale: Vec<_> = held.difference(&wanted).collect();
        let fresh: Vec<_> = wanted.difference(&held).collect();
        for part in stale.chunks(PINS_PER_TRANSACTION) {
            nft.transact(&pins::change(part.iter().copied(), [])).await?;
        }
        for part in fresh.chunks(PINS_PER_TRANSACTION) {
            nft.transact(&pins::change([], part.iter().copied())).await?;
        }
        return Ok((false, fresh.len(), stale.len()));
    }

    // One transaction from the old rules to the new, with the ports in it: a port whose pins follow is dropped, not open.
    let (ports, others): (Vec<_>, Vec<_>) = wanted.iter().partition(|pin| pin.set == Set::Ports);
    let mut requests: Vec<_> = existing.iter().map(|(family, _)| ruleset::delete(*family)).collect();
    requests.extend(ruleset::create(plan));
    let (first, rest) = others.split_at(others.len().min(PINS_PER_TRANSACTION));
    requests.extend(pins::change([], ports.iter().chain(first).copied()));
    nft.transact(&requests).await?;
    for part in rest.chunks(PINS_PER_TRANSACTION) {
        nft.transact(&pins::change([], part.iter().copied())).await?;
    }
    Ok((true, wanted.len(), 0))
}

/// The tables of our name, with their comments.
async fn existing(nft: &mut NftSocket) -> Result<Vec<(Family, Option<String>)>, NetError> {
    let mut out = Vec::new();
    for family in [Family::Bridge, Family::Inet] {
        if let Some(NfTablesMessage::NewTable(table)) = nft.get(&ruleset::get(family)).await? {
            let comment = table.attributes.iter().find_map(|attribute| match attribute {
                TableAttribute::UserData(data) => expr::read_comment(data).map(str::to_owned),
                _ => None,
            });
            out.push((family, comment));
        }
    }
    Ok(out)
}
