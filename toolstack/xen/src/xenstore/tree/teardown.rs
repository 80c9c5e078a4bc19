//! How devices and domains leave the store.
//!
//! The frontend directory goes first: a backend whose frontend is there waits for it, and that of a paused or dead domain
//! never answers. Then the backend is told, reaches `Closed` by itself, and only then may its directory go and the domain
//! be destroyed; otherwise pages of the domain stay mapped in dom0 and it remains as a zombie.

use super::device::{DeviceId, DeviceKind};
use super::{domain_path, libxl_path, mark_path, vm_path};
use crate::ids::{DomainUuid, Domid};
use crate::xenstore::guest::State;
use crate::xenstore::op::Op;

/// Tells the backends of these devices to close; to be one transaction. Afterwards each backend's state becomes 6, or its
/// directory goes. Only for devices whose backend directory is there: the changes would make one that is not.
pub fn close_devices<'a>(devices: impl IntoIterator<Item = &'a DeviceId>) -> Vec<Op> {
    let close = |device: &DeviceId| {
        [
            Op::rm(device.frontend()),
            Op::write(format!("{}/online", device.backend()), 0),
            Op::write(device.backend_state(), State::Closing.as_str()),
        ]
    };
    devices.into_iter().flat_map(close).collect()
}

/// Removes what is left of one device when its backend is closed.
pub fn backend_removal(device: &DeviceId) -> Vec<Op> {
    vec![Op::rm(device.frontend()), Op::rm(device.backend()), Op::rm(device.libxl())]
}

/// Removes a domain's whole tree, when its devices are closed and it is destroyed. Our mark goes last: until then what is
/// left can be found again.
pub fn remove_domain(domid: Domid, uuid: DomainUuid) -> Vec<Op> {
    let mut ops = vec![Op::rm(domain_path(domid)), Op::rm(libxl_path(domid)), Op::rm(vm_path(uuid))];
    ops.extend(DeviceKind::ALL.map(|kind| Op::rm(kind.backends(domid))));
    ops.push(Op::rm(mark_path(uuid)));
    ops
}
