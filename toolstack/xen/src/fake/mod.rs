//! Xen in memory, for tests: of this crate, and of everything built on it.
//!
//! - [`FakeHypervisor`]: domains, their memory and their life, and what happens to them from outside.
//! - [`FaultPlan`]: where it goes wrong. One plan can be shared with the fakes of other things.
//! - [`FakeGrants`], [`FakeEvents`]: shared pages and event channels between two ends in one process.
//!
//! The fake store is [`crate::xenstore::fake`].

mod devices;
mod hypervisor;
mod plan;

pub use devices::{FakeEvents, FakeGrants};
pub use hypervisor::{DomainEvent, FakeHypervisor};
pub use plan::{FaultPlan, Step};
