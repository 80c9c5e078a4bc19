//! Event channels: one bit of signal between two domains, through `/dev/xen/evtchn`.
//!
//! Linux delivers a fired channel as a readable descriptor and masks it until it is written back. So the order is
//! always: [`EventChannel::clear`] (which unmasks), *then* look at the shared memory; the other way round loses a
//! signal that falls between the two.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use crate::ids::Domid;
use crate::ioctl::{self, ioc_none};

/// A port: a domain's own number for one end of an event channel.
pub type Port = u32;

/// Makes event channels.
pub trait EventChannels: Send + Sync {
    /// Binds to a port that `remote` has offered to this domain.
    fn bind_interdomain(&self, remote: Domid, remote_port: Port) -> io::Result<Box<dyn EventChannel>>;

    /// Offers a new port to `remote`.
    fn alloc_unbound(&self, remote: Domid) -> io::Result<Box<dyn EventChannel>>;
}

/// This domain's end of one event channel; closed when dropped.
pub trait EventChannel: Send + Sync + AsFd {
    /// Its port in this domain.
    fn port(&self) -> Port;

    /// Signals the other end.
    fn notify(&self) -> io::Result<()>;

    /// Takes a signal that has arrived and lets the next one through. Does not block; false when there was none.
    /// The descriptor (`as_fd`) is readable while there is one to take.
    fn clear(&self) -> io::Result<bool>;
}

const BIND_INTERDOMAIN: u32 = ioc_none(b'E', 1, 8);
const BIND_UNBOUND_PORT: u32 = ioc_none(b'E', 2, 4);
const NOTIFY: u32 = ioc_none(b'E', 4, 4);

/// `/dev/xen/evtchn`. Every channel gets a descriptor of its own, so that each can be waited for alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct EvtchnDevice;

impl EvtchnDevice {
    /// Where the kernel's xen-evtchn driver is.
    pub const PATH: &'static str = "/dev/xen/evtchn";

    fn open() -> io::Result<File> {
        let flags = (rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC).bits() as i32;
        OpenOptions::new().read(true).write(true).custom_flags(flags).open(Self::PATH)
    }
}

impl EventChannels for EvtchnDevice {
    fn bind_interdomain(&self, remote: Domid, remote_port: Port) -> io::Result<Box<dyn EventChannel>> {
        let file = Self::open()?;
        let mut argument = [u32::from(remote.0), remote_port];
        // SAFETY: struct ioctl_evtchn_bind_interdomain is two unsigned ints, read only during the call.
        let port = unsafe { ioctl::call(&file, BIND_INTERDOMAIN, &mut argument) }?;
        Ok(Box::new(BoundPort { file, port: port as Port }))
    }

    fn alloc_unbound(&self, remote: Domid) -> io::Result<Box<dyn EventChannel>> {
        let file = Self::open()?;
        let mut argument = [u32::from(remote.0)];
        // SAFETY: struct ioctl_evtchn_bind_unbound_port is one unsigned int, read only during the call.
        let port = unsafe { ioctl::call(&file, BIND_UNBOUND_PORT, &mut argument) }?;
        Ok(Box::new(BoundPort { file, port: port as Port }))
    }
}

/// One port bound on a descriptor of its own; closing the descriptor closes the port.
struct BoundPort {
    file: File,
    port: Port,
}

impl AsFd for BoundPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl EventChannel for BoundPort {
    fn port(&self) -> Port {
        self.port
    }

    fn notify(&self) -> io::Result<()> {
        let mut argument = [self.port];
        // SAFETY: struct ioctl_evtchn_notify is one unsigned int, read only during the call.
        unsafe { ioctl::call(&self.file, NOTIFY, &mut argument) }?;
        Ok(())
    }

    fn clear(&self) -> io::Result<bool> {
        // Only one port is bound here, so at most one entry is queued: it is masked until it is written back.
        let mut fired = [0u8; 4];
        match rustix::io::read(&self.file, &mut fired) {
            Ok(4) => {
                rustix::io::write(&self.file, &fired)?;
                Ok(true)
            }
            Ok(other) => Err(io::Error::other(format!("{}: read {other} bytes of a port number", EvtchnDevice::PATH))),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}
