//! What is in a PVH domain's memory when it starts: who lies where, and the records that tell the kernel.
//!
//! ```text
//!  0        kernel.start           kernel.end
//!  |  free  |  kernel, its .bss  |  boot image | start info |      free ...      | holes | ACPI | special pages | 4 GiB, RAM
//! ```
//!
//! Pure: sizes in, addresses and bytes out. The addresses above RAM are those that libxl and libxenguest use, so that
//! Xen's other tools find what they look for.

use crate::kernel::{KernelError, KernelImage};

mod start_info;

pub use start_info::{Seed, StartInfo};

const PAGE: u64 = 4096;

/// Frame after the last special page (`X86_HVM_END_SPECIAL_REGION`, xenguest.h).
const SPECIAL_END: u64 = 0xff000;
/// `X86_HVM_NR_SPECIAL_PAGES`
const SPECIAL_COUNT: u64 = 8;
/// Frames that the toolstack shares with the domain. The other five of the eight serve device models and monitors,
/// which a pod has none of: they stay empty (tools/libs/guest/xg_dom_x86.c, `SPECIALPAGE_*`).
pub const XENSTORE_GFN: u64 = SPECIAL_END - SPECIAL_COUNT + 4;
/// The identity page table that Xen uses for a CPU with paging off where the hardware cannot.
pub const IDENT_PT_GFN: u64 = SPECIAL_END - SPECIAL_COUNT + 6;
/// The console's ring.
pub const CONSOLE_GFN: u64 = SPECIAL_END - SPECIAL_COUNT + 7;

/// Where RAM below 4 GiB must end: from here on there are the ACPI tables (`ACPI_INFO_PHYSICAL_ADDRESS`), the local
/// APICs and the special pages.
pub const LOW_RAM_LIMIT: u64 = 0xfc00_0000;
/// Where RAM goes on.
pub const HIGH_RAM_START: u64 = 1 << 32;
/// The ACPI tables: two pages, the second with the root pointer (as libxl lays them out).
pub const ACPI_TABLES: u64 = LOW_RAM_LIMIT + PAGE;
/// The page with the root pointer (RSDP).
pub const ACPI_RSDP: u64 = ACPI_TABLES + PAGE;

/// Kind of a range in the memory map, with its number in an e820 map and in the start info.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    /// For the kernel to use.
    Ram = 1,
    /// Not for the kernel.
    Reserved = 2,
    /// ACPI tables.
    Acpi = 3,
}

/// One range of the memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// What is there.
    pub kind: MemoryKind,
}

/// Part of a domain's memory, in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The first.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl Frames {
    fn covering(start: u64, size: u64) -> Self {
        let first = start / PAGE;
        Frames { first, count: (start + size).div_ceil(PAGE) - first }
    }

    /// The frame after the last.
    pub fn end(self) -> u64 {
        self.first + self.count
    }
}

/// Who lies where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// RAM: from zero, and above 4 GiB what does not fit below.
    pub ram: Vec<Frames>,
    /// The kernel, from its first to its last byte.
    pub kernel: Frames,
    /// The boot image, if there is one, right after the kernel.
    pub boot_image: Option<Frames>,
    /// The start info.
    pub start_info: Frames,
    /// The memory map, as the kernel is told.
    pub memory_map: Vec<MemoryRange>,
}

impl Layout {
    /// Lays out a domain of `memory_kib`. With `acpi`, room for ACPI tables.
    pub fn new(
        memory_kib: u64,
        kernel: &KernelImage,
        boot_image_size: Option<u64>,
        cmdline: &str,
        acpi: bool,
    ) -> Result<Layout, KernelError> {
        let memory = memory_kib * 1024;
        let low = memory.min(LOW_RAM_LIMIT);
        let mut ram = vec![Frames { first: 0, count: low / PAGE }];
        let mut memory_map = vec![MemoryRange { start: 0, size: low, kind: MemoryKind::Ram }];
        if acpi {
            memory_map.push(MemoryRange { start: ACPI_TABLES, size: 2 * PAGE, kind: MemoryKind::Acpi });
        }
        memory_map.push(MemoryRange {
            start: (SPECIAL_END - SPECIAL_COUNT) * PAGE,
            size: SPECIAL_COUNT * PAGE,
            kind: MemoryKind::Reserved,
        });
        if memory > low {
            ram.push(Frames::covering(HIGH_RAM_START, memory - low));
            memory_map.push(MemoryRange { start: HIGH_RAM_START, size: memory - low, kind: MemoryKind::Ram });
        }

        let kernel_frames = Frames::covering(kernel.start(), kernel.end() - kernel.start());
        let boot_image = boot_image_size.map(|size| Frames::covering(kernel_frames.end() * PAGE, size));
        let start_info_at = boot_image.map_or(kernel_frames.end(), Frames::end) * PAGE;
        let start_info_size = StartInfo::size(cmdline, memory_map.len());
        let start_info = Frames::covering(start_info_at, start_info_size as u64);

        // The kernel needs some memory of its own to come as far as saying so; a tenth of a MiB is surely too little.
        let needed_kib = start_info.end() * PAGE / 1024 + 128;
        if needed_kib > low / 1024 {
            return Err(KernelError::TooLarge { needed_kib, memory_kib });
        }
        Ok(Layout { ram, kernel: kernel_frames, boot_image, start_info, memory_map })
    }
}

#[cfg(test)]
mod tests;
