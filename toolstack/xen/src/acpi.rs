//! The ACPI tables of a domain with more than one virtual CPU: without them Linux starts only the first.
//!
//! The least that Linux takes: RSDP, XSDT, a FADT that says "hardware-reduced", an empty DSDT, and the MADT with the
//! local APICs. One page of tables and one for the RSDP, as in libxl. Both are zeroed first: a page that is only partly
//! written would show the domain what dom0 had there before (XSA-464).
//!
//! Layouts are those of the ACPI specification, 6.2: 5.2.5.3 (RSDP), 5.2.8 (XSDT), 5.2.9 (FADT), 5.2.12 (MADT).

use crate::pvh::ACPI_TABLES;

const PAGE: usize = 4096;
const HEADER: usize = 36;
const FADT_SIZE: usize = 268;
const LOCAL_APIC: u32 = 0xfee0_0000;

/// CPUs that the page has room for; more than Xen allows a domain (128).
pub const MAX_CPUS: u32 = 240;

/// The two pages, to be put at [`ACPI_TABLES`] and [`ACPI_RSDP`](crate::pvh::ACPI_RSDP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcpiPages {
    /// The tables.
    pub tables: Box<[u8; PAGE]>,
    /// The root pointer.
    pub rsdp: Box<[u8; PAGE]>,
}

/// Makes the tables for `max_vcpus` CPUs. All are listed as enabled, for Linux makes no other bootable later: which of
/// them are up is said by `cpu/N/availability` in xenstore, and `maxcpus=` keeps the boot from starting the rest.
pub fn build(max_vcpus: u32) -> AcpiPages {
    assert!(max_vcpus <= MAX_CPUS, "{max_vcpus} CPUs do not fit into one page of tables");
    let mut tables = Box::new([0; PAGE]);
    let mut end = 0;
    let mut place = |table: &[u8]| {
        let start = end;
        tables[start..start + table.len()].copy_from_slice(table);
        end = (start + table.len()).next_multiple_of(16);
        ACPI_TABLES + start as u64
    };
    let dsdt = place(&table(b"DSDT", 2, &[]));
    let fadt = place(&fadt(dsdt));
    let madt = place(&madt(max_vcpus));
    let xsdt = place(&table(b"XSDT", 1, &[fadt.to_le_bytes(), madt.to_le_bytes()].concat()));

    let mut rsdp = Box::new([0; PAGE]);
    rsdp[..8].copy_from_slice(b"RSD PTR ");
    rsdp[9..15].copy_from_slice(OEM);
    rsdp[15] = 2;
    rsdp[20..24].copy_from_slice(&36u32.to_le_bytes());
    rsdp[24..32].copy_from_slice(&xsdt.to_le_bytes());
    // Two checksums: of the part that version 1 has, then of all.
    rsdp[8] = checksum(&rsdp[..20]);
    rsdp[32] = checksum(&rsdp[..36]);
    AcpiPages { tables, rsdp }
}

const OEM: &[u8; 6] = b"XENPOD";

/// A table: the common header, and the content after it.
fn table(signature: &[u8; 4], revision: u8, content: &[u8]) -> Vec<u8> {
    let size = HEADER + content.len();
    let mut bytes = Vec::with_capacity(size);
    bytes.extend(signature);
    bytes.extend((size as u32).to_le_bytes());
    bytes.extend([revision, 0]);
    bytes.extend(OEM);
    bytes.extend(b"PVHPOD  ");
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(b"XPOD");
    bytes.extend(1u32.to_le_bytes());
    bytes.extend(content);
    bytes[9] = checksum(&bytes);
    bytes
}

/// The byte that makes the sum of all zero.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte))
}

/// Fixed description, version 5: no legacy hardware at all.
fn fadt(dsdt: u64) -> Vec<u8> {
    const NO_VGA: u16 = 1 << 2;
    const NO_CMOS_RTC: u16 = 1 << 5;
    const NO_POWER_BUTTON: u32 = 1 << 4;
    const NO_SLEEP_BUTTON: u32 = 1 << 5;
    const HW_REDUCED: u32 = 1 << 20;

    let mut content = [0; FADT_SIZE - HEADER];
    let mut put = |offset: usize, bytes: &[u8]| content[offset - HEADER..][..bytes.len()].copy_from_slice(bytes);
    put(40, &(dsdt as u32).to_le_bytes());
    put(109, &(NO_VGA | NO_CMOS_RTC).to_le_bytes());
    put(112, &(HW_REDUCED | NO_POWER_BUTTON | NO_SLEEP_BUTTON).to_le_bytes());
    put(140, &dsdt.to_le_bytes());
    table(b"FACP", 5, &content)
}

/// Interrupt controllers: one local APIC per CPU, with the id Xen gives it (twice the CPU's number).
fn madt(max_vcpus: u32) -> Vec<u8> {
    const ENABLED: u32 = 1;
    let mut content = Vec::from(LOCAL_APIC.to_le_bytes());
    content.extend(0u32.to_le_bytes());
    for cpu in 0..max_vcpus {
        let apic_id = cpu * 2;
        if apic_id < 255 {
            // Processor local APIC (type 0).
            content.extend([0, 8, cpu as u8, apic_id as u8]);
            content.extend(ENABLED.to_le_bytes());
        } else {
            // Processor local x2APIC (type 9): for ids that do not fit a byte.
            content.extend([9, 16, 0, 0]);
            content.extend([apic_id, ENABLED, cpu].iter().flat_map(|word| word.to_le_bytes()));
        }
    }
    table(b"APIC", 3, &content)
}

#[cfg(test)]
#[path = "acpi_tests.rs"]
mod tests;
