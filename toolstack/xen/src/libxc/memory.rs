//! A domain's memory: giving it pages, and writing to them before it runs.

use std::ops::Range;
use std::ptr::NonNull;

use libxl_sys as xl;
use xenctrl_sys as xc;

use super::handle::{Handle, check, failed};
use crate::hypervisor::{Errno, HypervisorError, Result};
use crate::ids::Domid;
use crate::pvh::Frames;

const PAGE_SIZE: usize = 4096;

/// Sizes that Xen maps with one entry: 1 GiB, 2 MiB, 4 KiB, as powers of two of pages.
const ORDERS: [u32; 3] = [18, 9, 0];

/// Extents in one call. Xen works through them without giving the CPU away, so not too many.
const BATCH: u64 = 512;

/// Gives the domain memory at these frames, in the largest pieces Xen has.
pub(super) fn populate(handle: &Handle, domid: Domid, frames: Frames) -> Result<()> {
    let (mut next, end) = (frames.first, frames.end());
    // The largest order that has not been refused yet.
    let mut largest = ORDERS[0];
    while next < end {
        let (order, count) = next_pieces(next, end, largest);
        let mut extents: Vec<xc::xen_pfn_t> = (0..count).map(|i| next + (i << order)).collect();
        // SAFETY: the array holds `count` frame numbers, which the call may overwrite.
        let done = unsafe {
            xc::xc_domain_populate_physmap(handle.xc(), domid.0.into(), count, order, 0, extents.as_mut_ptr())
        };
        let done = u64::from(check("xc_domain_populate_physmap", domid, done)?);
        next += done << order;
        if done < count {
            // No piece of this size is left: go on with smaller ones.
            let Some(smaller) = ORDERS.into_iter().find(|smaller| *smaller < order) else {
                return Err(HypervisorError::Call {
                    call: "xc_domain_populate_physmap",
                    domid: Some(domid),
                    errno: Errno::from(rustix::io::Errno::NOMEM),
                });
            };
            largest = smaller;
        }
    }
    Ok(())
}

/// The size of the domain's paging pool.
pub(super) fn paging_kib(handle: &Handle, domid: Domid) -> Result<u64> {
    let mut bytes = 0;
    // SAFETY: the call fills in the number.
    let result = unsafe { xc::xc_get_paging_mempool_size(handle.xc(), domid.0.into(), &mut bytes) };
    check("xc_get_paging_mempool_size", domid, result)?;
    Ok(bytes / 1024)
}

/// The largest order, up to `largest`, of which a piece can begin at frame `next`, and how many of them to ask for now.
fn next_pieces(next: u64, end: u64, largest: u32) -> (u32, u64) {
    let order = ORDERS
        .into_iter()
        .find(|order| *order <= largest && next.is_multiple_of(1 << order) && end - next >= 1 << order)
        .unwrap_or(0);
    // Single pages only as far as the next larger piece can begin.
    let until = match order {
        0 if largest > 0 => end.min((next + 1).next_multiple_of(1 << ORDERS[1])),
        _ => end,
    };
    (order, ((until - next) >> order).min(BATCH))
}

/// Frames of a domain, mapped here as one piece of memory until dropped. For a domain that does not run: its memory is
/// then plain memory that nobody else changes.
///
/// Under a PV dom0 a page takes 1500 instructions to map and 2000 to unmap, so dropping is for when nobody waits. Copying to frames granted for it, without
/// mapping them (`IOCTL_GNTDEV_GRANT_COPY`), was tried and takes 4600.
pub(super) struct Foreign {
    base: NonNull<u8>,
    pages: usize,
}

// SAFETY: the mapping belongs to the process and to this value alone; any thread may use it, one at a time.
unsafe impl Send for Foreign {}

impl Foreign {
    /// Maps frames in this order, for reading and writing.
    pub fn map(handle: &Handle, domid: Domid, frames: &[xc::xen_pfn_t]) -> Result<Self> {
        let mut errors = vec![0i32; frames.len()];
        let prot = (rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE).bits() as i32;
        // SAFETY: both arrays have `frames.len()` elements; a new mapping touches no memory of ours.
        let base = unsafe {
            xl::xenforeignmemory_map(
                handle.memory(),
                domid.0.into(),
                prot,
                frames.len(),
                frames.as_ptr(),
                errors.as_mut_ptr(),
            )
        };
        let base = NonNull::new(base.cast()).ok_or_else(|| failed("xenforeignmemory_map", domid))?;
        let mapping = Foreign { base, pages: frames.len() };
        match errors.into_iter().find(|error| *error != 0) {
            None => Ok(mapping),
            Some(error) => Err(HypervisorError::Call {
                call: "xenforeignmemory_map",
                domid: Some(domid),
                errno: Errno(error.abs()),
            }),
        }
    }

    /// The bytes of these pages of the mapping.
    pub fn pages(&mut self, pages: Range<usize>) -> &mut [u8] {
        assert!(pages.start <= pages.end && pages.end <= self.pages, "{pages:?} of {} pages", self.pages);
        // SAFETY: the range lies in the mapping, which is writable and lives as long as self; the domain it belongs to
        // does not run, and nobody else knows it yet, so nothing else accesses these bytes.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.base.as_ptr().add(pages.start * PAGE_SIZE),
                (pages.end - pages.start) * PAGE_SIZE,
            )
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // What xenforeignmemory_unmap does (tools/libs/foreignmemory/linux.c), without a handle.
        // SAFETY: the mapping made in `map`, whole; the slices of it have ended with their borrow of self.
        let result = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.pages * PAGE_SIZE) };
        debug_assert_eq!(result, Ok(()), "a mapping of ours can be unmapped");
    }
}

/// Makes the two entries of a new domain's grant table that let dom0 map its console and its xenstore ring: both daemons
/// use them.
pub(super) fn seed_grants(handle: &Handle, domid: Domid, console_gfn: u64, store_gfn: u64) -> Result<()> {
    // GNTTAB_RESERVED_CONSOLE, GNTTAB_RESERVED_XENSTORE (xen/include/public/grant_table.h)
    const RESERVED: [usize; 2] = [0, 1];
    const PERMIT_ACCESS: u16 = 1;

    let prot = (rustix::mm::ProtFlags::READ | rustix::mm::ProtFlags::WRITE).bits() as i32;
    let mut address = std::ptr::null_mut();
    // SAFETY: maps the first frame of the table at an address of the kernel's choice and stores it in `address`.
    let resource = unsafe {
        xl::xenforeignmemory_map_resource(
            handle.memory(),
            domid.0,
            xl::XENMEM_resource_grant_table,
            xl::XENMEM_resource_grant_table_id_shared,
            0,
            1,
            &mut address,
            prot,
            0,
        )
    };
    if resource.is_null() {
        return Err(failed("xenforeignmemory_map_resource", domid));
    }
    for (index, gfn) in RESERVED.into_iter().zip([console_gfn, store_gfn]) {
        let entry = xl::grant_entry_v1 { flags: PERMIT_ACCESS, domid: Domid::DOM0.0, frame: gfn as u32 };
        // SAFETY: a page of version 1 entries is mapped at `address`; the domain does not run, nobody else writes there.
        unsafe { address.cast::<xl::grant_entry_v1>().add(index).write(entry) };
    }
    // SAFETY: the resource mapped above, unmapped once.
    let result = unsafe { xl::xenforeignmemory_unmap_resource(handle.memory(), resource) };
    check("xenforeignmemory_unmap_resource", domid, result)?;
    Ok(())
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
