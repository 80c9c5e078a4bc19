//! libxc's handles: opened when first needed, used by one thread at a time, kept for the next.

use std::ffi::{c_char, c_int, c_void};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

use libxl_sys as xl;
use xenctrl_sys as xc;

use crate::hypervisor::{Errno, HypervisorError, Result};
use crate::ids::Domid;

/// Handles that nobody uses now. A slow call holds only its own.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Handle>>);

/// How many idle handles are kept; each is a few descriptors and pages.
const KEPT: usize = 4;

impl Pool {
    pub fn take(&self) -> Result<Lease<'_>> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let handle = match idle {
            Some(handle) => handle,
            None => Handle::open()?,
        };
        Ok(Lease { handle: Some(handle), pool: self })
    }
}

/// A handle from the pool, returned to it when dropped.
pub(super) struct Lease<'a> {
    handle: Option<Handle>,
    pool: &'a Pool,
}

impl Deref for Lease<'_> {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        // Empty only while it is dropped.
        self.handle.as_ref().expect("a lease holds its handle until it is dropped")
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        let mut idle = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = self.handle.take()
            && idle.len() < KEPT
        {
            idle.push(handle);
        }
    }
}

/// libxenctrl's and libxenforeignmemory's handle together.
pub(super) struct Handle {
    interface: NonNull<xc::xc_interface>,
    memory: NonNull<xl::xenforeignmemory_handle>,
    _silence: Box<xl::xentoollog_logger>,
}

// SAFETY: the C handles may be used from any thread, one at a time; `Handle` is not Sync, and the pool gives each to one
// user at a time.
unsafe impl Send for Handle {}

impl Handle {
    fn open() -> Result<Self> {
        let unavailable = |what: &str| HypervisorError::Unavailable { reason: format!("{what}: {}", Errno::last()) };
        // Every failure is reported by the caller of this crate; libxc's own lines on stderr would be a second voice.
        let mut silence = Box::new(silent_logger());
        // SAFETY: the logger outlives the handle: both live in Handle, and its Drop closes the handle first.
        let interface = unsafe {
            let logger: *mut xl::xentoollog_logger = &raw mut *silence;
            xc::xc_interface_open(logger.cast(), logger.cast(), 0)
        };
        let interface =
            NonNull::new(interface).ok_or_else(|| unavailable("cannot open /dev/xen/privcmd for hypercalls"))?;
        // SAFETY: as above; the C type is the same under both bindings.
        let memory = unsafe { xl::xenforeignmemory_open(&raw mut *silence, 0) };
        let Some(memory) = NonNull::new(memory) else {
            let error = unavailable("cannot open /dev/xen/privcmd for memory");
            // SAFETY: opened above and not used again.
            unsafe { xc::xc_interface_close(interface.as_ptr()) };
            return Err(error);
        };
        Ok(Handle { interface, memory, _silence: silence })
    }

    /// For libxenctrl.
    pub fn xc(&self) -> *mut xc::xc_interface {
        self.interface.as_ptr()
    }

    /// For what `libxl-sys` binds.
    pub fn xl(&self) -> *mut c_void {
        self.interface.as_ptr().cast()
    }

    /// For libxenforeignmemory.
    pub fn memory(&self) -> *mut xl::xenforeignmemory_handle {
        self.memory.as_ptr()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: both were opened in `open`, are closed once, and nothing made with them outlives the lease.
        unsafe {
            xl::xenforeignmemory_close(self.memory.as_ptr());
            xc::xc_interface_close(self.interface.as_ptr());
        }
    }
}

/// Turns libxc's "negative, and errno" into an error.
pub(super) fn check(call: &'static str, domid: impl Into<Option<Domid>>, result: c_int) -> Result<u32> {
    if result >= 0 { Ok(result as u32) } else { Err(failed(call, domid)) }
}

/// The error of a call that just failed.
pub(super) fn failed(call: &'static str, domid: impl Into<Option<Domid>>) -> HypervisorError {
    HypervisorError::Call { call, domid: domid.into(), errno: Errno::last() }
}

/// A logger that says nothing. (libxl-sys's type of it: its level is an integer there, and C passes it by value.)
pub(crate) fn silent_logger() -> xl::xentoollog_logger {
    xl::xentoollog_logger { vmessage: Some(ignore_message), progress: Some(ignore_progress), destroy: None }
}

unsafe extern "C" fn ignore_message(
    _: *mut xl::xentoollog_logger,
    _: xl::xentoollog_level,
    _: c_int,
    _: *const c_char,
    _: *const c_char,
    _: *mut xl::__va_list_tag,
) {
}

unsafe extern "C" fn ignore_progress(
    _: *mut xl::xentoollog_logger,
    _: *const c_char,
    _: *const c_char,
    _: c_int,
    _: std::ffi::c_ulong,
    _: std::ffi::c_ulong,
) {
}
