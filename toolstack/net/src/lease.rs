//! Which pod has which address: pure, in memory; the caller keeps the leases on disk and hands them back at start.
//!
//! One number is allocated, the host part of the IPv4 address; the IPv6 address and the MAC follow from it, so they
//! cannot collide on their own. The search starts at a place given by the pod's UUID and walks a bitmap word by word:
//! its cost does not depend on how many pods there are until the subnet is nearly full.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::addr::MacAddr;
use crate::config::{Plan, mac_of};
use crate::network::Change;

/// What a pod's interface is called on the wire. The pod can send as nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// IPv4 address, in the network's IPv4 subnet.
    pub v4: Ipv4Addr,
    /// IPv6 address: the network's /64 with the IPv4 address as its last 32 bits.
    pub v6: Ipv6Addr,
    /// MAC address, derived from the IPv4 address.
    pub mac: MacAddr,
}

/// Why an address could not be leased.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LeaseError {
    /// Every address of the subnet is taken.
    #[error("pod {pod}: no free address in {subnet}: {leased} are leased; remove pods or configure a larger subnet")]
    Exhausted {
        /// Who asked.
        pod: Uuid,
        /// The IPv4 subnet.
        subnet: Ipv4Net,
        /// How many pods hold an address.
        leased: usize,
    },
    /// The requested address belongs to another pod.
    #[error("pod {pod}: address {address} is leased to pod {holder}")]
    Taken {
        /// Who asked.
        pod: Uuid,
        /// What was asked for.
        address: Ipv4Addr,
        /// Who has it.
        holder: Uuid,
    },
    /// The requested address cannot be a pod's.
    #[error("pod {pod}: address {address} is not one a pod can have in {subnet} ({why})")]
    Outside {
        /// Who asked.
        pod: Uuid,
        /// What was asked for.
        address: Ipv4Addr,
        /// The IPv4 subnet.
        subnet: Ipv4Net,
        /// Outside the subnet, or reserved in it.
        why: &'static str,
    },
    /// The pod already holds another lease.
    #[error("pod {pod}: it already holds {held}, it cannot have {address} too")]
    Holding {
        /// Who asked.
        pod: Uuid,
        /// What it holds.
        held: Ipv4Addr,
        /// What was asked for.
        address: Ipv4Addr,
    },
    /// A recorded lease does not belong to the network as it is configured now.
    #[error(
        "pod {pod}: its lease {v4} {v6} {mac} is not of this network ({subnet}); was the network's configuration changed?"
    )]
    Foreign {
        /// Whose lease.
        pod: Uuid,
        /// Its IPv4 address.
        v4: Ipv4Addr,
        /// Its IPv6 address.
        v6: Ipv6Addr,
        /// Its MAC.
        mac: MacAddr,
        /// The IPv6 subnet of the network.
        subnet: Ipv6Net,
    },
}

/// All leases of one network.
#[derive(Debug, Clone)]
pub struct LeasePool {
    v4: Ipv4Net,
    v6: Ipv6Net,
    /// One bit per address of the subnet, set when it cannot be leased.
    taken: Vec<u64>,
    by_host: HashMap<u32, Uuid>,
    by_pod: HashMap<Uuid, u32>,
}

