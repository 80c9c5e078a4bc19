use super::*;

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("xenpod-volumes-{name}-{}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}

fn own_file(path: &str, data: &[u8], append: bool) -> File {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    File { path: path.into(), data: data.to_vec(), mode: 0o640, uid, gid, append }
}

#[test]
fn files_are_written_replaced_and_appended_to() {
    let root = folder("write");
    write_file(&root, 0o755, &own_file("a/b/c", b"one", false)).unwrap();
    write_file(&root, 0o755, &own_file("a/b/c", b" two", true)).unwrap();
    assert_eq!(fs::read(root.join("a/b/c")).unwrap(), b"one two");
    assert_eq!(fs::metadata(root.join("a/b/c")).unwrap().permissions().mode() & 0o7777, 0o640);
    write_file(&root, 0o755, &own_file("a/b/c", b"new", false)).unwrap();
    assert_eq!(fs::read(root.join("a/b/c")).unwrap(), b"new");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "nothing else is left");
    let error = write_file(&root, 0o755, &own_file("x", b"", true)).unwrap_err();
    assert_eq!(error.to_string(), "cannot append to file x of a volume: no such file or directory");
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn paths_that_leave_the_volume_are_refused() {
    for path in ["", "/etc/passwd", "../x", "a/../../x", "."] {
        let error = inside(Path::new("/v"), path).unwrap_err();
        assert_eq!(error.to_string(), format!("file {path:?}: not a path within the volume"));
    }
    assert_eq!(inside(Path::new("/v"), "a/b").unwrap(), Path::new("/v/a/b"));
}

#[test]
fn names_that_are_paths_are_refused() {
    for name in ["", "..", ".hidden", "a/b", "a b", &"x".repeat(201)] {
        assert!(check_name("volume", name).is_err(), "{name:?}");
    }
    for name in ["a", "web-1", "A_b.c"] {
        check_name("volume", name).unwrap();
    }
}
