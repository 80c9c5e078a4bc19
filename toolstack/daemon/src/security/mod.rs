//! What a container may do: its capabilities and its system call filter, as container engines set them by default.

mod caps;
pub mod seccomp;

pub use caps::capabilities;
