//! What can go wrong with the hypervisor.

use std::fmt;
use std::io;

use crate::ids::{DomainRef, DomainUuid, Domid};
use crate::kernel::KernelError;

/// An error number of the kernel or of Xen (they use the same).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// The calling thread's `errno`.
    pub fn last() -> Self {
        Errno(io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// What a person can do about it, where the number alone tells.
    fn hint(self) -> &'static str {
        match rustix::io::Errno::from_raw_os_error(self.0) {
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => "; this needs root in dom0",
            rustix::io::Errno::NOSYS => "; this Xen is another version than its tools, or not the control domain's",
            rustix::io::Errno::SRCH => "; the domain has gone",
            rustix::io::Errno::NOMEM => "; Xen is out of memory: see `xl info` for what is free",
            _ => "",
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(f)?;
        f.write_str(self.hint())
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({})", self.0)
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        Errno(errno.raw_os_error())
    }
}

/// A hypervisor call that did not do what it was asked.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HypervisorError {
    /// There is no Xen under this kernel, or this is not its control domain.
    #[error(
        "Xen is not available: {reason}; xenpod needs a Xen dom0 with the xen-privcmd module, see `xenpodctl doctor`"
    )]
    Unavailable {
        /// What failed first.
        reason: String,
    },
    /// The host is too small, now, for the domain that was asked for.
    #[error("not enough memory: {needed_kib} KiB are needed, {free_kib} KiB are free; stop a domain or shrink dom0")]
    NotEnoughMemory {
        /// What the domain and Xen's bookkeeping for it take.
        needed_kib: u64,
        /// What belongs to nobody.
        free_kib: u64,
    },
    /// No domain has this number and this UUID.
    #[error("domain {0} does not exist")]
    NoSuchDomain(DomainRef),
    /// A domain with this UUID is there already. Only the fake looks: Xen takes any number of domains of one UUID, so the
    /// caller sees to it that it uses none twice.
    #[error("a domain with the UUID {0} exists already")]
    Exists(DomainUuid),
    /// The configuration cannot work on any host.
    #[error("domain {name}: {what}")]
    BadConfig {
        /// The domain's name.
        name: String,
        /// What is wrong with which value, and what would be right.
        what: String,
    },
    /// The kernel cannot be loaded.
    #[error("domain {name}: {source}")]
    Kernel {
        /// The domain's name.
        name: String,
        /// Why not.
        source: KernelError,
    },
    /// Xen, or the kernel's driver for it, refused a call.
    #[error("{call}{}: {errno}", on(.domid))]
    Call {
        /// The call as libxc names it.
        call: &'static str,
        /// The domain it was about.
        domid: Option<Domid>,
        /// Why.
        errno: Errno,
    },
}

fn on(domid: &Option<Domid>) -> String {
    domid.map(|domid| format!(" on domain {domid}")).unwrap_or_default()
}
