//! How a running pod gets another size: what is possible, and in which steps. Pure functions of what is seen.
//!
//! ```text
//! grow    the domain may own more -> its guest is asked to take it, a step at a time
//! shrink  the guest is asked to give back, a step at a time, while it can -> the domain may own less
//! ```
//!
//! A guest is never asked for more than it can give without its containers missing it, and gets no more at once than it has
//! room to keep account of.

use super::jobs::Job;
use crate::journal::ResizeRecord;

/// KiB in a MiB.
pub const MIB: u64 = 1024;
/// What the guest hot-adds at a time (`SECTION_SIZE_BITS` of its kernel), in MiB.
const SECTION_MIB: u64 = 8;
/// How much of its memory is asked back in one step, in MiB.
const STEP_MIB: u64 = 16;

/// What a domain has, and may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DomainSize {
    /// Memory that it owns, in KiB.
    pub memory_kib: u64,
    /// vCPUs that are up.
    pub vcpus: u32,
}

impl ResizeRecord {
    /// The size that a domain has, in KiB.
    #[must_use]
    pub fn have(&self, size: DomainSize) -> u64 {
        size.memory_kib.saturating_add_signed(self.apart_kib)
    }
}

/// A request for another size.
#[derive(Debug)]
pub struct SizeRequest {
    /// Memory in MiB, if it is to change.
    pub memory_mib: Option<u64>,
    /// vCPUs, if they are to change.
    pub vcpus: Option<u32>,
    /// Seconds that it may take at most.
    pub wait_seconds: u32,
    /// The job to end. It is told what was reached.
    pub job: Job,
}

/// Memory that the guest keeps free for its containers while it shrinks, in KiB, at this size.
#[must_use]
pub fn reserve_kib(have_kib: u64) -> u64 {
    (4 * MIB).max(have_kib / 32)
}

/// The size below which a guest cannot shrink now, in MiB: what it has, less what it has available, but for the reserve.
#[must_use]
pub fn least_mib(have_kib: u64, available_kib: u64) -> u64 {
    let spare = available_kib.saturating_sub(reserve_kib(have_kib));
    have_kib.saturating_sub(spare).div_ceil(MIB)
}

/// The next size on the way up, in MiB. The guest's kernel keeps 64 bytes of account of each page of 4 KiB, from what it has:
/// a quarter of what is available is used for that.
#[must_use]
pub fn step_up(at_mib: u64, wanted_mib: u64, available_kib: u64) -> u64 {
    let most = (available_kib / 4).saturating_mul(64) / MIB;
    wanted_mib.min(at_mib.saturating_add(most.max(SECTION_MIB)))
}

/// The next size on the way down, in MiB; `None` when the guest would have too little left.
#[must_use]
pub fn step_down(have_kib: u64, wanted_mib: u64, available_kib: u64) -> Option<u64> {
    let at_mib = have_kib.div_ceil(MIB);
    let least = least_mib(have_kib, available_kib);
    let next = at_mib.saturating_sub(STEP_MIB).max(least).max(wanted_mib);
    (next < at_mib).then_some(next)
}

#[cfg(test)]
#[path = "resize_tests.rs"]
mod tests;
