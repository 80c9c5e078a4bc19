//! What libxl wants to know of a domain that it did not make, so that `xl list -l`, `xl save` and `xl migrate` work on it:
//! its configuration as JSON, in the file where libxl would have left it.
//!
//! Never on the path of a start: a domain without it runs as well, and the other commands of `xl` do not look. Nothing
//! here is read back: what xenpod knows of a domain is in its own records.

use std::ffi::{CStr, CString, c_int};
use std::path::Path;
use std::{fs, io, ptr};

use libxl_sys as xl;
use serde_json::{Value, json};

use crate::ids::DomainRef;
use crate::xenstore::tree::{Vbd, Vif};

/// Where libxl keeps it (`XEN_LIB_DIR`), as `userdata-?.DOMID.UUID.NAME`.
const FOLDER: &str = "/var/lib/xen";
/// The name under which libxl looks for it.
const USERDATA: &CStr = c"libxl-json";

/// libxl refused.
#[derive(Debug, thiserror::Error)]
pub enum LibxlError {
    /// One of its calls failed.
    #[error("{call} on domain {domain}: libxl error {code} (\"xl list -l\" will not show the domain)")]
    Call {
        /// The call.
        call: &'static str,
        /// The domain it was about.
        domain: DomainRef,
        /// libxl's code (`ERROR_*`, libxl.h).
        code: i32,
    },
    /// A text has a zero byte.
    #[error("domain {0}: a zero byte in its description")]
    ZeroByte(DomainRef),
}

/// What is told.
#[derive(Clone, Debug)]
pub struct Description<'a> {
    /// Its name.
    pub name: &'a str,
    /// CPUs that it has and may have.
    pub vcpus: u32,
    /// The most it may have.
    pub max_vcpus: u32,
    /// Memory, in KiB.
    pub memory_kib: u64,
    /// The most it may have, in KiB.
    pub max_memory_kib: u64,
    /// The kernel's file.
    pub kernel: &'a Path,
    /// The boot image's.
    pub boot_image: Option<&'a Path>,
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// Its network interfaces.
    pub vifs: &'a [Vif],
    /// Its disks.
    pub vbds: &'a [Vbd],
}

impl Description<'_> {
    /// In libxl's form: a `libxl_domain_config` (libxl_types.idl), without what has its default.
    fn json(&self, domain: DomainRef) -> Value {
        let disk = |vbd: &Vbd| {
            json!({
                "pdev_path": vbd.source,
                "vdev": vbd.disk.name(),
                "backend": "phy",
                "format": "raw",
                "readwrite": i32::from(vbd.mode == crate::xenstore::tree::Mode::ReadWrite),
            })
        };
        let nic = |vif: &Vif| json!({ "devid": vif.index, "mac": vif.mac.to_string(), "nictype": "vif", "script": "" });
        json!({
            "c_info": {
                "type": "pvh",
                "name": self.name,
                "uuid": domain.uuid.to_string(),
                "run_hotplug_scripts": "False",
            },
            "b_info": {
                "max_vcpus": self.max_vcpus,
                "avail_vcpus": (0..self.vcpus).collect::<Vec<_>>(),
                "max_memkb": self.max_memory_kib,
                "target_memkb": self.memory_kib,
                "kernel": self.kernel.display().to_string(),
                "ramdisk": self.boot_image.map(|path| path.display().to_string()),
                "cmdline": self.cmdline,
                "type.pvh": {},
            },
            "disks": self.vbds.iter().map(disk).collect::<Vec<_>>(),
            "nics": self.vifs.iter().map(nic).collect::<Vec<_>>(),
            // Stopping and starting again is xenpod's business.
            "on_poweroff": "preserve",
            "on_reboot": "preserve",
            "on_crash": "preserve",
        })
    }
}

/// Leaves a domain's description for libxl. The domain must exist. Blocks.
///
/// # Errors
/// [`LibxlError::Call`] when libxl does not take it.
pub fn describe(domain: DomainRef, description: &Description<'_>) -> Result<(), LibxlError> {
    let json = CString::new(description.json(domain).to_string()).map_err(|_| LibxlError::ZeroByte(domain))?;
    let context = Context::open(domain)?;
    // libxl reads our JSON and writes its own: whole, with its defaults, in the form of the installed version.
    let canonical = context.canonical(&json)?;
    let bytes = canonical.to_bytes_with_nul();
    // SAFETY: the bytes are as many as said and only read; the name ends in a zero byte.
    let code = unsafe {
        xl::libxl_userdata_store(
            context.raw,
            domain.domid.0.into(),
            USERDATA.as_ptr(),
            bytes.as_ptr(),
            bytes.len() as c_int,
        )
    };
    context.check("libxl_userdata_store", code)
}

/// Removes what libxl has kept about a domain, by [`describe`] or for commands of `xl`. The domain may be gone.
///
/// # Errors
/// The folder cannot be read, or a file in it not be removed.
pub fn forget(domain: DomainRef) -> io::Result<()> {
    forget_in(Path::new(FOLDER), domain)
}

fn forget_in(folder: &Path, domain: DomainRef) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    let middle = format!(".{}.{}.", domain.domid, domain.uuid);
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if name.starts_with("userdata-") && name.contains(&middle) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// A libxl context, for one domain's errors.
struct Context {
    raw: *mut xl::libxl_ctx,
    domain: DomainRef,
    _silence: Box<xl::xentoollog_logger>,
}

impl Context {
    fn open(domain: DomainRef) -> Result<Self, LibxlError> {
        let mut silence = Box::new(crate::libxc::silent_logger());
        let mut raw = ptr::null_mut();
        // SAFETY: the logger outlives the context, which Drop frees first.
        let code = unsafe { xl::libxl_ctx_alloc(&mut raw, xl::LIBXL_VERSION as c_int, 0, &raw mut *silence) };
        match code {
            0 => Ok(Context { raw, domain, _silence: silence }),
            code => Err(LibxlError::Call { call: "libxl_ctx_alloc", domain, code }),
        }
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<(), LibxlError> {
        if code == 0 { Ok(()) } else { Err(LibxlError::Call { call, domain: self.domain, code }) }
    }

    fn canonical(&self, json: &CStr) -> Result<CString, LibxlError> {
        let mut config = std::mem::MaybeUninit::uninit();
        // SAFETY: init makes the structure whole; it is disposed of below, once.
        unsafe { xl::libxl_domain_config_init(config.as_mut_ptr()) };
        // SAFETY: initialised above; the JSON ends in a zero byte.
        let code = unsafe { xl::libxl_domain_config_from_json(self.raw, config.as_mut_ptr(), json.as_ptr()) };
        let result = self.check("libxl_domain_config_from_json", code).and_then(|()| {
            // SAFETY: as above.
            let text = unsafe { xl::libxl_domain_config_to_json(self.raw, config.as_mut_ptr()) };
            if text.is_null() {
                self.check("libxl_domain_config_to_json", -1)?;
            }
            // SAFETY: a string from malloc, ending in a zero byte, that is ours to free.
            let owned = unsafe { CStr::from_ptr(text) }.to_owned();
            // SAFETY: as above; not used again.
            unsafe { xl::free(text.cast()) };
            Ok(owned)
        });
        // SAFETY: initialised above, not used again.
        unsafe { xl::libxl_domain_config_dispose(config.as_mut_ptr()) };
        result
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: allocated in `open`, freed once.
        unsafe { xl::libxl_ctx_free(self.raw) };
    }
}

#[cfg(test)]
#[path = "libxl_tests.rs"]
mod tests;
