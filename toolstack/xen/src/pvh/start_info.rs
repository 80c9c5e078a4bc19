//! The start info: what `%ebx` points to at a PVH entry (xen/include/public/arch-x86/hvm/start_info.h, version 1).

use super::MemoryRange;

const MAGIC: u32 = 0x336e_c578;
const VERSION: u32 = 1;
const HEADER_SIZE: usize = 56;
const MODULE_SIZE: usize = 32;
const RANGE_SIZE: usize = 24;

/// What it tells.
#[derive(Clone, Copy, Debug)]
pub struct StartInfo<'a> {
    /// Its own physical address.
    pub address: u64,
    /// Address and size of the boot image.
    pub boot_image: Option<(u64, u64)>,
    /// The kernel's command line.
    pub cmdline: &'a str,
    /// Address of the ACPI root pointer.
    pub rsdp: Option<u64>,
    /// The memory map.
    pub memory_map: &'a [MemoryRange],
}

impl StartInfo<'_> {
    /// How long the record is: header, one module, the memory map, and the command line with its terminator.
    pub fn size(cmdline: &str, memory_ranges: usize) -> usize {
        HEADER_SIZE + MODULE_SIZE + memory_ranges * RANGE_SIZE + cmdline.len() + 1
    }

    /// The record, to be put at `address`.
    pub fn bytes(&self) -> Vec<u8> {
        let modules = self.address + HEADER_SIZE as u64;
        let memory_map = modules + MODULE_SIZE as u64;
        let cmdline = memory_map + (self.memory_map.len() * RANGE_SIZE) as u64;
        let mut bytes = Vec::with_capacity(Self::size(self.cmdline, self.memory_map.len()));
        let mut u32s = |values: &[u32]| values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        // Magic, version, flags, number of modules.
        u32s(&[MAGIC, VERSION, 0, u32::from(self.boot_image.is_some())]);
        let mut u64s = |values: &[u64]| values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        u64s(&[if self.boot_image.is_some() { modules } else { 0 }, cmdline, self.rsdp.unwrap_or(0), memory_map]);
        // Number of ranges, reserved.
        u64s(&[self.memory_map.len() as u64]);
        // The module: address, size, no command line, reserved.
        let (address, size) = self.boot_image.unwrap_or((0, 0));
        u64s(&[address, size, 0, 0]);
        for range in self.memory_map {
            // Address, size, kind and reserved.
            u64s(&[range.start, range.size, range.kind as u64]);
        }
        bytes.extend(self.cmdline.as_bytes());
        bytes.push(0);
        bytes
    }
}
