//! The state in which a domain's CPUs start: the first at the kernel's PVH entry, the others waiting for it.

use libxl_sys as xl;
use xenctrl_sys as xc;

use super::handle::{Handle, check};
use crate::hypervisor::Result;
use crate::ids::Domid;

// Type codes of the records in a save image (xen/include/public/arch-x86/hvm/save.h).
const HEADER: u16 = 1;
const CPU: u16 = 2;
const MTRR: u16 = 14;
const END: u16 = 0;

/// `HVM_FILE_MAGIC`, `HVM_FILE_VERSION`
const FILE_MAGIC: u32 = 0x5438_1286;
const FILE_VERSION: u32 = 1;

/// Sets all CPUs' memory types and the first one's registers, with one call: each call takes all CPUs down, and only
/// those whose registers it brings come up again.
pub(super) fn set_context(handle: &Handle, domid: Domid, entry: u32, start_info: u64, vcpus: u32) -> Result<()> {
    let mut mtrr = xl::hvm_hw_mtrr::default();
    // SAFETY: the record is as long as said, and of the type that the code stands for.
    let result = unsafe {
        xc::xc_domain_hvm_getcontext_partial(
            handle.xc(),
            domid.0.into(),
            MTRR,
            0,
            (&raw mut mtrr).cast(),
            size_of_val(&mtrr) as u32,
        )
    };
    check("xc_domain_hvm_getcontext_partial", domid, result)?;

    let mut image = image(entry, start_info, vcpus, &mtrr);
    // SAFETY: the image is as long as said and not changed by the call.
    let result =
        unsafe { xc::xc_domain_hvm_setcontext(handle.xc(), domid.0.into(), image.as_mut_ptr(), image.len() as u32) };
    check("xc_domain_hvm_setcontext", domid, result)?;
    Ok(())
}

/// The save image: header, memory types of every CPU, registers of the first.
fn image(entry: u32, start_info: u64, vcpus: u32, mtrr: &xl::hvm_hw_mtrr) -> Vec<u8> {
    let mut image = Vec::new();
    // Xen remarks on an image from another CPU model; this one is from none.
    let model = std::arch::x86_64::__cpuid(1).eax;
    let header = xl::hvm_save_header { magic: FILE_MAGIC, version: FILE_VERSION, cpuid: model, ..Default::default() };
    record(&mut image, HEADER, 0, &header);

    // All memory write-back, as firmware would leave it; there is none here.
    const WRITE_BACK: u64 = 6;
    const ENABLE: u64 = 1 << 11;
    let mtrr = xl::hvm_hw_mtrr { msr_mtrr_def_type: WRITE_BACK | ENABLE, ..*mtrr };
    for vcpu in 0..vcpus {
        record(&mut image, MTRR, vcpu as u16, &mtrr);
    }
    record(&mut image, CPU, 0, &first_cpu(entry, start_info));
    record(&mut image, END, 0, &());
    image
}

/// The state the PVH boot protocol prescribes (docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, paging off,
/// `%ebx` pointing to the start info.
fn first_cpu(entry: u32, start_info: u64) -> xl::hvm_hw_cpu {
    const PROTECTED_MODE: u64 = 1 << 0;
    const EXTENSION_TYPE: u64 = 1 << 4;
    const CODE: u32 = 0xc9b;
    const DATA: u32 = 0xc93;
    const TASK: u32 = 0x8b;

    xl::hvm_hw_cpu {
        cr0: PROTECTED_MODE | EXTENSION_TYPE,
        rip: entry.into(),
        rbx: start_info,
        cs_limit: u32::MAX,
        cs_arbytes: CODE,
        ds_limit: u32::MAX,
        ds_arbytes: DATA,
        es_limit: u32::MAX,
        es_arbytes: DATA,
        ss_limit: u32::MAX,
        ss_arbytes: DATA,
        tr_limit: 0x67,
        tr_arbytes: TASK,
        // The values at reset.
        dr6: 0xffff_0ff0,
        dr7: 0x400,
        ..Default::default()
    }
}

/// Appends one record: descriptor and content.
fn record<T: Copy>(image: &mut Vec<u8>, typecode: u16, instance: u16, content: &T) {
    image.extend(typecode.to_le_bytes());
    image.extend(instance.to_le_bytes());
    image.extend((size_of::<T>() as u32).to_le_bytes());
    // SAFETY: T is one of the records of the C interface, made by Default (all zero, padding included) and then filled,
    // so all its bytes are initialised.
    image.extend(unsafe { std::slice::from_raw_parts(std::ptr::from_ref(content).cast::<u8>(), size_of::<T>()) });
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
