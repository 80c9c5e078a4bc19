//! The time, in the units the record and the log use.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since the epoch.
#[must_use]
pub fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX))
}

/// Microseconds since the epoch: what the bus shows.
#[must_use]
pub fn now_usec() -> u64 {
    now_ns() / 1000
}
