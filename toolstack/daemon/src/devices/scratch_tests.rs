use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn a_disk_is_a_sparse_copy_of_a_clean_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(dir.path());
    let disk = dir.path().join("scratch.img");
    scratch.make(&disk, 64 << 20).unwrap();
    let meta = fs::metadata(&disk).unwrap();
    assert_eq!(meta.len(), 64 << 20);
    assert_eq!(meta.mode() & 0o777, 0o600);
    assert!(meta.blocks() * 512 < 1 << 20, "{} KiB are allocated", meta.blocks() / 2);
    let check = Command::new("e2fsck").args(["-f", "-n"]).arg(&disk).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn an_old_disk_is_replaced_not_reused() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(dir.path());
    let disk = dir.path().join("scratch.img");
    fs::write(&disk, vec![b's'; 3 << 20]).unwrap();
    scratch.make(&disk, 2 << 20).unwrap();
    let bytes = fs::read(&disk).unwrap();
    assert_eq!(bytes.len(), 2 << 20);
    assert!(!bytes.windows(16).any(|w| w == [b's'; 16]));
}

#[test]
fn sizes_are_rounded_up_and_templates_kept() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(dir.path());
    scratch.make(&dir.path().join("a"), 5_000_001).unwrap();
    scratch.make(&dir.path().join("b"), 5_000_002).unwrap();
    assert_eq!(fs::metadata(dir.path().join("a")).unwrap().len(), 5_001_216);
    let kept: Vec<_> = fs::read_dir(dir.path().join("scratch")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(kept, ["ext4-5001216.img"]);
}
