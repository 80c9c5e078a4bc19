use super::super::{BootImage, KernelImage};
use super::*;

const NOTE_NAME: &[u8; 4] = b"Xen\0";

/// An ELF kernel of these segments (address, size in the file, size in memory), filled with 0x90, entered at `entry`.
pub(crate) fn elf_for_tests(entry: u32, segments: &[(u64, usize, u64)]) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4u32, 4, XEN_ELFNOTE_PHYS32_ENTRY] {
        note.extend(word.to_le_bytes());
    }
    note.extend(NOTE_NAME);
    note.extend(entry.to_le_bytes());
    elf_with_note(&note, segments)
}

fn elf_with_note(note: &[u8], segments: &[(u64, usize, u64)]) -> Vec<u8> {
    let count = segments.len() + 1;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend(ET_EXEC.to_le_bytes());
    file.extend(EM_X86_64.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend([0u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, count as u16, 64, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    let mut offset = 64 + 56 * count as u64;
    let mut header = |kind: u32, address: u64, file_size: u64, memory_size: u64| {
        file.extend([kind, 5].iter().flat_map(|word| word.to_le_bytes()));
        let words = [offset, address, address, file_size, memory_size, 4096];
        file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        offset += file_size;
    };
    header(PT_NOTE, 0, note.len() as u64, 0);
    for &(address, file_size, memory_size) in segments {
        header(PT_LOAD, address, file_size as u64, memory_size);
    }
    file.extend(note);
    for &(_, file_size, _) in segments {
        file.resize(file.len() + file_size, 0x90);
    }
    file
}

fn load(bytes: Vec<u8>) -> Result<KernelImage, KernelError> {
    KernelImage::new(BootImage::from_bytes("vmlinux", bytes).unwrap())
}

fn refusal(bytes: Vec<u8>) -> String {
    load(bytes).unwrap_err().to_string()
}

#[test]
fn segments_and_entry_are_found() {
    let kernel = load(elf_for_tests(0x100_0010, &[(0x120_0000, 64, 4096), (0x100_0000, 32, 32)])).unwrap();
    assert_eq!(kernel.entry(), 0x100_0010);
    assert_eq!((kernel.start(), kernel.end()), (0x100_0000, 0x120_1000));
    let offsets: Vec<_> = kernel.segments().iter().map(|segment| segment.file_offset).collect();
    let first = 64 + 56 * 3 + 20;
    assert_eq!(offsets, [first + 64, first], "sorted by address, each with its own bytes");
    let mut byte = [0];
    kernel.image().read_exact_at(&mut byte, first).unwrap();
    assert_eq!(byte, [0x90]);
}

#[test]
fn a_kernel_without_the_note_is_refused_by_name() {
    let error = refusal(elf_with_note(&[], &[(0x100_0000, 32, 32)]));
    assert!(error.contains("kernel vmlinux has no PVH entry note (XEN_ELFNOTE_PHYS32_ENTRY)"), "{error}");
    assert!(error.contains("CONFIG_PVH=y"), "{error}");
}

#[test]
fn another_note_is_not_the_entry() {
    let mut note = vec![4, 0, 0, 0, 4, 0, 0, 0, 17, 0, 0, 0];
    note.extend(NOTE_NAME);
    note.extend([0; 4]);
    assert!(refusal(elf_with_note(&note, &[(0x100_0000, 32, 32)])).contains("no PVH entry note"));
}

#[test]
fn the_note_is_found_behind_others_of_odd_sizes() {
    let mut note = vec![3, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, b'G', b'N', 0, 0, 1, 2, 3, 4, 5, 0, 0, 0];
    for word in [4u32, 8, XEN_ELFNOTE_PHYS32_ENTRY] {
        note.extend(word.to_le_bytes());
    }
    note.extend(NOTE_NAME);
    note.extend(0x100_0008u64.to_le_bytes());
    assert_eq!(load(elf_with_note(&note, &[(0x100_0000, 32, 32)])).unwrap().entry(), 0x100_0008);
}

#[test]
fn what_is_no_elf_is_named() {
    for (bytes, expected) in [
        (b"\x1f\x8b\x08".repeat(40), "it is gzip data"),
        (b"MZ".repeat(60), "it is a bzImage"),
        ([&[0x55; 0x202][..], &b"HdrS".repeat(40)].concat(), "scripts/extract-vmlinux bzImage >vmlinux"),
        (b"\x28\xb5\x2f\xfd".repeat(40), "it is zstd data"),
        (b"#!/bin/sh\n".repeat(20), "not an uncompressed x86-64 ELF image"),
        (b"\x7fELF".to_vec(), "4 bytes are too few"),
    ] {
        let error = refusal(bytes);
        assert!(error.contains(expected), "{error}");
    }
    let mut arm = elf_for_tests(0x100_0000, &[(0x100_0000, 32, 32)]);
    arm[18] = 183;
    assert!(refusal(arm).contains("it is for machine 183"));
}

#[test]
fn headers_that_lie_are_refused() {
    let good = elf_for_tests(0x100_0000, &[(0x100_0000, 32, 32)]);
    let patched = |at: usize, word: u64| {
        let mut bytes = good.clone();
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        refusal(bytes)
    };
    let load_header = 64 + 56;
    assert!(patched(32, u64::MAX - 10).contains("outside the file"), "program headers beyond the end");
    assert!(patched(load_header + 8, u64::MAX - 5).contains("cut short"), "file offset overflows");
    assert!(patched(load_header + 8, 400).contains("cut short"), "file offset beyond the end");
    assert!(patched(load_header + 24, u64::MAX - 5).contains("below 4 GiB"), "address overflows");
    assert!(patched(load_header + 40, u64::MAX).contains("below 4 GiB"), "a .bss without end");
    assert!(patched(load_header + 40, 16).contains("has 32 bytes for 16 of memory"), "more file than memory");
    assert!(patched(64 + 8, 1 << 40).contains("notes of"), "notes beyond the end");
    let mut truncated = good.clone();
    truncated.truncate(good.len() - 1);
    assert!(refusal(truncated).contains("cut short by the end of the file"));
}

#[test]
fn segments_must_not_overlap_and_must_hold_the_entry() {
    assert!(refusal(elf_for_tests(0x100_0000, &[(0x100_0000, 32, 64), (0x100_0020, 32, 32)])).contains("overlap"));
    assert!(refusal(elf_for_tests(0x100_0020, &[(0x100_0000, 32, 64)])).contains("in no loaded segment"));
}

#[test]
fn any_damage_to_a_kernel_is_an_error_and_never_a_panic() {
    let good = elf_for_tests(0x100_0000, &[(0x100_0000, 8, 8)]);
    for at in 0..good.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] = value;
            if let Ok(kernel) = load(bytes) {
                assert!(kernel.end() <= 1 << 32 && kernel.start() <= u64::from(kernel.entry()));
            }
        }
    }
}

#[test]
fn empty_and_missing_files_are_named() {
    let error = BootImage::from_bytes("initrd", Vec::new()).unwrap_err();
    assert_eq!(error, KernelError::Size { path: "initrd".into(), size: 0 });
    let error = KernelImage::open("/nonexistent/vmlinux").unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/vmlinux: No such file"), "{error}");
}
