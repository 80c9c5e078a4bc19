//! Builds a PVH domain: the calls, their order and their arguments are those of libxl and libxenguest 4.17 for such a
//! domain (libxl_create.c, libxl_dom.c, libxl_x86.c; tools/libs/guest/xg_dom_x86.c), without what only other kinds of
//! domain need. Memory is mapped once, in one piece, and each byte is written once.

use std::time::Instant;

use libxl_sys as xl;
use xenctrl_sys as xc;

use super::cpu;
use super::handle::{Handle, check};
use super::memory::{Foreign, populate, seed_grants};
use crate::acpi;
use crate::hypervisor::{BuiltDomain, DomainConfig, Errno, HypervisorError, Phase, Result};
use crate::ids::Domid;
use crate::kernel::{BootImage, KernelError, KernelImage};
use crate::pvh::{self, Frames, Layout, Seed, StartInfo};

const PAGE_SIZE: usize = 4096;

/// Most CPUs a domain of this kind can have (`HVM_MAX_VCPUS`, xen/include/public/hvm/hvm_info_table.h).
pub const MAX_VCPUS: u32 = 128;

/// Linux cuts a longer command line off without a word (`COMMAND_LINE_SIZE`, arch/x86/include/asm/setup.h).
const MAX_CMDLINE: usize = 2048;

/// What libxl lets a domain own beyond its memory, for the pages it shares with dom0 (`LIBXL_MAXMEM_CONSTANT`), in KiB.
pub(super) const MAXMEM_SLACK_KIB: u64 = 1024;

/// Bytes for Xen's own tables about a domain of this size: libxl's formula (`libxl__get_required_paging_memory`).
pub(super) fn paging_pool(max_vcpus: u32, memory_kib: u64) -> u64 {
    4096 * (256 * u64::from(max_vcpus) + memory_kib / 1024)
}

/// A build in progress.
pub(super) struct Builder<'a> {
    handle: &'a Handle,
    config: &'a DomainConfig,
    layout: Layout,
    phases: Vec<Phase>,
    began: Instant,
}

impl<'a> Builder<'a> {
    /// Checks all that can be checked before anything is created.
    pub fn new(handle: &'a Handle, config: &'a DomainConfig) -> Result<Self> {
        let began = Instant::now();
        let bad = |what: String| Err(HypervisorError::BadConfig { name: config.name.clone(), what });
        if config.max_vcpus == 0 || config.max_vcpus > MAX_VCPUS || config.vcpus == 0 {
            return bad(format!("{} of {} CPUs; 1 to {MAX_VCPUS} are possible", config.vcpus, config.max_vcpus));
        }
        if config.vcpus > config.max_vcpus {
            return bad(format!("{} CPUs are more than its maximum of {}", config.vcpus, config.max_vcpus));
        }
        if !config.memory_kib.is_multiple_of(4) || config.memory_kib == 0 || config.memory_kib > 1 << 34 {
            return bad(format!("{} KiB of memory; whole pages of 4 KiB up to 16 TiB are possible", config.memory_kib));
        }
        if config.max_memory_kib < config.memory_kib {
            return bad(format!(
                "its maximum memory, {} KiB, is less than {}",
                config.max_memory_kib, config.memory_kib
            ));
        }
        if config.cmdline.len() >= MAX_CMDLINE || config.cmdline.contains('\0') {
            return bad(format!("the kernel's command line has {MAX_CMDLINE} bytes or more, or a zero byte"));
        }
        let boot_image_size = config.boot_image.as_ref().map(BootImage::size);
        let acpi = config.max_vcpus > 1;
        let layout = Layout::new(config.memory_kib, &config.kernel, boot_image_size, &config.cmdline, acpi)
            .map_err(|source| kernel_error(config, source))?;
        Ok(Builder { handle, config, layout, phases: Vec::new(), began })
    }

