//! What the daemon and its clients share.
//!
//! ```text
//! manifest (YAML) --manifest::parse--> PodSpec --> the daemon
//! PodId, object paths (ids)   states as strings on the bus (state)
//! error names on the bus (error)   typed client proxies (proxy)
//! ```
//!
//! Nothing here does I/O: parsers take `&str`, and the proxies are generated types.

pub mod capability;
pub mod error;
pub mod ids;
#[cfg(feature = "manifest")]
pub mod manifest;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod quantity;
pub mod signal;
pub mod spec;
pub mod state;