impl LeasePool {
    /// A pool with nothing leased. The network, gateway and broadcast addresses are never leased.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let size = size_of_subnet(plan.v4);
        let mut pool = Self {
            v4: plan.v4,
            v6: plan.v6,
            taken: vec![0; size.div_ceil(64) as usize],
            by_host: HashMap::new(),
            by_pod: HashMap::new(),
        };
        for host in [0, 1, size - 1] {
            pool.mark(host, true);
        }
        // A /29 has fewer addresses than the word has bits.
        for host in size..(pool.taken.len() as u32 * 64) {
            pool.mark(host, true);
        }
        pool
    }

    /// Take back a lease that a pod's record holds.
    ///
    /// # Errors
    /// [`LeaseError::Foreign`], [`LeaseError::Taken`] or [`LeaseError::Holding`]; the pool is then as it was.
    pub fn reserve(&mut self, pod: Uuid, lease: &Lease) -> Result<Change, LeaseError> {
        let foreign = || LeaseError::Foreign { pod, v4: lease.v4, v6: lease.v6, mac: lease.mac, subnet: self.v6 };
        let host = self.host_of(pod, lease.v4).map_err(|_| foreign())?;
        if self.lease(host) != *lease {
            return Err(foreign());
        }
        self.take(pod, host)
    }

    /// Lease an address to `pod`: `requested`, or one of the pool's choice. A pod that holds a lease gets the same again.
    ///
    /// # Errors
    /// [`LeaseError::Exhausted`], or for a requested address [`LeaseError::Outside`], [`LeaseError::Taken`],
    /// [`LeaseError::Holding`].
    pub fn allocate(&mut self, pod: Uuid, requested: Option<Ipv4Addr>) -> Result<Lease, LeaseError> {
        let host = match (requested, self.by_pod.get(&pod)) {
            (Some(address), _) => self.host_of(pod, address)?,
            (None, Some(&held)) => held,
            (None, None) => self.free_near(preference(pod)).ok_or(LeaseError::Exhausted {
                pod,
                subnet: self.v4,
                leased: self.by_pod.len(),
            })?,
        };
        self.take(pod, host)?;
        Ok(self.lease(host))
    }

    /// Give the pod's lease back; [`Change::AlreadySo`] when it has none.
    pub fn release(&mut self, pod: Uuid) -> Change {
        let Some(host) = self.by_pod.remove(&pod) else { return Change::AlreadySo };
        self.by_host.remove(&host);
        self.mark(host, false);
        Change::Made
    }

    /// The lease a pod holds.
    #[must_use]
    pub fn get(&self, pod: Uuid) -> Option<Lease> {
        self.by_pod.get(&pod).map(|&host| self.lease(host))
    }

    /// How many leases there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_pod.len()
    }

    /// Whether nothing is leased.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_pod.is_empty()
    }

    fn take(&mut self, pod: Uuid, host: u32) -> Result<Change, LeaseError> {
        let address = self.lease(host).v4;
        match self.by_pod.get(&pod) {
            Some(&held) if held == host => return Ok(Change::AlreadySo),
            Some(&held) => return Err(LeaseError::Holding { pod, held: self.lease(held).v4, address }),
            None => {}
        }
        if let Some(&holder) = self.by_host.get(&host) {
            return Err(LeaseError::Taken { pod, address, holder });
        }
        self.mark(host, true);
        self.by_host.insert(host, pod);
        self.by_pod.insert(pod, host);
        Ok(Change::Made)
    }

    fn host_of(&self, pod: Uuid, address: Ipv4Addr) -> Result<u32, LeaseError> {
        let outside = |why| LeaseError::Outside { pod, address, subnet: self.v4, why };
        if !self.v4.contains(&address) {
            return Err(outside("it is outside"));
        }
        let host = u32::from(address) - u32::from(self.v4.network());
        match host {
            0 => Err(outside("it names the network")),
            1 => Err(outside("it is the gateway's")),
            h if h == size_of_subnet(self.v4) - 1 => Err(outside("it is the broadcast address")),
            h => Ok(h),
        }
    }

    fn lease(&self, host: u32) -> Lease {
        let v4 = Ipv4Addr::from(u32::from(self.v4.network()) + host);
        let v6 = Ipv6Addr::from(u128::from(self.v6.network()) | u128::from(u32::from(v4)));
        Lease { v4, v6, mac: mac_of(v4) }
    }

    fn mark(&mut self, host: u32, taken: bool) {
        let (word, bit) = (host as usize / 64, 1u64 << (host % 64));
        if taken {
            self.taken[word] |= bit;
        } else {
            self.taken[word] &= !bit;
        }
    }

    /// The first free host at or after `wish`, round the end.
    fn free_near(&self, wish: u64) -> Option<u32> {
        let start = (wish % u64::from(size_of_subnet(self.v4))) as u32;
        let words = self.taken.len();
        let first = start as usize / 64;
        let below = (1u64 << (start % 64)) - 1;
        (0..=words).find_map(|step| {
            let word = (first + step) % words;
            let hidden = if step == 0 { below } else { 0 };
            let free = !(self.taken[word] | hidden);
            (free != 0).then(|| word as u32 * 64 + free.trailing_zeros())
        })
    }
}

fn size_of_subnet(net: Ipv4Net) -> u32 {
    1 << (32 - net.prefix_len())
}

/// Where a pod's search starts: all bits of the UUID mixed (the finalizer of SplitMix64), for not every UUID is random.
fn preference(pod: Uuid) -> u64 {
    let (hi, lo) = pod.as_u64_pair();
    let mut x = hi ^ lo.rotate_left(17);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;