    /// Creates the empty domain.
    pub fn create(&mut self) -> Result<Domid> {
        let mut domctl = xc::xen_domctl_createdomain {
            handle: self.config.uuid.0,
            flags: xc::XEN_DOMCTL_CDF_hvm | xc::XEN_DOMCTL_CDF_hap,
            max_vcpus: self.config.max_vcpus,
            max_evtchn_port: 1023,
            max_grant_frames: 64,
            // It never maps other domains' pages.
            max_maptrack_frames: 0,
            grant_opts: 1, // version 1 of the grant table
            ..Default::default()
        };
        domctl.arch.emulation_flags = xc::XEN_X86_EMU_LAPIC;
        // Zero asks for a number of Xen's choice (DOMID_ANY from Xen 4.22 on).
        let mut domid = 0;
        // SAFETY: both arguments are ours and of the types the call reads and writes.
        let result = unsafe { xc::xc_domain_create(self.handle.xc(), &mut domid, &mut domctl) };
        check("xc_domain_create", None, result)?;
        let domid = Domid(domid as u16);
        self.phase("create");
        Ok(domid)
    }

    /// Makes of the empty domain one that can be unpaused. The mapping through which it was filled is still to be dropped.
    pub fn fill(mut self, domid: Domid) -> Result<(BuiltDomain, Foreign)> {
        let (store_port, console_port) = self.limits(domid)?;
        self.phase("limits");
        self.policy(domid)?;
        self.phase("cpu_policy");
        self.populate(domid)?;
        self.phase("populate");
        let memory = self.load(domid)?;
        self.phase("load");
        self.parameters(domid, store_port, console_port)?;
        self.phase("parameters");
        seed_grants(self.handle, domid, pvh::CONSOLE_GFN, pvh::XENSTORE_GFN)?;
        self.phase("grants");
        let start_info = self.layout.start_info.first * PAGE_SIZE as u64;
        cpu::set_context(self.handle, domid, self.config.kernel.entry(), start_info, self.config.max_vcpus)?;
        self.phase("cpu_state");
        let built = BuiltDomain {
            domid,
            store_gfn: pvh::XENSTORE_GFN,
            store_port,
            console_gfn: pvh::CONSOLE_GFN,
            console_port,
            phases: self.phases,
        };
        Ok((built, memory))
    }

    fn phase(&mut self, name: &str) {
        let now = Instant::now();
        self.phases.push(Phase { name: name.to_owned(), took: now - self.began });
        self.began = now;
    }

    fn limits(&self, domid: Domid) -> Result<(u32, u32)> {
        let (xch, dom, config) = (self.handle.xc(), u32::from(domid.0), self.config);
        // SAFETY: plain numbers go in; the call neither keeps nor returns memory.
        check("xc_domain_max_vcpus", domid, unsafe { xc::xc_domain_max_vcpus(xch, dom, config.max_vcpus) })?;
        let max_kib = config.memory_kib + MAXMEM_SLACK_KIB;
        // SAFETY: as above.
        check("xc_domain_setmaxmem", domid, unsafe { xc::xc_domain_setmaxmem(xch, dom, max_kib) })?;
        let pool = paging_pool(config.max_vcpus, config.max_memory_kib);
        // SAFETY: as above.
        check("xc_set_paging_mempool_size", domid, unsafe { xc::xc_set_paging_mempool_size(xch, dom, pool) })?;
        let port = || {
            // SAFETY: as above.
            let port = unsafe { xc::xc_evtchn_alloc_unbound(xch, dom, Domid::DOM0.0.into()) };
            check("xc_evtchn_alloc_unbound", domid, port)
        };
        Ok((port()?, port()?))
    }

