//! The `RuntimeDefault` filter: what container engines let a container ask of the kernel.
//!
//! The semantics are those of the profile that Docker, containerd and Podman share: what is listed is allowed, some calls
//! only with a capability or with certain arguments, the rest fails with EPERM. Two calls fail with ENOSYS instead, as there:
//! `clone3`, whose flags a filter cannot see, so that libc falls back to `clone`; and whatever is newer than this list.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::caps::bit;

mod calls;
pub mod profile;

/// One instruction of classic BPF.
const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// `BPF_LD | BPF_W | BPF_ABS`, `BPF_JMP | BPF_JEQ | BPF_K`, `BPF_JMP | BPF_JGT | BPF_K`, `BPF_RET | BPF_K` (<linux/bpf_common.h>).
const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const RETURN: u16 = 0x06;
/// `SECCOMP_RET_ERRNO` (<linux/seccomp.h>).
const RET_ERRNO: u32 = 0x0005_0000;

/// The compiled filter for a container with these capabilities: `struct sock_filter`s in the guest's byte order, ready to be
/// installed. The same bytes for the same capabilities; they are compiled once.
#[must_use]
pub fn runtime_default(capabilities: u64) -> Vec<u8> {
    static COMPILED: Mutex<BTreeMap<u64, Arc<[u8]>>> = Mutex::new(BTreeMap::new());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    // Tenants choose capabilities: the cache must not grow with what they think of.
    if compiled.len() > 64 {
        compiled.clear();
    }
    compiled.entry(capabilities).or_insert_with(|| bytes(&program(capabilities)).into()).to_vec()
}

/// Bytes of a filter in hexadecimal, as the record keeps them.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Back from there; `None` for what is no such text.
#[must_use]
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(16).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

fn bytes(program: &[sock_filter]) -> Vec<u8> {
    let mut out = Vec::with_capacity(program.len() * 8);
    for i in program {
        out.extend(i.code.to_le_bytes());
        out.extend([i.jt, i.jf]);
        out.extend(i.k.to_le_bytes());
    }
    out
}

fn program(capabilities: u64) -> BpfProgram {
    let has = |name: &str| bit(name).is_some_and(|b| capabilities & b != 0);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    for call in calls::ALWAYS {
        rules.insert(*call, Vec::new());
    }
    for (name, allowed) in calls::WITH_CAPABILITY {
        if has(name) {
            for call in *allowed {
                rules.insert(*call, Vec::new());
            }
        }
    }
    for (call, conditions) in conditional(has("SYS_ADMIN")) {
        // One that a capability allows in full needs no conditions.
        if !rules.get(&call).is_some_and(Vec::is_empty) {
            rules.insert(call, conditions);
        }
    }
    let deny = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, deny, SeccompAction::Allow, TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        // The input is a constant but for the choice of lists, all of which a test compiles.
        .unwrap_or_default();
    let enosys = RET_ERRNO | libc::ENOSYS as u32;
    let mut program = vec![instruction(LOAD, 0, 0, 0)];
    if !has("SYS_ADMIN") {
        program.push(instruction(JUMP_EQUAL, 0, 1, libc::SYS_clone3 as u32));
        program.push(instruction(RETURN, 0, 0, enosys));
    }
    program.push(instruction(JUMP_GREATER, 0, 1, calls::NEWEST as u32));
    program.push(instruction(RETURN, 0, 0, enosys));
    program.extend(filter);
    program
}

/// A rule over one argument.
fn rule(argument: u8, length: Len, op: Op, value: u64) -> Option<SeccompRule> {
    let condition = SeccompCondition::new(argument, length, op, value).ok()?;
    SeccompRule::new(vec![condition]).ok()
}

/// Calls that are allowed with certain arguments.
fn conditional(sys_admin: bool) -> Vec<(c_long, Vec<SeccompRule>)> {
    // Linux, Linux with 32-bit addresses, 2.6 version numbers, both, and "tell me": <linux/personality.h>.
    let personalities = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
    // The flags that make namespaces (<linux/sched.h>): NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
    const NAMESPACES: u64 = 0x7e02_0000;
    let mut all = vec![
        (
            libc::SYS_personality,
            personalities.iter().filter_map(|p| rule(0, Len::Dword, Op::Eq, *p)).collect::<Vec<_>>(),
        ),
        // Not vsock: it would reach whoever else listens on the hypervisor's own sockets.
        (libc::SYS_socket, rule(0, Len::Dword, Op::Ne, libc::AF_VSOCK as u64).into_iter().collect()),
    ];
    if !sys_admin {
        all.push((libc::SYS_clone, rule(0, Len::Qword, Op::MaskedEq(NAMESPACES), 0).into_iter().collect()));
    }
    all
}

#[cfg(test)]
mod tests;
