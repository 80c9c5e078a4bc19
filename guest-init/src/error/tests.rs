use super::*;

#[test]
fn a_missing_command_is_named_with_its_container() {
    let error = Error::CommandNotFound {
        command: "foo".into(),
        container: "web".into(),
        path: "/usr/bin/foo".into(),
        errno: Errno::NOENT,
    };
    let wire = error.to_wire();
    assert_eq!(wire.message, "command \"foo\" not found in container web: no such file or directory");
    assert_eq!((wire.kind(), wire.errno, wire.path.as_str()), (ErrorKind::NotFound, 2, "/usr/bin/foo"));
}

#[test]
fn permission_and_format_are_told_apart() {
    let error = |errno| Error::NotExecutable { command: "/a".into(), container: "c".into(), path: "/a".into(), errno };
    assert_eq!(error(Errno::ACCESS).to_wire().kind(), ErrorKind::PermissionDenied);
    assert_eq!(error(Errno::NOEXEC).to_wire().kind(), ErrorKind::BadFormat);
    assert_eq!(error(Errno::NOEXEC).to_string(), "command \"/a\" in container c cannot be executed: exec format error");
}
