//! Our nf_tables tables: the fixed rules (`ruleset`), the per-pod elements of their sets (`pins`), and the socket that
//! carries both (`socket`), over typed netlink messages (`expr` has short forms of the expressions); `watch` tells when
//! somebody took the tables away.
//!
//! The rules are made once. A pod is only elements in hash sets, so neither a packet's cost nor a pod's set-up depends on
//! how many pods there are. No other table is ever read or written.

pub(crate) mod expr;
pub(crate) mod pins;
pub(crate) mod ruleset;
pub(crate) mod socket;
pub(crate) mod watch;

/// Name of our tables, in the `bridge` and the `inet` family.
pub const TABLE: &str = "xenpod";
