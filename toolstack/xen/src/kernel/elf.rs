//! Finds out where an ELF kernel wants to be and where Xen enters it.

use object::elf::{EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, PT_LOAD, PT_NOTE};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{LittleEndian, pod};

use super::{BootImage, KernelError, MAX_IMAGE_SIZE};

/// Type of the note, by name "Xen", that holds the PVH entry point (xen/include/public/elfnote.h).
pub const XEN_ELFNOTE_PHYS32_ENTRY: u32 = 18;

/// Notes are read whole; a kernel's are a few hundred bytes.
const MAX_NOTES: u64 = 1 << 20;

/// One part of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Physical address in the domain.
    pub address: u64,
    /// Where its bytes begin in the file.
    pub file_offset: u64,
    /// How many bytes the file has of it.
    pub file_size: u64,
    /// How many it has in memory; those beyond `file_size` are zero.
    pub memory_size: u64,
}

/// What there is to know of a kernel before it is loaded.
#[derive(Debug)]
pub(super) struct Layout {
    pub entry: u32,
    pub segments: Vec<Segment>,
}

pub(super) fn parse(image: &BootImage) -> Result<Layout, KernelError> {
    let not_elf = |reason: String| KernelError::NotElf { path: image.path().into(), reason };
    let malformed = |reason: String| KernelError::Malformed { path: image.path().into(), reason };

    let mut bytes = [0; size_of::<FileHeader64<LittleEndian>>()];
    if image.size() < bytes.len() as u64 {
        return Err(not_elf(format!("{} bytes are too few for its header", image.size())));
    }
    image.read_exact_at(&mut bytes, 0)?;
    if is_bzimage(image)? {
        return Err(not_elf(BZIMAGE.to_owned()));
    }
    if let Some(what) = known_other(&bytes) {
        return Err(not_elf(what.to_owned()));
    }
    let header = FileHeader64::<LittleEndian>::parse(&bytes[..]).map_err(|error| not_elf(error.to_string()))?;
    let endian = header.endian().map_err(|error| not_elf(error.to_string()))?;
    if header.e_machine(endian) != EM_X86_64 {
        return Err(not_elf(format!("it is for machine {}", header.e_machine(endian))));
    }
    if ![ET_EXEC, ET_DYN].contains(&header.e_type(endian)) {
        return Err(not_elf(format!("ELF type {} is no executable", header.e_type(endian))));
    }

    let (start, count) = (header.e_phoff(endian), usize::from(header.e_phnum(endian)));
    let entry_size = size_of::<object::elf::ProgramHeader64<LittleEndian>>();
    if usize::from(header.e_phentsize(endian)) != entry_size || count == 0 {
        return Err(malformed(format!("{count} program headers of {} bytes", header.e_phentsize(endian))));
    }
    let mut table = vec![0; count * entry_size];
    if start.checked_add(table.len() as u64).is_none_or(|end| end > image.size()) {
        return Err(malformed("the program headers are outside the file".to_owned()));
    }
    image.read_exact_at(&mut table, start)?;
    let (headers, _) = pod::slice_from_bytes::<object::elf::ProgramHeader64<LittleEndian>>(&table, count)
        .map_err(|()| malformed("unreadable program headers".to_owned()))?;

    let mut segments = Vec::new();
    let mut entry = None;
    for header in headers {
        let (offset, size) = (header.p_offset(endian), header.p_filesz(endian));
        match header.p_type(endian) {
            PT_LOAD if header.p_memsz(endian) > 0 => {
                let segment = Segment {
                    address: header.p_paddr(endian),
                    file_offset: offset,
                    file_size: size,
                    memory_size: header.p_memsz(endian),
                };
                check(&segment, image.size()).map_err(&malformed)?;
                segments.push(segment);
            }
            PT_NOTE if size > 0 && entry.is_none() => {
                if size > MAX_NOTES || offset.checked_add(size).is_none_or(|end| end > image.size()) {
                    return Err(malformed(format!("notes of {size} bytes at {offset:#x} are outside the file")));
                }
                let mut notes = vec![0; size as usize];
                image.read_exact_at(&mut notes, offset)?;
                entry = find_entry(&notes);
            }
            _ => {}
        }
    }

    let entry = entry.ok_or_else(|| KernelError::NoPvhEntry { path: image.path().into() })?;
    segments.sort_by_key(|segment| segment.address);
    if let Some(pair) = segments.windows(2).find(|pair| pair[0].address + pair[0].memory_size > pair[1].address) {
        return Err(malformed(format!("segments at {:#x} and {:#x} overlap", pair[0].address, pair[1].address)));
    }
    let inside = |segment: &Segment| (segment.address..segment.address + segment.file_size).contains(&u64::from(entry));
    if !segments.iter().any(inside) {
        return Err(malformed(format!("the PVH entry {entry:#x} is in no loaded segment")));
    }
    Ok(Layout { entry, segments })
}

