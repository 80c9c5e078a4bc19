use super::*;

/// A sysfs of our own: which devices are taken to be ours is decided by this text alone.
fn sysfs(entries: &[(u32, Option<&str>)]) -> (tempfile::TempDir, Loops) {
    let dir = tempfile::tempdir().unwrap();
    for (minor, backing) in entries {
        let device = dir.path().join(format!("loop{minor}"));
        fs::create_dir_all(&device).unwrap();
        if let Some(backing) = backing {
            fs::create_dir(device.join("loop")).unwrap();
            fs::write(device.join("loop/backing_file"), format!("{backing}\n")).unwrap();
        }
    }
    fs::create_dir(dir.path().join("sda")).unwrap();
    let loops = Loops { control: None, ours: "/var/lib/xenpod".into(), sysfs: dir.path().into() };
    (dir, loops)
}

#[test]
fn only_devices_over_our_files_are_ours() {
    let (_dir, loops) = sysfs(&[
        (0, Some("/srv/vm.img")),
        (1, None),
        (2, Some("/var/lib/xenpod/pods/a/scratch.img")),
        (3, Some("/var/lib/xenpod-other/x")),
        (14, Some("/var/lib/xenpod/images/x.erofs (deleted)")),
    ]);
    let found: Vec<_> = loops.list().unwrap().into_iter().map(|a| (a.block.minor, a.backing, a.deleted)).collect();
    assert_eq!(
        found,
        [
            (2, PathBuf::from("/var/lib/xenpod/pods/a/scratch.img"), false),
            (14, PathBuf::from("/var/lib/xenpod/images/x.erofs"), true)
        ]
    );
}

#[test]
fn devices_of_an_earlier_daemon_are_known_by_what_is_left_of_their_path() {
    let erofs = format!("/images/images/sha256-{}.erofs", "a".repeat(64));
    let (_dir, loops) = sysfs(&[
        (1, Some("/pods/0f0e0d0c-0b0a-4908-8706-050403020100/scratch.img (deleted)")),
        (2, Some(erofs.as_str())),
        (3, Some("/pods/web/scratch.img")),
        (4, Some("/images/debian.erofs")),
        (5, Some("/srv/pods/0f0e0d0c-0b0a-4908-8706-050403020100/scratch.img")),
    ]);
    let found: Vec<_> = loops.list().unwrap().into_iter().map(|a| a.backing.display().to_string()).collect();
    let ours = "/var/lib/xenpod";
    assert_eq!(
        found,
        [format!("{ours}/pods/0f0e0d0c-0b0a-4908-8706-050403020100/scratch.img"), format!("{ours}{erofs}")]
    );
}

#[test]
fn detaching_somebody_elses_or_nobodys_device_does_nothing() {
    let (_dir, loops) = sysfs(&[(0, Some("/srv/vm.img")), (1, None)]);
    for minor in [0, 1, 99] {
        loops.detach(Block { major: 7, minor }).unwrap();
    }
}

#[test]
fn a_missing_backing_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut loops = Loops::new(dir.path()).unwrap();
    let e = loops.attach(Path::new("/nonexistent/x.erofs"), true).unwrap_err().to_string();
    assert_eq!(e, "open /nonexistent/x.erofs: No such file or directory (os error 2)");
}