    /// The CPU features the domain sees: the host's defaults for domains of this kind, with the CPU numbering that goes
    /// with Xen's choice of local APIC ids.
    ///
    /// The TSC is the CPU's own and is never emulated, whatever the host's is worth: the guest kernel takes its time from
    /// Xen's clock page, which says for each vCPU how its TSC is to be read, and an emulated TSC is an exit at each look.
    fn policy(&self, domid: Domid) -> Result<()> {
        // XEN_CPUID_TSC_MODE_NEVER_EMULATE, xen/include/public/arch-x86/cpuid.h; docs/man/xen-tscmode.7.
        const NEVER_EMULATE: u32 = 2;
        let (xch, dom) = (self.handle.xc(), u32::from(domid.0));
        // SAFETY: plain numbers go in; the call neither keeps nor returns memory.
        let result = unsafe { xc::xc_domain_set_tsc_info(xch, dom, NEVER_EMULATE, 0, 0, 0) };
        check("xc_domain_set_tsc_info", domid, result)?;
        let (restore, pae, itsc, nested) = (false, true, false, false);
        use std::ptr::null;
        // SAFETY: the null pointers say "no feature set, no overrides".
        let result = unsafe {
            xl::xc_cpuid_apply_policy(
                self.handle.xl(),
                domid.0.into(),
                restore,
                null(),
                0,
                pae,
                itsc,
                nested,
                null(),
                null(),
            )
        };
        check("xc_cpuid_apply_policy", domid, result)?;
        Ok(())
    }

    fn populate(&self, domid: Domid) -> Result<()> {
        let mut special = vec![pvh::XENSTORE_GFN, pvh::IDENT_PT_GFN, pvh::CONSOLE_GFN];
        if self.config.max_vcpus > 1 {
            special.extend([pvh::ACPI_TABLES / PAGE_SIZE as u64, pvh::ACPI_RSDP / PAGE_SIZE as u64]);
        }
        let pages = self.layout.ram.iter().map(|frames| frames.count).sum::<u64>() + special.len() as u64;
        self.claim(domid, pages)?;
        let result =
            self.layout.ram.iter().try_for_each(|frames| populate(self.handle, domid, *frames)).and_then(|()| {
                special.iter().try_for_each(|gfn| populate(self.handle, domid, Frames { first: *gfn, count: 1 }))
            });
        // What was claimed and not used goes back, whether or not it went well.
        self.claim(domid, 0)?;
        result
    }

    /// Reserves memory, so that a host that has too little says so now and not half-way.
    fn claim(&self, domid: Domid, pages: u64) -> Result<()> {
        // SAFETY: plain numbers.
        let result = unsafe { xc::xc_domain_claim_pages(self.handle.xc(), domid.0.into(), pages) };
        check("xc_domain_claim_pages", domid, result)?;
        Ok(())
    }

    /// Writes kernel, boot image, start info and the special pages through one mapping.
    fn load(&self, domid: Domid) -> Result<Foreign> {
        let Layout { kernel, boot_image, start_info, memory_map, .. } = &self.layout;
        let acpi = (self.config.max_vcpus > 1).then(|| acpi::build(self.config.max_vcpus));

        // Kernel, boot image and start info follow each other, and so do these pages after them.
        let mut frames: Vec<u64> = (kernel.first..start_info.end()).collect();
        let special = frames.len();
        frames.extend([pvh::XENSTORE_GFN, pvh::CONSOLE_GFN, pvh::IDENT_PT_GFN]);
        if acpi.is_some() {
            frames.extend([pvh::ACPI_TABLES / PAGE_SIZE as u64, pvh::ACPI_RSDP / PAGE_SIZE as u64]);
        }
        let mut memory = Foreign::map(self.handle, domid, &frames)?;
        let at = |part: &Frames| (part.first - kernel.first) as usize..(part.end() - kernel.first) as usize;

        let failed = |source| kernel_error(self.config, source);
        load_kernel(&self.config.kernel, memory.pages(at(kernel)), kernel.first * PAGE_SIZE as u64).map_err(failed)?;
        let mut boot_image_at = None;
        if let (Some(image), Some(part)) = (&self.config.boot_image, boot_image) {
            let bytes = memory.pages(at(part));
            let (content, padding) = bytes.split_at_mut(image.size() as usize);
            image.read_exact_at(content, 0).map_err(failed)?;
            padding.fill(0);
            boot_image_at = Some((part.first * PAGE_SIZE as u64, image.size()));
        }
        let mut seed: Seed = [0; 64];
        // Up to 256 bytes come whole or not at all (getrandom(2)).
        rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| HypervisorError::Call { call: "getrandom", domid: Some(domid), errno: errno.into() })?;
        let info = StartInfo {
            address: start_info.first * PAGE_SIZE as u64,
            boot_image: boot_image_at,
            seed: &seed,
            cmdline: &self.config.cmdline,
            rsdp: acpi.as_ref().map(|_| pvh::ACPI_RSDP),
            memory_map,
        };
        put(memory.pages(at(start_info)), &info.bytes());

