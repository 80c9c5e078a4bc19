//! What a domain of ours looks like in the store, as plain values: lists of changes, made by pure functions.
//!
//! A domain's start waits for these changes, and each costs xenstored and its watchers a round: a node under `backend/`
//! makes the kernel of dom0 ask back. So [`DomainTree::ops`] is what the domain, its backends, xenconsoled and
//! `xl list|destroy|shutdown|console` cannot do without; what only listings show is in [`DomainTree::late_ops`], to be
//! written when the domain runs. Against what libxl writes:
//!
//! - **No console backend.** xenconsoled looks at `console/{port,ring-ref,type,limit}` and nothing else; the node
//!   `backend/console/N/0` only makes dom0's kernel invent a device for it, and is what `xl destroy` may leave behind.
//! - **One permission per directory**, set before anything is written below it, since nodes inherit
//!   ([`perms`](super::perms)). The guest owns `control`, `data` and `device` whole: nothing in there is ever read as truth.
//! - The state of a backend is written last, so that the tree is sound without a transaction too.
//!
//! Our mark is `/xenpod/domains/UUID`, whose value is the domain number: one listing finds all that is ours.

mod device;
mod teardown;

pub use device::{DeviceId, DeviceKind, Mac, Mode, ParseMacError, Vbd, Vif, VirtualDisk};
pub use teardown::{backend_removal, close_devices, remove_domain};

use super::op::Op;
use super::perms::Perms;
use crate::ids::{DomainUuid, Domid};

/// Where our marks are: one node per domain, named by its UUID, with its number.
pub const MARKS: &str = "/xenpod/domains";

/// What xenconsoled keeps of a console nobody reads, in bytes; libxl's own default (`LIBXL_XENCONSOLE_LIMIT`).
const CONSOLE_LIMIT: u32 = 1 << 20;

/// A page of the domain shared with dom0, and the event channel that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// The page's guest frame number.
    pub gfn: u64,
    /// The port, at the domain's end.
    pub port: u32,
}

/// What is written of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainTree {
    /// Its number.
    pub domid: Domid,
    /// Its UUID.
    pub uuid: DomainUuid,
    /// Its name, as `xl list` shows it.
    pub name: String,
    /// The most memory it may get, in KiB.
    pub memory_max_kib: u64,
    /// The memory it has now, in KiB.
    pub memory_kib: u64,
    /// The vCPUs that are online now.
    pub vcpus: u32,
    /// The most vCPUs it may get.
    pub max_vcpus: u32,
    /// Its way to xenstored.
    pub store: Ring,
    /// Its way to xenconsoled.
    pub console: Ring,
    /// Its network interfaces.
    pub vifs: Vec<Vif>,
    /// Its disks.
    pub vbds: Vec<Vbd>,
}

impl DomainTree {
    /// What must be there before the domain is introduced, in order.
    pub fn ops(&self) -> Vec<Op> {
        let domid = self.domid;
        let own = domain_path(domid);
        let node = |name: &str| format!("{own}/{name}");
        let mut ops = vec![
            Op::write(mark_path(self.uuid), domid),
            Op::mkdir(&own),
            Op::set_perms(&own, Perms::readable_by(domid)),
            Op::write(node("name"), &self.name),
            Op::write(node("domid"), domid),
            Op::write(node("memory/static-max"), self.memory_max_kib),
            Op::write(node("memory/target"), self.memory_kib),
            Op::write(node("console/type"), "xenconsoled"),
            Op::write(node("console/limit"), CONSOLE_LIMIT),
            Op::write(node("console/port"), self.console.port),
            Op::write(node("console/ring-ref"), self.console.gfn),
        ];
        ops.extend((0..self.max_vcpus).map(|cpu| availability(domid, cpu, cpu < self.vcpus)));
        for owned in ["control", "data", "device"] {
            ops.push(Op::mkdir(node(owned)));
            ops.push(Op::set_perms(node(owned), Perms::owned_by(domid)));
        }
        ops.push(Op::write(format!("{}/type", libxl_path(domid)), "pvh"));
        let kinds = [(DeviceKind::Vif, self.vifs.is_empty()), (DeviceKind::Vbd, self.vbds.is_empty())];
        for (kind, _) in kinds.into_iter().filter(|(_, empty)| !empty) {
            ops.extend(device::backend_dir(domid, kind));
        }
        ops.extend(self.vifs.iter().flat_map(|vif| vif.ops_in_dir(domid)));
        ops.extend(self.vbds.iter().flat_map(|vbd| vbd.ops_in_dir(domid)));
        ops
    }

    /// Its devices.
    pub fn devices(&self) -> Vec<DeviceId> {
        let vifs = self.vifs.iter().map(|vif| vif.id(self.domid));
        vifs.chain(self.vbds.iter().map(|vbd| vbd.id(self.domid))).collect()
    }

    /// What people and tools look for in a domain that runs; nothing works less without it.
    pub fn late_ops(&self) -> Vec<Op> {
        let own = domain_path(self.domid);
        let vm = vm_path(self.uuid);
        let mut ops = vec![
            Op::mkdir(&vm),
            Op::set_perms(&vm, Perms::readable_by(self.domid)),
            Op::write(format!("{vm}/uuid"), self.uuid),
            Op::write(format!("{vm}/name"), &self.name),
            Op::write(format!("{own}/vm"), &vm),
            Op::write(format!("{own}/store/port"), self.store.port),
            Op::write(format!("{own}/store/ring-ref"), self.store.gfn),
            Op::write(format!("{own}/console/output"), "pty"),
        ];
        ops.extend(self.vifs.iter().flat_map(|vif| vif.late_ops(self.domid)));
        ops.extend(self.vbds.iter().flat_map(|vbd| vbd.late_ops(self.domid)));
        ops
    }
}

/// Takes a vCPU of a running domain on line or off; the guest's kernel watches it.
pub fn availability(domid: Domid, cpu: u32, online: bool) -> Op {
    Op::write(format!("{}/cpu/{cpu}/availability", domain_path(domid)), if online { "online" } else { "offline" })
}

/// Tells the balloon driver of a running domain how much memory it should keep, in KiB.
pub fn memory_target(domid: Domid, kib: u64) -> Op {
    Op::write(format!("{}/memory/target", domain_path(domid)), kib)
}

/// What a domain that runs is called from now on.
pub fn names(domid: Domid, uuid: DomainUuid, name: &str) -> Vec<Op> {
    vec![Op::write(format!("{}/name", domain_path(domid)), name), Op::write(format!("{}/name", vm_path(uuid)), name)]
}

/// A domain's directory.
pub fn domain_path(domid: Domid) -> String {
    format!("/local/domain/{domid}")
}

/// Where libxl keeps what it alone may write about a domain.
pub fn libxl_path(domid: Domid) -> String {
    format!("/libxl/{domid}")
}

/// A domain's directory by UUID.
pub fn vm_path(uuid: DomainUuid) -> String {
    format!("/vm/{uuid}")
}

/// Our mark of a domain.
pub fn mark_path(uuid: DomainUuid) -> String {
    format!("{MARKS}/{uuid}")
}

/// Where the guest leaves what is needed to reach it: a directory below its `data`, which it makes itself.
pub fn rendezvous_path(domid: Domid) -> String {
    format!("{}/data/xenpod", domain_path(domid))
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
