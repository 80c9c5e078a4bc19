use super::*;

#[test]
fn the_image_is_header_memory_types_and_the_first_cpu() {
    let mtrr = xl::hvm_hw_mtrr { msr_mtrr_cap: 0x508, ..Default::default() };
    let image = image(0x100_0010, 0x60_0000, 2, &mtrr);
    let mut rest = &image[..];
    let mut records = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<8>() {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let (content, tail) = tail.split_at(length);
        records.push((u16::from_le_bytes([head[0], head[1]]), u16::from_le_bytes([head[2], head[3]]), content));
        rest = tail;
    }
    assert!(rest.is_empty());
    let kinds: Vec<_> = records.iter().map(|(kind, instance, _)| (*kind, *instance)).collect();
    assert_eq!(kinds, [(HEADER, 0), (MTRR, 0), (MTRR, 1), (CPU, 0), (END, 0)]);

    assert_eq!(records[0].2[..8], [0x86, 0x12, 0x38, 0x54, 1, 0, 0, 0]);
    // Last two words: capability as Xen gave it, default type write-back and enabled.
    let memory = records[2].2;
    assert_eq!(memory.len(), 8 * (1 + 16 + 11 + 2));
    assert_eq!(memory[memory.len() - 16..][..2], [0x08, 0x05]);
    assert_eq!(memory[memory.len() - 8..], [0x06, 0x08, 0, 0, 0, 0, 0, 0]);
    // %rbx is the second register after the 512 bytes of the FPU, %rip the 17th.
    let cpu = records[3].2;
    assert_eq!(cpu[512 + 8..][..8], 0x60_0000u64.to_le_bytes());
    assert_eq!(cpu[512 + 16 * 8..][..8], 0x100_0010u64.to_le_bytes());
}

#[test]
fn the_first_cpu_starts_in_flat_protected_mode() {
    let cpu = first_cpu(0x100_0000, 0x1000);
    assert_eq!((cpu.cr0, cpu.cr3, cpu.cr4, cpu.msr_efer), (0x11, 0, 0, 0));
    assert_eq!((cpu.cs_base, cpu.cs_limit, cpu.cs_arbytes), (0, 0xffff_ffff, 0xc9b));
    assert_eq!((cpu.ss_base, cpu.ss_limit, cpu.ss_arbytes), (0, 0xffff_ffff, 0xc93));
    assert_eq!(cpu.rflags, 0, "interrupts off");
}
