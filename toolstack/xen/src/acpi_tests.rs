use super::*;
use crate::pvh::ACPI_RSDP;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte))
}

/// The table at a physical address, checked as firmware code would.
fn table_at<'a>(pages: &'a AcpiPages, address: u64, signature: &[u8; 4]) -> &'a [u8] {
    let start = (address - ACPI_TABLES) as usize;
    let length = u32_at(&pages.tables[..], start + 4) as usize;
    let table = &pages.tables[start..start + length];
    assert_eq!(&table[..4], signature);
    assert_eq!(sum(table), 0, "checksum of {}", String::from_utf8_lossy(signature));
    table
}

fn cpus(max_vcpus: u32) -> Vec<u8> {
    let pages = build(max_vcpus);
    let xsdt = table_at(&pages, u64_at(&pages.rsdp[..], 24), b"XSDT");
    table_at(&pages, u64_at(xsdt, 44), b"APIC").to_vec()
}

#[test]
fn a_kernel_finds_its_way_from_the_root_to_every_table() {
    let pages = build(2);
    assert_eq!(&pages.rsdp[..8], b"RSD PTR ");
    assert_eq!((sum(&pages.rsdp[..20]), sum(&pages.rsdp[..36])), (0, 0));
    assert_eq!((pages.rsdp[15], u32_at(&pages.rsdp[..], 20)), (2, 36));
    assert_eq!(ACPI_RSDP, ACPI_TABLES + 4096);

    let xsdt = table_at(&pages, u64_at(&pages.rsdp[..], 24), b"XSDT");
    assert_eq!(xsdt.len(), 36 + 2 * 8);
    let fadt = table_at(&pages, u64_at(xsdt, 36), b"FACP");
    assert_eq!((fadt.len(), fadt[8]), (268, 5));
    assert_eq!(u32_at(fadt, 112), 1 << 20 | 1 << 4 | 1 << 5, "hardware-reduced, no buttons");
    assert_eq!(u16::from_le_bytes([fadt[109], fadt[110]]), 1 << 2 | 1 << 5, "no VGA, no CMOS clock");
    assert_eq!(u64::from(u32_at(fadt, 40)), u64_at(fadt, 140));
    assert_eq!(table_at(&pages, u64_at(fadt, 140), b"DSDT").len(), 36);
}

#[test]
fn every_cpu_has_an_enabled_local_apic_of_twice_its_number() {
    let madt = cpus(3);
    assert_eq!(u32_at(&madt, 36), 0xfee0_0000);
    assert_eq!(madt.len(), 44 + 3 * 8);
    for cpu in 0..3u8 {
        let entry = &madt[44 + usize::from(cpu) * 8..][..8];
        assert_eq!(entry, [0, 8, cpu, cpu * 2, 1, 0, 0, 0]);
    }
}

#[test]
fn apic_ids_beyond_a_byte_are_x2apics() {
    let madt = cpus(129);
    assert_eq!(madt.len(), 44 + 128 * 8 + 16);
    let last = &madt[44 + 128 * 8..];
    assert_eq!(last[..2], [9, 16]);
    assert_eq!([u32_at(last, 4), u32_at(last, 8), u32_at(last, 12)], [256, 1, 128]);
}

#[test]
fn what_no_table_covers_is_zero() {
    let pages = build(1);
    let xsdt = (u64_at(&pages.rsdp[..], 24) - ACPI_TABLES) as usize;
    assert!(pages.tables[xsdt + 52..].iter().all(|byte| *byte == 0));
    assert!(pages.rsdp[36..].iter().all(|byte| *byte == 0));
}

#[test]
fn as_many_cpus_as_promised_fit() {
    build(MAX_CPUS);
}
