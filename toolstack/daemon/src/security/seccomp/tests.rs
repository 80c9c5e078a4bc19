use super::*;

/// Runs a program as the kernel would, for the instructions that such programs consist of.
pub(super) fn run(program: &[sock_filter], call: c_long, args: [u64; 6]) -> u32 {
    // struct seccomp_data: nr, arch, instruction pointer, arguments.
    let mut data = Vec::new();
    data.extend((call as u32).to_le_bytes());
    data.extend(0xc000_003e_u32.to_le_bytes());
    data.extend(0_u64.to_le_bytes());
    args.iter().for_each(|a| data.extend(a.to_le_bytes()));
    let (mut pc, mut a) = (0, 0_u32);
    loop {
        let i = &program[pc];
        pc += 1;
        let jump = |taken: bool| usize::from(if taken { i.jt } else { i.jf });
        match i.code {
            LOAD => {
                let at = i.k as usize;
                a = u32::from_le_bytes(data[at..at + 4].try_into().unwrap());
            }
            JUMP_EQUAL => pc += jump(a == i.k),
            JUMP_GREATER => pc += jump(a > i.k),
            0x35 => pc += jump(a >= i.k),
            0x45 => pc += jump(a & i.k != 0),
            0x05 => pc += i.k as usize,
            0x54 => a &= i.k,
            RETURN => return i.k,
            other => panic!("instruction {other:#x}"),
        }
    }
}

pub(super) const ALLOW: u32 = 0x7fff_0000;
pub(super) const EPERM: u32 = RET_ERRNO | 1;
const ENOSYS: u32 = RET_ERRNO | 38;

fn with(caps: &[&str]) -> BpfProgram {
    program(caps.iter().filter_map(|c| bit(c)).fold(0, |a, b| a | b))
}

#[test]
fn what_everybody_needs_is_allowed_and_what_reaches_the_kernel_is_not() {
    let p = with(&[]);
    for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_openat, libc::SYS_futex, libc::SYS_statx, libc::SYS_rseq] {
        assert_eq!(run(&p, call, [0; 6]), ALLOW, "{call}");
    }
    for call in [
        libc::SYS_mount,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_kexec_load,
        libc::SYS_init_module,
        libc::SYS_keyctl,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_chroot,
        libc::SYS_settimeofday,
    ] {
        assert_eq!(run(&p, call, [0; 6]), EPERM, "{call}");
    }
}

#[test]
fn a_capability_opens_its_calls() {
    assert_eq!(run(&with(&["SYS_CHROOT"]), libc::SYS_chroot, [0; 6]), ALLOW);
    assert_eq!(run(&with(&["SYS_ADMIN"]), libc::SYS_mount, [0; 6]), ALLOW);
    assert_eq!(run(&with(&["SYS_TIME"]), libc::SYS_mount, [0; 6]), EPERM);
    assert_eq!(run(&with(&["SYS_ADMIN"]), libc::SYS_clone3, [0; 6]), ALLOW);
}

#[test]
fn new_namespaces_need_sys_admin() {
    let thread = 0x003d_0f00;
    let new_user = 0x1000_0000 | 17;
    let p = with(&[]);
    assert_eq!(run(&p, libc::SYS_clone, [thread, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&p, libc::SYS_clone, [new_user, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(run(&with(&["SYS_ADMIN"]), libc::SYS_clone, [new_user, 0, 0, 0, 0, 0]), ALLOW);
    // Its flags are in memory, where a filter cannot look: libc falls back to clone.
    assert_eq!(run(&p, libc::SYS_clone3, [0; 6]), ENOSYS);
}

#[test]
fn arguments_are_looked_at() {
    let p = with(&[]);
    assert_eq!(run(&p, libc::SYS_socket, [libc::AF_INET as u64, 1, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&p, libc::SYS_socket, [libc::AF_VSOCK as u64, 1, 0, 0, 0, 0]), EPERM);
    assert_eq!(run(&p, libc::SYS_personality, [0x8, 0, 0, 0, 0, 0]), ALLOW);
    assert_eq!(run(&p, libc::SYS_personality, [0x4_0000, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn calls_that_are_newer_than_the_list_do_not_exist() {
    let p = with(&[]);
    assert_eq!(run(&p, 600, [0; 6]), ENOSYS);
    // The x32 numbers.
    assert_eq!(run(&p, 0x4000_0000, [0; 6]), ENOSYS);
}

#[test]
fn the_bytes_are_whole_instructions_within_the_kernels_limit() {
    let bytes = runtime_default(0xa804_25fb);
    assert_eq!(bytes.len() % 8, 0);
    assert!((100 * 8..4096 * 8).contains(&bytes.len()), "{} bytes", bytes.len());
    assert_eq!(&bytes[..8], [0x20, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes, runtime_default(0xa804_25fb));
}

#[test]
fn a_filter_in_a_record_is_the_same_filter() {
    let bytes = runtime_default(0);
    assert_eq!(from_hex(&to_hex(&bytes)).unwrap(), bytes);
    for text in ["0", "zz", "0011"] {
        assert_eq!(from_hex(text), None, "{text}");
    }
}