        // The rings start out empty; what was in these pages before is not for the domain.
        memory.pages(special..special + 2).fill(0);
        for (index, entry) in memory.pages(special + 2..special + 3).chunks_exact_mut(4).enumerate() {
            entry.copy_from_slice(&identity_entry(index as u32).to_le_bytes());
        }
        if let Some(acpi) = acpi {
            memory.pages(special + 3..special + 4).copy_from_slice(&acpi.tables[..]);
            memory.pages(special + 4..special + 5).copy_from_slice(&acpi.rsdp[..]);
        }
        Ok(memory)
    }

    fn parameters(&self, domid: Domid, store_port: u32, console_port: u32) -> Result<()> {
        // HVMPTM_no_delay_for_missed_ticks: guest time is wall time.
        const NO_DELAY_FOR_MISSED_TICKS: u64 = 1;
        for (parameter, value) in [
            (xl::HVM_PARAM_TIMER_MODE, NO_DELAY_FOR_MISSED_TICKS),
            (xl::HVM_PARAM_STORE_PFN, pvh::XENSTORE_GFN),
            (xl::HVM_PARAM_STORE_EVTCHN, store_port.into()),
            (xl::HVM_PARAM_CONSOLE_PFN, pvh::CONSOLE_GFN),
            (xl::HVM_PARAM_CONSOLE_EVTCHN, console_port.into()),
            (xl::HVM_PARAM_IDENT_PT, pvh::IDENT_PT_GFN * PAGE_SIZE as u64),
        ] {
            // SAFETY: plain numbers.
            let result = unsafe { xc::xc_hvm_param_set(self.handle.xc(), domid.0.into(), parameter, value) };
            check("xc_hvm_param_set", domid, result)?;
        }
        let mut map: Vec<xc::e820entry> = self
            .layout
            .memory_map
            .iter()
            .map(|range| xc::e820entry { addr: range.start, size: range.size, type_: range.kind as u32 })
            .collect();
        // SAFETY: the array has as many entries as said and is only read.
        let result = unsafe {
            xc::xc_domain_set_memory_map(self.handle.xc(), domid.0.into(), map.as_mut_ptr(), map.len() as u32)
        };
        check("xc_domain_set_memory_map", domid, result)?;
        Ok(())
    }
}

/// Reads the segments to where they belong and clears the rest; `memory` begins at address `base`.
fn load_kernel(kernel: &KernelImage, memory: &mut [u8], base: u64) -> std::result::Result<(), KernelError> {
    let mut end = 0;
    for segment in kernel.segments() {
        let start = (segment.address - base) as usize;
        let (file_end, memory_end) = (start + segment.file_size as usize, start + segment.memory_size as usize);
        memory[end..start].fill(0);
        kernel.image().read_exact_at(&mut memory[start..file_end], segment.file_offset)?;
        memory[file_end..memory_end].fill(0);
        end = memory_end;
    }
    memory[end..].fill(0);
    Ok(())
}

/// Copies to the start and clears the rest.
fn put(memory: &mut [u8], bytes: &[u8]) {
    let (start, rest) = memory.split_at_mut(bytes.len());
    start.copy_from_slice(bytes);
    rest.fill(0);
}

/// An entry of the identity page table: 4 MiB, present, writable, user, accessed, dirty, large.
fn identity_entry(index: u32) -> u32 {
    index << 22 | 0xe7
}

fn kernel_error(config: &DomainConfig, source: KernelError) -> HypervisorError {
    HypervisorError::Kernel { name: config.name.clone(), source }
}

/// Whether an error means that Xen has no memory left.
pub(super) fn is_out_of_memory(error: &HypervisorError) -> bool {
    matches!(error, HypervisorError::Call { errno, .. } if *errno == Errno::from(rustix::io::Errno::NOMEM))
}
