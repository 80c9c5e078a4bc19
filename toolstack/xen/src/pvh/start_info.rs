//! The start info: what `%ebx` points to at a PVH entry (xen/include/public/arch-x86/hvm/start_info.h, version 1).

use super::MemoryRange;

const MAGIC: u32 = 0x336e_c578;
const VERSION: u32 = 1;
const HEADER_SIZE: usize = 56;
const MODULE_SIZE: usize = 32;
const RANGE_SIZE: usize = 24;
/// Modules there is room for: the boot image, then the seed.
const MODULES: usize = 2;
/// How the kernel knows the seed from other modules (pvh-boot/patches/0007).
const SEED_NAME: &[u8] = b"rng-seed\0";

/// Random bytes for the kernel's generator: it may have no source of its own, and draws from its first moments on.
pub type Seed = [u8; 64];

/// What it tells.
#[derive(Clone, Copy)]
pub struct StartInfo<'a> {
    /// Its own physical address.
    pub address: u64,
    /// Address and size of the boot image.
    pub boot_image: Option<(u64, u64)>,
    /// The seed; given where there is a boot image, as the first module is taken for one.
    pub seed: &'a Seed,
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// Address of the ACPI root pointer.
    pub rsdp: Option<u64>,
    /// The memory map.
    pub memory_map: &'a [MemoryRange],
}

impl StartInfo<'_> {
    /// How long the record is: header, modules, the memory map, the command line with its terminator, and the seed with its
    /// name.
    pub fn size(cmdline: &str, memory_ranges: usize) -> usize {
        let text = cmdline.len() + 1 + SEED_NAME.len() + size_of::<Seed>();
        HEADER_SIZE + MODULES * MODULE_SIZE + memory_ranges * RANGE_SIZE + text
    }

    /// The record, to be put at `address`.
    pub fn bytes(&self) -> Vec<u8> {
        let modules = self.address + HEADER_SIZE as u64;
        let memory_map = modules + (MODULES * MODULE_SIZE) as u64;
        let cmdline = memory_map + (self.memory_map.len() * RANGE_SIZE) as u64;
        let seed_name = cmdline + self.cmdline.len() as u64 + 1;
        let seed = seed_name + SEED_NAME.len() as u64;
        let count = if self.boot_image.is_some() { MODULES as u32 } else { 0 };
        let mut bytes = Vec::with_capacity(Self::size(self.cmdline, self.memory_map.len()));
        let mut u32s = |values: &[u32]| values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        // Magic, version, flags, number of modules.
        u32s(&[MAGIC, VERSION, 0, count]);
        let mut u64s = |values: &[u64]| values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        u64s(&[if count > 0 { modules } else { 0 }, cmdline, self.rsdp.unwrap_or(0), memory_map]);
        // Number of ranges, reserved.
        u64s(&[self.memory_map.len() as u64]);
        // The modules: address, size, command line, reserved.
        let (address, size) = self.boot_image.unwrap_or((0, 0));
        u64s(&[address, size, 0, 0]);
        u64s(&[seed, size_of::<Seed>() as u64, seed_name, 0]);
        for range in self.memory_map {
            // Address, size, kind and reserved.
            u64s(&[range.start, range.size, range.kind as u64]);
        }
        bytes.extend(self.cmdline.as_bytes());
        bytes.push(0);
        bytes.extend(SEED_NAME);
        bytes.extend(self.seed);
        bytes
    }
}
