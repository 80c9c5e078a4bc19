use super::*;

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

#[test]
fn a_name_is_looked_up_and_a_path_is_not() {
    let env = strings(&["A=1", "PATH=/a:/b::/c"]);
    assert_eq!(candidates("x", &env), ["/a/x", "/b/x", "./x", "/c/x"]);
    assert_eq!(candidates("./x", &env), ["./x"]);
    assert_eq!(candidates("/x", &env), ["/x"]);
    assert_eq!(candidates("x", &[])[3], "/usr/bin/x");
}

#[test]
fn interpreters_are_found() {
    assert_eq!(interpreter(b"#!/bin/sh -e\necho"), Some("/bin/sh".into()));
    assert_eq!(interpreter(b"#! \t/usr/bin/env python3"), Some("/usr/bin/env".into()));
    assert_eq!(interpreter(b"#!\n"), None);
    assert_eq!(interpreter(b"text"), None);
    let mut elf = vec![0; 200];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    elf[64] = 3;
    elf[72] = 150;
    elf[150..160].copy_from_slice(b"/lib/ld.so");
    assert_eq!(interpreter(&elf), Some("/lib/ld.so".into()));
    elf[72] = 250;
    assert_eq!(interpreter(&elf), None);
    elf[32..40].copy_from_slice(&[0xff; 8]);
    assert_eq!(interpreter(&elf), None);
}

#[test]
fn every_failure_has_its_own_name() {
    let folder = std::env::temp_dir().join(format!("xenpod-program-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path.display().to_string()
    };
    let script = write("script", "#!/no/such/interpreter\n", 0o755);
    let plain = write("plain", "#!/bin/sh\n", 0o644);
    let noise = write("noise", "\x01\x02", 0o755);
    let env = vec![format!("PATH=/no/such:{}", folder.display())];
    let fail = |command: &str| run("web", &strings(&[command]), &env);
    assert_eq!(
        fail("missing").to_string(),
        "command \"missing\" not found in container web: no such file or directory"
    );
    assert_eq!(
        fail("script").to_string(),
        "command \"script\" in container web needs /no/such/interpreter, which does not exist there"
    );
    assert_eq!(
        fail("plain"),
        Error::NotExecutable { command: "plain".into(), container: "web".into(), path: plain, errno: Errno::ACCESS }
    );
    assert_eq!(
        fail("noise"),
        Error::NotExecutable { command: "noise".into(), container: "web".into(), path: noise, errno: Errno::NOEXEC }
    );
    assert!(matches!(fail(&script), Error::NoInterpreter { .. }));
    assert!(matches!(fail("a\0b"), Error::Invalid { .. }));
    std::fs::remove_dir_all(&folder).unwrap();
}
