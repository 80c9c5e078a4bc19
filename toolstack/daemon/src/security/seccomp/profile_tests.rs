use super::super::tests::{ALLOW, EPERM, run};
use super::*;

fn compiled(text: &str, caps: &[&str]) -> Result<BpfProgram, String> {
    let profile = serde_json::from_str(text).map_err(|e| e.to_string())?;
    compile(&profile, caps.iter().filter_map(|c| bit(c)).fold(0, |a, b| a | b))
}

const ERRNO: u32 = 0x0005_0000;
const KILL: u32 = 0x8000_0000;
const LOG: u32 = 0x7ffc_0000;

#[test]
fn what_is_listed_is_done_and_the_rest_is_the_default() {
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": [
        {"names": ["mkdir", "mkdirat", "no_such_call_here"], "action": "SCMP_ACT_ERRNO", "errnoRet": 30},
        {"names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS"},
        {"names": ["chmod"], "action": "SCMP_ACT_LOG"},
        {"name": "unlink", "action": "SCMP_ACT_ERRNO"}]}"#;
    let p = compiled(text, &[]).unwrap();
    for (call, want) in [
        (libc::SYS_mkdir, ERRNO | 30),
        (libc::SYS_mkdirat, ERRNO | 30),
        (libc::SYS_reboot, KILL),
        (libc::SYS_chmod, LOG),
        (libc::SYS_unlink, EPERM),
        (libc::SYS_read, ALLOW),
    ] {
        assert_eq!(run(&p, call, [0; 6]), want, "{call}");
    }
}

#[test]
fn an_allow_list_with_another_error() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let p = compiled(text, &[]).unwrap();
    assert_eq!((run(&p, libc::SYS_read, [0; 6]), run(&p, libc::SYS_open, [0; 6])), (ALLOW, ERRNO | 38));
}

#[test]
fn arguments_are_looked_at() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]},
        {"names": ["socket"], "action": "SCMP_ACT_KILL_PROCESS", "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]},
        {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["kill"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "value": 4294967296, "op": "SCMP_CMP_GT"}]}]}"#;
    let p = compiled(text, &[]).unwrap();
    let of = |call, a, b| run(&p, call, [a, b, 0, 0, 0, 0]);
    assert_eq!(
        [of(libc::SYS_socket, 2, 1), of(libc::SYS_socket, 2, 2), of(libc::SYS_socket, 40, 1)],
        [ALLOW, EPERM, KILL]
    );
    let personality = |a| of(libc::SYS_personality, a, 0);
    assert_eq!([personality(0), personality(8), personality(9)], [ALLOW, ALLOW, EPERM]);
    assert_eq!([of(libc::SYS_clone, 0x11, 0), of(libc::SYS_clone, 0x1000_0000, 0)], [ALLOW, EPERM]);
    assert_eq!([of(libc::SYS_kill, 1, 1 << 33), of(libc::SYS_kill, 1, 9)], [ALLOW, EPERM], "all 64 bits");
}

#[test]
fn a_rule_without_conditions_counts_more() {
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO"}]}"#;
    let p = compiled(text, &[]).unwrap();
    assert_eq!(run(&p, libc::SYS_socket, [2, 0, 0, 0, 0, 0]), EPERM);
}

#[test]
fn rules_can_be_for_some_containers_only() {
    let text = r#"{"defaultAction": "SCMP_ACT_ERRNO", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}], "syscalls": [
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}, "comment": ""},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"]}},
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm"]}},
        {"names": ["write"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.5"}}]}"#;
    let (plain, admin) = (compiled(text, &[]).unwrap(), compiled(text, &["SYS_ADMIN"]).unwrap());
    let both = |call| (run(&plain, call, [0; 6]), run(&admin, call, [0; 6]));
    assert_eq!(both(libc::SYS_mount), (EPERM, ALLOW));
    assert_eq!(both(libc::SYS_clone), (ALLOW, EPERM));
    assert_eq!(both(libc::SYS_ptrace), (ALLOW, ALLOW));
    assert_eq!((both(libc::SYS_read), both(libc::SYS_write)), ((EPERM, EPERM), (EPERM, EPERM)));
}

#[test]
fn what_cannot_be_is_named() {
    let refused = |text: &str| compiled(text, &[]).unwrap_err();
    assert!(refused(r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#).contains("SCMP_ACT_NOTIFY"));
    assert!(refused(r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x"}"#).contains("listenerPath"));
    assert!(refused(r#"{"syscalls": []}"#).contains("defaultAction"));
    assert_eq!(
        refused(r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_AARCH64"]}"#),
        "it is not for SCMP_ARCH_X86_64, which pods run on"
    );
    assert_eq!(
        refused(r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}"#),
        "flag SECCOMP_FILTER_FLAG_LOG is not supported"
    );
    let index = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#;
    assert!(refused(index).starts_with("rule for read: "));
}

#[test]
fn files_are_read_from_their_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ok.json"), r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    assert_eq!(load(dir.path(), "ok.json", 0).unwrap(), [0x06, 0, 0, 0, 0, 0, 0xff, 0x7f]);
    let missing = load(dir.path(), "none.json", 0).unwrap_err().to_string();
    assert!(missing.starts_with("seccomp profile /") && missing.contains("none.json: No such file"), "{missing}");
    std::fs::write(dir.path().join("bad.json"), "{").unwrap();
    assert!(load(dir.path(), "bad.json", 0).unwrap_err().to_string().contains("bad.json: EOF"));
}
