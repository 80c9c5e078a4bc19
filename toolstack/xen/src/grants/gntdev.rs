//! `/dev/xen/gntdev`: pages of another domain, mapped here.

use std::fs::OpenOptions;
use std::io;

use super::mapping::Mapping;
use super::{GrantMaps, GrantRef, SharedPages, UnmapNotify};
use crate::ids::Domid;
use crate::ioctl::{self, ioc_none};

// The size is that of the C structure with its one-element array and padding (xen/sys/gntdev.h).
const MAP_GRANT_REF: u32 = ioc_none(b'G', 0, 24);

/// The kernel's xen-gntdev driver.
#[derive(Clone, Copy, Debug, Default)]
pub struct GntdevDevice;

impl GntdevDevice {
    /// Where it is.
    pub const PATH: &'static str = "/dev/xen/gntdev";
}

impl GrantMaps for GntdevDevice {
    fn map(&self, peer: Domid, refs: &[GrantRef], notify: Option<UnmapNotify>) -> io::Result<SharedPages> {
        let file = OpenOptions::new().read(true).write(true).open(Self::PATH)?;

        // struct ioctl_gntdev_map_grant_ref as 64-bit words: {u32 count, u32 pad}, {u64 index}, {u32 domid, u32 ref}[]
        let mut argument = vec![refs.len() as u64, 0];
        argument.extend(refs.iter().map(|&gref| u64::from(peer.0) | u64::from(gref) << 32));
        // SAFETY: the driver reads the count and that many pairs, and writes the index.
        unsafe { ioctl::call(&file, MAP_GRANT_REF, argument.as_mut_slice()) }?;
        let index = argument[1];

        // The descriptor is ours alone: closing it after the unmap releases the grants.
        let mapping = Mapping::new(file, index, refs.len())?;
        if let Some(notify) = notify {
            mapping.notify_on_unmap(notify)?;
        }
        Ok(mapping.into_pages())
    }
}