const BZIMAGE: &str = "it is a bzImage. The kernel is packed in it: take `vmlinux` from the folder it was built in, or extract it with \
    `scripts/extract-vmlinux bzImage >vmlinux` of the kernel's sources";

/// The setup header's mark (Documentation/x86/boot.rst of Linux); with an EFI stub a bzImage begins like a Windows program.
fn is_bzimage(image: &BootImage) -> Result<bool, KernelError> {
    const MARK: (u64, &[u8; 4]) = (0x202, b"HdrS");
    let mut found = [0; 4];
    if image.size() >= MARK.0 + 4 {
        image.read_exact_at(&mut found, MARK.0)?;
    }
    Ok(&found == MARK.1)
}

/// Names what people give instead of an extracted kernel.
fn known_other(start: &[u8]) -> Option<&'static str> {
    match start {
        [0x1f, 0x8b, ..] => Some("it is gzip data"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("it is zstd data"),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => Some("it is xz data"),
        [b'M', b'Z', ..] => Some(BZIMAGE),
        _ => None,
    }
}

fn check(segment: &Segment, file_size: u64) -> Result<(), String> {
    let Segment { address, file_offset, file_size: size, memory_size } = *segment;
    if size > memory_size {
        return Err(format!("the segment at {address:#x} has {size} bytes for {memory_size} of memory"));
    }
    if file_offset.checked_add(size).is_none_or(|end| end > file_size) {
        return Err(format!("the segment at {address:#x} is cut short by the end of the file"));
    }
    if memory_size > MAX_IMAGE_SIZE || address.checked_add(memory_size).is_none_or(|end| end > 1 << 32) {
        return Err(format!("the segment at {address:#x} of {memory_size} bytes does not fit below 4 GiB"));
    }
    Ok(())
}

/// Looks for the note among notes: each is name size, contents size, type, then name and contents padded to 4 bytes.
fn find_entry(mut notes: &[u8]) -> Option<u32> {
    fn padded(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
        let (content, _) = bytes.split_at_checked(size)?;
        Some((content, bytes.get(size.checked_next_multiple_of(4)?..).unwrap_or_default()))
    }
    while let Some((head, rest)) = notes.split_first_chunk::<12>() {
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (name, rest) = padded(rest, word(0) as usize)?;
        let (content, rest) = padded(rest, word(4) as usize)?;
        if name == b"Xen\0" && word(8) == XEN_ELFNOTE_PHYS32_ENTRY {
            // Four bytes, or eight from a 64-bit assembler's .quad; the entry is below 4 GiB either way.
            return match content.len() {
                4 => Some(u32::from_le_bytes(content.try_into().ok()?)),
                8 => u64::from_le_bytes(content.try_into().ok()?).try_into().ok(),
                _ => None,
            };
        }
        notes = rest;
    }
    None
}

#[cfg(test)]
#[path = "elf_tests.rs"]
pub(crate) mod tests;
