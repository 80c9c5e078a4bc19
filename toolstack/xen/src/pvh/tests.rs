use super::*;
use crate::kernel::{BootImage, elf_for_tests};

const MIB: u64 = 1 << 20;

fn kernel() -> KernelImage {
    // 2 MiB to 6 MiB + 100 bytes, of which 3 MiB are in the file.
    let bytes = elf_for_tests(0x20_0100, &[(2 * MIB, 3 * MIB as usize, 4 * MIB + 100)]);
    KernelImage::new(BootImage::from_bytes("vmlinux", bytes).unwrap()).unwrap()
}

#[test]
fn everything_follows_the_kernel_page_by_page() {
    let layout = Layout::new(32 * 1024, &kernel(), Some(5000), "quiet", false).unwrap();
    assert_eq!(layout.ram, [Frames { first: 0, count: 8192 }]);
    assert_eq!(layout.kernel, Frames { first: 512, count: 1025 });
    assert_eq!(layout.boot_image, Some(Frames { first: 1537, count: 2 }));
    assert_eq!(layout.start_info, Frames { first: 1539, count: 1 });
    let special = MemoryRange { start: 0xfeff_8000, size: 0x8000, kind: MemoryKind::Reserved };
    let ram = MemoryRange { start: 0, size: 32 * MIB, kind: MemoryKind::Ram };
    assert_eq!(layout.memory_map, [ram, special]);
    assert!((special.start..special.start + special.size).contains(&(CONSOLE_GFN * 4096)));
    assert!((special.start..special.start + special.size).contains(&(XENSTORE_GFN * 4096)));
}

#[test]
fn a_long_command_line_takes_more_pages() {
    let cmdline = "x".repeat(9000);
    let layout = Layout::new(32 * 1024, &kernel(), None, &cmdline, false).unwrap();
    assert_eq!(layout.boot_image, None);
    assert_eq!(layout.start_info, Frames { first: 1537, count: 3 });
}

#[test]
fn acpi_tables_have_a_range_of_their_own() {
    let layout = Layout::new(32 * 1024, &kernel(), None, "", true).unwrap();
    assert_eq!(layout.memory_map[1], MemoryRange { start: 0xfc00_1000, size: 0x2000, kind: MemoryKind::Acpi });
}

#[test]
fn memory_that_does_not_fit_below_goes_above_4_gib() {
    let layout = Layout::new(5 * 1024 * 1024, &kernel(), None, "", true).unwrap();
    let high = 5 * 1024 * MIB - LOW_RAM_LIMIT;
    assert_eq!(layout.ram[0], Frames { first: 0, count: LOW_RAM_LIMIT / 4096 });
    assert_eq!(layout.ram[1], Frames { first: 1 << 20, count: high / 4096 });
    assert_eq!(layout.memory_map.last(), Some(&MemoryRange { start: 1 << 32, size: high, kind: MemoryKind::Ram }));
    assert_eq!(layout.ram.iter().map(|frames| frames.count).sum::<u64>() * 4, 5 * 1024 * 1024);
}

#[test]
fn a_domain_that_is_too_small_is_told_how_much_it_takes() {
    let error = Layout::new(6 * 1024, &kernel(), Some(MIB), "", false).unwrap_err();
    assert_eq!(error, KernelError::TooLarge { needed_kib: 6 * 1024 + 4 + 1024 + 4 + 128, memory_kib: 6 * 1024 });
    assert!(error.to_string().contains("the domain has 6144 KiB"), "{error}");
}

#[test]
fn the_start_info_is_as_the_header_says() {
    let memory_map = [
        MemoryRange { start: 0, size: 0x200_0000, kind: MemoryKind::Ram },
        MemoryRange { start: 0xfc00_1000, size: 0x2000, kind: MemoryKind::Acpi },
    ];
    let info = StartInfo {
        address: 0x60_0000,
        boot_image: Some((0x50_0000, 0x1234)),
        seed: &[0xa5; 64],
        cmdline: "console=hvc0",
        rsdp: Some(ACPI_RSDP),
        memory_map: &memory_map,
    };
    let bytes = info.bytes();
    assert_eq!(bytes.len(), StartInfo::size("console=hvc0", 2));
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    assert_eq!([u32_at(0), u32_at(4), u32_at(8), u32_at(12)], [0x336e_c578, 1, 0, 2]);
    let (modules, cmdline, map) = (0x60_0000 + 56, 0x60_0000 + 56 + 64 + 48, 0x60_0000 + 56 + 64);
    assert_eq!([u64_at(16), u64_at(24), u64_at(32), u64_at(40)], [modules, cmdline, 0xfc00_2000, map]);
    assert_eq!([u32_at(48), u32_at(52)], [2, 0]);
    assert_eq!([u64_at(56), u64_at(64), u64_at(72), u64_at(80)], [0x50_0000, 0x1234, 0, 0]);
    // The seed follows the command line, after its name.
    assert_eq!([u64_at(88), u64_at(96), u64_at(104), u64_at(112)], [cmdline + 13 + 9, 64, cmdline + 13, 0]);
    assert_eq!([u64_at(120), u64_at(128), u64_at(136)], [0, 0x200_0000, 1]);
    assert_eq!([u64_at(144), u64_at(152), u64_at(160)], [0xfc00_1000, 0x2000, 3]);
    assert_eq!(&bytes[168..190], b"console=hvc0\0rng-seed\0");
    assert_eq!(bytes[190..], [0xa5; 64]);
}

#[test]
fn without_a_boot_image_there_is_no_module() {
    let info =
        StartInfo { address: 0x60_0000, boot_image: None, seed: &[0; 64], cmdline: "", rsdp: None, memory_map: &[] };
    let bytes = info.bytes();
    assert_eq!(bytes[12..24], [0; 12]);
    assert_eq!(bytes.len(), 56 + 64 + 1 + 9 + 64);
}
