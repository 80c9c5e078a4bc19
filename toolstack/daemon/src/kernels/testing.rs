//! Kernels made of a few bytes, and a store with one.

use std::fs::File;
use std::io::{Seek, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use super::options::NEEDED;
use super::{Import, Kernels};

/// An ELF kernel with a PVH entry whose only segment, at 16 MiB, begins with `content`.
pub fn elf(content: &[u8]) -> Vec<u8> {
    const ENTRY: u32 = 0x100_0000;
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // ET_EXEC, EM_X86_64, the header's own fields, program headers at 64.
    file.extend([2u16, 62].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    file.extend([0u64, 64, 0].iter().flat_map(|word| word.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend([64u16, 56, 2, 64, 0, 0].iter().flat_map(|half| half.to_le_bytes()));
    let mut note: Vec<u8> = [4u32, 4, 18].iter().flat_map(|word| word.to_le_bytes()).collect();
    note.extend(b"Xen\0");
    note.extend(ENTRY.to_le_bytes());
    let (notes_at, size) = (64 + 2 * 56, content.len().max(16) as u64);
    // PT_NOTE, then PT_LOAD.
    for (kind, offset, address, size) in
        [(4u32, notes_at, 0, note.len() as u64), (1, notes_at + note.len() as u64, u64::from(ENTRY), size)]
    {
        file.extend([kind, 5].iter().flat_map(|word| word.to_le_bytes()));
        file.extend([offset, address, address, size, size, 4096].iter().flat_map(|word| word.to_le_bytes()));
    }
    file.extend(note);
    file.extend(content);
    file.resize(file.len() + (16usize.saturating_sub(content.len())), 0x90);
    file
}

/// A kernel that tells this version, and something that tells it from others.
pub fn kernel(version: &str, mark: &str) -> Vec<u8> {
    elf(format!("Linux version {version} (x@y) #1\n{mark}\0").as_bytes())
}

/// A configuration with all that is needed, but for these lines.
pub fn config(version: &str, instead: &[&str]) -> String {
    let mut text =
        format!("#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 {version} Kernel Configuration\n#\n");
    for (name, _) in NEEDED {
        let own = format!("CONFIG_{name}=");
        let replaced = instead.iter().any(|l| l.contains(&format!("CONFIG_{name} ")) || l.starts_with(&own));
        if !replaced {
            text += &format!("{own}y\n");
        }
    }
    text + &instead.join("\n") + "\n"
}

/// A descriptor of these bytes.
pub fn fd(bytes: impl AsRef<[u8]>) -> OwnedFd {
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    file.rewind().unwrap();
    file.into()
}

/// An import with the configuration that fits.
pub fn import(name: &str, bytes: &[u8]) -> Import {
    let config = Some(fd(config("6.1.5", &[])));
    Import { name: name.into(), kernel: fd(bytes), config, unchecked: false, by_uid: 0 }
}

/// A store under `state_dir`, whose package's kernel is in it too.
pub fn kernels(state_dir: &Path) -> Kernels {
    let packaged = state_dir.join("vmlinux");
    if !packaged.exists() {
        std::fs::write(&packaged, kernel("6.1.5-test", "packaged")).unwrap();
    }
    Kernels::open(state_dir, &packaged).unwrap()
}
