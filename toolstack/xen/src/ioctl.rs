//! The one way this crate makes an `ioctl`.

use std::ffi::c_void;
use std::io;
use std::os::fd::AsFd;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode};

/// `_IOC(_IOC_NONE, group, number, size)`: what all of Linux's Xen devices use, though most of their calls have an
/// argument that is read or written.
pub(crate) const fn ioc_none(group: u8, number: u8, size: u32) -> u32 {
    size << 16 | (group as u32) << 8 | number as u32
}

struct Call(Opcode, *mut c_void);

// SAFETY: the opcode and the pointer are passed on as given to `call`, whose caller vouches for them.
unsafe impl Ioctl for Call {
    type Output = i32;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.0
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.1
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<i32> {
        Ok(output)
    }
}

/// Calls `opcode` with `argument` and returns the (non-negative) result.
///
/// # Safety
/// `argument` must be, in full, what the driver behind `fd` reads and writes for `opcode`, and every address in it must
/// be valid for what the driver does with it.
pub(crate) unsafe fn call<T: ?Sized>(fd: impl AsFd, opcode: u32, argument: &mut T) -> io::Result<i32> {
    let call = Call(opcode as Opcode, std::ptr::from_mut(argument).cast());
    // SAFETY: promised by the caller.
    Ok(unsafe { rustix::ioctl::ioctl(fd, call) }?)
}
