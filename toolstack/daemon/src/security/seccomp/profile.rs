//! Profiles of the host's own: JSON as the OCI runtime specification has it, with the `includes` and `excludes` that Docker
//! and Podman know besides.
//!
//! ```text
//! text --serde--> Profile --which rules are for this container--> one filter an action --> chained into one program
//! ```
//!
//! Of several rules for a call, one without conditions on its arguments counts, else the first that holds. Names of calls
//! that x86-64 does not have are passed over, as everywhere: profiles are written for several architectures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};
use serde::Deserialize;
use syscalls::x86_64::Sysno;

use super::super::caps::bit;
use super::{RETURN, bytes, instruction};

/// The largest file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// What Linux takes as one filter (`BPF_MAXINSNS`, include/uapi/linux/bpf_common.h).
const MAX_INSTRUCTIONS: usize = 4096;
/// `BPF_JMP | BPF_JA`: on to the next filter.
const JUMP: u16 = 0x05;
/// Stands for "not decided here" until the filters are chained: `SECCOMP_RET_TRACE` with a number that no profile gets,
/// because its own are refused.
const UNDECIDED: SeccompAction = SeccompAction::Trace(0xffff);

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It cannot be read.
    #[error("seccomp profile {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not the JSON of a profile.
    #[error("seccomp profile {}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why, and where in it.
        source: serde_json::Error,
    },
    /// It asks for what cannot be.
    #[error("seccomp profile {}: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: Action,
    default_errno_ret: Option<u16>,
    #[serde(default)]
    architectures: Vec<String>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    flags: Vec<String>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMap {
    architecture: String,
    #[serde(default, rename = "subArchitectures")]
    _sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    names: Vec<String>,
    name: Option<String>,
    action: Action,
    errno_ret: Option<u16>,
    #[serde(default)]
    args: Option<Vec<Arg>>,
    #[serde(default)]
    includes: Option<When>,
    #[serde(default)]
    excludes: Option<When>,
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
    // What Docker's own profile carries for people.
    #[serde(default, rename = "errno")]
    _errno: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Arg {
    index: u8,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: Compare,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct When {
    #[serde(default)]
    caps: Vec<String>,
    #[serde(default)]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Action {
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
    #[serde(rename = "SCMP_ACT_KILL", alias = "SCMP_ACT_KILL_THREAD")]
    KillThread,
    #[serde(rename = "SCMP_ACT_KILL_PROCESS")]
    KillProcess,
    #[serde(rename = "SCMP_ACT_LOG")]
    Log,
    #[serde(rename = "SCMP_ACT_TRAP")]
    Trap,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Compare {
    #[serde(rename = "SCMP_CMP_EQ")]
    Eq,
    #[serde(rename = "SCMP_CMP_NE")]
    Ne,
    #[serde(rename = "SCMP_CMP_LT")]
    Lt,
    #[serde(rename = "SCMP_CMP_LE")]
    Le,
    #[serde(rename = "SCMP_CMP_GT")]
    Gt,
    #[serde(rename = "SCMP_CMP_GE")]
    Ge,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEq,
}

/// The filter of the profile `name` in the folder `dir`, for a container with these capabilities. Reads the file; blocks.
///
/// # Errors
/// [`ProfileError`].
pub fn load(dir: &Path, name: &str, capabilities: u64) -> Result<Vec<u8>, ProfileError> {
    let path = dir.join(name);
    let read = |source| ProfileError::Read { path: path.clone(), source };
    let size = std::fs::metadata(&path).map_err(read)?.len();
    let content = |why| ProfileError::Content { path: path.clone(), why };
    if size > MAX_BYTES {
        return Err(content(format!("it has {size} bytes; the limit is {MAX_BYTES}")));
    }
    let text = std::fs::read_to_string(&path).map_err(|source| ProfileError::Read { path: path.clone(), source })?;
    let profile = serde_json::from_str(&text).map_err(|source| ProfileError::Parse { path: path.clone(), source })?;
    compile(&profile, capabilities).map(|program| bytes(&program)).map_err(content)
}

fn compile(profile: &Profile, capabilities: u64) -> Result<BpfProgram, String> {
    let of_x86 = |a: &str| a == "SCMP_ARCH_X86_64";
    let listed = profile.architectures.iter().chain(profile.arch_map.iter().map(|m| &m.architecture));
    if listed.clone().next().is_some() && !listed.clone().any(|a| of_x86(a)) {
        return Err("it is not for SCMP_ARCH_X86_64, which pods run on".into());
    }
    // Of the flags only what changes nothing here: the filter is installed by the only thread there is.
    if let Some(flag) = profile.flags.iter().find(|f| *f != "SECCOMP_FILTER_FLAG_TSYNC") {
        return Err(format!("flag {flag} is not supported"));
    }
    let default = action(profile.default_action, profile.default_errno_ret);
    let mut groups: Vec<(SeccompAction, BTreeMap<i64, Vec<SeccompRule>>)> = Vec::new();
    for (call, (rules, _)) in by_call(profile, capabilities)? {
        // What asks for the default adds nothing.
        for (action, conditions) in rules.into_iter().filter(|(action, _)| *action != default) {
            let position = groups.iter().position(|(a, _)| *a == action).unwrap_or_else(|| {
                groups.push((action, BTreeMap::new()));
                groups.len() - 1
            });
            let list = groups[position].1.entry(call).or_default();
            list.extend(conditions);
        }
    }
    chain(groups, default)
}

type Rules = Vec<(SeccompAction, Vec<SeccompRule>)>;

/// What is said of each call: its rules in order, each with alternatives (none: always), and whether one decides alone.
fn by_call(profile: &Profile, capabilities: u64) -> Result<BTreeMap<i64, (Rules, bool)>, String> {
    let mut all: BTreeMap<i64, (Rules, bool)> = BTreeMap::new();
    for rule in &profile.syscalls {
        let wanted = rule.includes.as_ref().is_none_or(|w| holds(w, capabilities, true))
            && !rule.excludes.as_ref().is_some_and(|w| holds(w, capabilities, false));
        if !wanted {
            continue;
        }
        let what = action(rule.action, rule.errno_ret);
        for name in rule.names.iter().chain(&rule.name) {
            let Ok(call) = name.parse::<Sysno>() else { continue };
            let (rules, decided) = all.entry(i64::from(call.id())).or_default();
            if *decided {
                continue;
            }
            let alternatives = alternatives(rule.args.as_deref().unwrap_or_default(), name)?;
            if alternatives.is_empty() {
                rules.clear();
                *decided = true;
            }
            rules.push((what.clone(), alternatives));
        }
    }
    Ok(all)
}

/// Conditions on different arguments must hold together; on one argument any of them, as runc has it.
fn alternatives(args: &[Arg], name: &str) -> Result<Vec<SeccompRule>, String> {
    let wrong = |e: seccompiler::BackendError| format!("rule for {name}: {e}");
    let mut conditions = Vec::new();
    for arg in args {
        let (op, value) = match arg.op {
            Compare::Eq => (Op::Eq, arg.value),
            Compare::Ne => (Op::Ne, arg.value),
            Compare::Lt => (Op::Lt, arg.value),
            Compare::Le => (Op::Le, arg.value),
            Compare::Gt => (Op::Gt, arg.value),
            Compare::Ge => (Op::Ge, arg.value),
            Compare::MaskedEq => (Op::MaskedEq(arg.value), arg.value_two),
        };
        conditions.push(SeccompCondition::new(arg.index, Len::Qword, op, value).map_err(wrong)?);
    }
    let twice = args.iter().enumerate().any(|(i, a)| args[..i].iter().any(|b| b.index == a.index));
    let sets: Vec<Vec<SeccompCondition>> = match (conditions.is_empty(), twice) {
        (true, _) => Vec::new(),
        (_, true) => conditions.into_iter().map(|c| vec![c]).collect(),
        (_, false) => vec![conditions],
    };
    sets.into_iter().map(|set| SeccompRule::new(set).map_err(wrong)).collect()
}

/// Whether a container like this is meant: by all that is listed (`all`), or by any of it.
fn holds(when: &When, capabilities: u64, all: bool) -> bool {
    let has = |name: &String| bit(name).is_some_and(|b| capabilities & b != 0);
    let arch = |arch: &String| matches!(arch.as_str(), "amd64" | "x86_64" | "SCMP_ARCH_X86_64");
    // The guest's kernel is of the series 6.1.
    let kernel = |least: &String| {
        let mut parts = least.split('.').map(|p| p.parse::<u32>().unwrap_or(u32::MAX));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) <= (6, 1)
    };
    let mut said = Vec::new();
    said.extend(
        (!when.caps.is_empty()).then(|| if all { when.caps.iter().all(has) } else { when.caps.iter().any(has) }),
    );
    said.extend((!when.arches.is_empty()).then(|| when.arches.iter().any(arch)));
    said.extend(when.min_kernel.iter().map(kernel));
    if all { said.iter().all(|s| *s) } else { said.iter().any(|s| *s) }
}

fn action(action: Action, errno: Option<u16>) -> SeccompAction {
    match action {
        Action::Allow => SeccompAction::Allow,
        Action::Errno => SeccompAction::Errno(errno.map_or(libc::EPERM as u32, u32::from)),
        Action::KillThread => SeccompAction::KillThread,
        Action::KillProcess => SeccompAction::KillProcess,
        Action::Log => SeccompAction::Log,
        Action::Trap => SeccompAction::Trap,
    }
}

/// One program that asks filter after filter, and does the default when none has decided.
fn chain(
    groups: Vec<(SeccompAction, BTreeMap<i64, Vec<SeccompRule>>)>,
    default: SeccompAction,
) -> Result<BpfProgram, String> {
    let wrong = |e: seccompiler::BackendError| e.to_string();
    let undecided = u32::from(UNDECIDED);
    let mut program = BpfProgram::new();
    for (what, rules) in groups {
        let filter = SeccompFilter::new(rules, UNDECIDED, what, TargetArch::x86_64).map_err(wrong)?;
        let part = BpfProgram::try_from(filter).map_err(wrong)?;
        let length = part.len();
        program.extend(part.into_iter().enumerate().map(|(at, i)| {
            let on = u32::try_from(length - at - 1).unwrap_or(u32::MAX);
            if i.code == RETURN && i.k == undecided { instruction(JUMP, 0, 0, on) } else { i }
        }));
    }
    program.push(instruction(RETURN, 0, 0, u32::from(default)));
    if program.len() > MAX_INSTRUCTIONS {
        return Err(format!("it makes {} instructions; Linux takes {MAX_INSTRUCTIONS}", program.len()));
    }
    Ok(program)
}

#[cfg(test)]
#[path = "profile_tests.rs"]
mod tests;
