use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::format::{device, xattr_index};
use crate::make::{Data, Entry, Kind};
use crate::test_support::{
    assert_same, bytes, describe, erofs, erofs_of, extract, fsck, is_root, run, spool_bytes, tree,
};

/// A bit of everything: types, sizes around the borders of blocks and tails, names of all lengths, big ids, times.
fn zoo() -> Vec<Entry> {
    let mut all = vec![
        Entry::new(".", 0o755, Kind::Dir).mtime(1_700_000_000, 0),
        Entry::dir("etc").mode(0o700).owner(1, 2),
        Entry::file("etc/passwd", "root:x:0:0::/root:/bin/sh\n").mtime(1_700_000_000, 123_456_789),
        Entry::file("su", "setuid").mode(0o4755),
        Entry::file("sg", "setgid").mode(0o2755),
        Entry::dir("tmp").mode(0o1777),
        Entry::file("big-ids", "x").owner(4_000_000_000, 70_000),
        Entry::file("old", "before the epoch").mtime(-5, 500_000_000),
        Entry::symlink("link", "/etc/passwd"),
        Entry::symlink("long-link", "x/".repeat(2000)),
        Entry::new("null", 0o666, Kind::Char(1, 3)),
        Entry::new("disk", 0o660, Kind::Block(202, 0x12345)).owner(0, 6),
        Entry::new("pipe", 0o600, Kind::Fifo),
        Entry::dir("empty"),
        Entry::file(b"not-utf8-\xff\xfe", "bytes"),
        Entry::file("!before-dot", "sorts before . and .."),
        Entry::file("Case", "upper"),
        Entry::file("case", "lower"),
        Entry::file("n".repeat(255), "longest name"),
        Entry::file("hard-a", "shared"),
        Entry::hard_link("etc/hard-b", "hard-a"),
        Entry::dir("many"),
    ];
    for size in [0, 1, 31, 32, 1023, 1024, 1025, 4095, 4096, 4097, 5120, 5121, 8192, 1 << 20, (3 << 20) + 77] {
        let data: Vec<u8> = (0..size).map(|i: usize| (i * 7 + i / 251) as u8).collect();
        all.push(Entry::file(format!("size-{size}"), data));
    }
    for i in 0..2000 {
        all.push(Entry::file(format!("many/file-with-a-middling-name-{i:05}"), format!("{i}")).mtime(1_700_000_000, 0));
    }
    all
}

/// What [`describe`] should find, derived from the entries themselves.
fn expected(entries: &[Entry]) -> BTreeMap<String, String> {
    let mut lines: BTreeMap<String, String> = BTreeMap::new();
    for entry in entries {
        let (seconds, nanos) = entry.mtime;
        let common = format!("{:o} {}:{} {seconds}.{nanos:09}", entry.mode, entry.uid, entry.gid);
        let line = match &entry.kind {
            Kind::Dir => format!("dir {common}"),
            Kind::File(Data::Bytes(data)) => {
                let digest = crate::digest::Digest::of(data);
                format!("file {common} {} {}", data.len(), &digest.hex()[..16])
            }
            Kind::Symlink(to) => format!("link {}:{} {}", entry.uid, entry.gid, to.escape_ascii()),
            Kind::Char(major, minor) => format!("char {common} {major}:{minor}"),
            Kind::Block(major, minor) => format!("block {common} {major}:{minor}"),
            Kind::Fifo => format!("fifo {common} 0:0"),
            Kind::HardLink(to) => lines[&format!("/{}", to.escape_ascii())].clone(),
            Kind::File(Data::Path(_)) => unreachable!(),
        };
        let name = if entry.path == b"." { "/".to_owned() } else { format!("/{}", entry.path.escape_ascii()) };
        lines.insert(name, line);
    }
    lines
}

#[test]
fn fsck_accepts_and_extracts_every_kind_of_file() {
    let mut zoo = zoo();
    if !is_root("comparing owners and devices") {
        zoo.retain(|e| !matches!(e.kind, Kind::Char(..) | Kind::Block(..)) && e.mode & 0o7000 == 0);
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        zoo.iter_mut().for_each(|e| (e.uid, e.gid) = (uid, gid));
    }
    let image = erofs(&[&zoo]);
    let mut expected = expected(&zoo);
    // fsck.erofs 1.5 changes the owner after the mode, which clears setuid and setgid.
    for name in ["/su", "/sg"] {
        let Some(line) = expected.get_mut(name) else { continue };
        *line = line.replace("file 4755", "file 755").replace("file 2755", "file 755");
    }
    let found = extract(image.path());
    assert_same(&expected, &found);
}

/// The kernel is the judge that counts. Mounted in a mount namespace of its own.
#[test]
fn linux_mounts_it_and_sees_the_same() {
    if !is_root("mounting the image") {
        return;
    }
    if !std::fs::read_to_string("/proc/filesystems").unwrap().contains("erofs") {
        eprintln!("SKIPPED: this kernel has no EROFS; fsck.erofs checked the same image");
        return;
    }
    let mut zoo = zoo();
    let caps = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    zoo.push(Entry::file("ping", "caps").mode(0o755).xattr("security.capability", caps));
    let long = "v".repeat(5000);
    zoo.push(
        Entry::file("xattrs", "y".repeat(900)).xattr("user.one", "1").xattr("user.empty", "").xattr("trusted.t", &long),
    );
    zoo.push(Entry::symlink("xlink", "target").xattr("trusted.onlink", "z"));
    let image = erofs(&[&zoo]);
    let found = mounted(image.path());
    let mut expected = expected(&zoo);
    for (name, line) in &mut expected {
        let shared = name == "/hard-a" || name == "/etc/hard-b";
        if !line.starts_with("dir") {
            *line += if shared { " nlink=2" } else { " nlink=1" };
        }
        match name.as_str() {
            "/ping" => *line += &format!(" security.capability={}", caps.escape_ascii()),
            "/xattrs" => *line += &format!(" trusted.t={} user.empty= user.one=1", &long[..80]),
            "/xlink" => *line += " trusted.onlink=z",
            _ => {}
        }
    }
    assert_same(&expected, &found);
}

/// Describes an image as the kernel shows it. The describing is done by this very test binary, inside the namespace.
fn mounted(image: &Path) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let (mount, out) = (dir.path().join("mnt"), dir.path().join("out.json"));
    std::fs::create_dir(&mount).unwrap();
    let script = format!(
        "mount -t erofs -o ro,loop {} {mnt} && XENPOD_DESCRIBE={mnt} XENPOD_DESCRIBE_TO={} {} --exact erofs::tests::describe_for_another_process",
        image.display(),
        out.display(),
        std::env::current_exe().unwrap().display(),
        mnt = mount.display(),
    );
    run("unshare", &["--mount", "sh", "-ec", &script]);
    serde_json::from_slice(&bytes(&out)).unwrap()
}

/// Not a test of its own: the inner half of [`mounted`].
#[test]
fn describe_for_another_process() {
    let (Ok(root), Ok(to)) = (std::env::var("XENPOD_DESCRIBE"), std::env::var("XENPOD_DESCRIBE_TO")) else { return };
    std::fs::write(to, serde_json::to_vec(&describe(Path::new(&root), true)).unwrap()).unwrap();
}

#[test]
fn superblock_says_what_tools_show() {
    let image = erofs(&[&[Entry::file("a", "1")]]);
    let text = run("dump.erofs", &["-s", image.path().to_str().unwrap()]);
    let has = |line: &str| assert!(text.contains(line), "{line:?} not in:\n{text}");
    has("Filesystem magic number:                      0xE0F5E1E2");
    has("Filesystem root nid:                          36");
    has("Filesystem inode count:                       2");
    has("Filesystem features:                          sb_csum mtime");
    assert_eq!(image.as_file().metadata().unwrap().len() % 4096, 0);
}

#[test]
fn a_damaged_superblock_fails_its_checksum() {
    use std::os::unix::fs::FileExt;
    let image = erofs(&[&[Entry::file("a", "1")]]);
    image.as_file().write_all_at(&[0x55], 1024 + 60).unwrap();
    assert!(fsck(&[image.path().to_str().unwrap()]).contains("superblock chksum doesn't match"));
}

#[test]
fn the_same_layers_give_the_same_bytes() {
    let zoo = zoo();
    let mut shuffled = zoo.clone();
    // Order within a layer does not matter as long as links follow their targets.
    let tail = shuffled.split_off(22);
    shuffled.extend(tail.into_iter().rev());
    let one = bytes(erofs(&[&zoo]).path());
    assert_eq!(one, bytes(erofs(&[&zoo]).path()));
    assert!(one == bytes(erofs(&[&shuffled]).path()), "the order of entries shows in the image");
}

#[test]
fn an_empty_image_is_an_empty_root() {
    let image = erofs(&[]);
    let found = extract(image.path());
    assert_eq!(found.keys().collect::<Vec<_>>(), ["/"]);
    if is_root("comparing the owner") {
        assert_eq!(found["/"], "dir 755 0:0 0.000000000");
    }
}

#[test]
fn sparse_files_stay_sparse_and_read_as_zeros() {
    // PAX 0.1: 1 GiB long, 512 bytes at its start and 512 at 512 MiB.
    let mut pax = Vec::new();
    let mut record = |key: &str, value: &str| crate::make::record(&mut pax, key.as_bytes(), value.as_bytes());
    record("GNU.sparse.major", "0");
    record("GNU.sparse.minor", "1");
    record("GNU.sparse.name", "sparse");
    record("GNU.sparse.size", "1073741824");
    record("GNU.sparse.map", "0,512,536870912,512,1073741824,0");
    let mut tar = Vec::new();
    tar.extend(crate::make::header(b"x", b'x', b"", 0, (0, 0), pax.len() as u64, 0, (0, 0)));
    tar.extend(&pax);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar.extend(crate::make::header(b"GNUSparseFile/sparse", b'0', b"", 0o644, (0, 0), 1024, 0, (0, 0)));
    tar.extend([b'A'; 512]);
    tar.extend([b'B'; 512]);
    tar.extend([0; 1024]);
    let spools = [spool_bytes(&tar)];
    let image = erofs_of(&crate::test_support::merge(&spools).unwrap(), &spools);
    let meta = image.as_file().metadata().unwrap();
    assert!(meta.len() > 1 << 30, "the file is not at full length: {}", meta.len());
    assert!(meta.blocks() * 512 < 1 << 20, "{} bytes of disk for 1 KiB of data", meta.blocks() * 512);
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    assert_eq!(fsck(&[&format!("--extract={}", root.display()), image.path().to_str().unwrap()]), "");
    let data = bytes(&root.join("sparse"));
    assert_eq!(data.len(), 1 << 30);
    assert!(data[..512].iter().all(|&b| b == b'A') && data[512..536870912].iter().all(|&b| b == 0));
    assert!(data[536870912..536871424].iter().all(|&b| b == b'B') && data[536871424..].iter().all(|&b| b == 0));
}

#[test]
fn links_and_directories_count_their_links() {
    let (tree, _) = tree(&[&[Entry::dir("a"), Entry::dir("a/b"), Entry::file("f", ""), Entry::hard_link("a/g", "f")]]);
    let plan = super::plan::Plan::new(&tree, "test", &crate::limits::Limits::default()).unwrap();
    let find = |path: &[&str]| {
        let mut at = crate::tree::Tree::ROOT;
        for name in path {
            at = tree.names(at).find(|(n, _)| n == &name.as_bytes()).unwrap().1;
        }
        plan.place(at).nlink
    };
    assert_eq!([find(&[]), find(&["a"]), find(&["a", "b"]), find(&["f"])], [3, 3, 2, 2]);
}

#[test]
fn a_tree_over_the_limit_is_refused_before_anything_is_written() {
    let (tree, spools) = tree(&[&[Entry::file("f", vec![0; 100_000])]]);
    let limits = crate::limits::Limits { max_image_bytes: 65_536, ..Default::default() };
    let out = tempfile::tempfile().unwrap();
    let cancel = crate::progress::Cancel::default();
    let error = super::build(&tree, &spools, [0; 16], &out, "image x", &limits, &cancel, &mut |_, _| {}).unwrap_err();
    assert_eq!(error.to_string(), "image x: the size of all its files exceeds the limit of 65536");
    assert_eq!(out.metadata().unwrap().len(), 0);
}

#[test]
fn names_of_attributes_are_split_as_the_kernel_splits_them() {
    assert_eq!(xattr_index(b"user.a"), Some((1, &b"a"[..])));
    assert_eq!(xattr_index(b"security.capability"), Some((6, &b"capability"[..])));
    assert_eq!(xattr_index(b"system.posix_acl_access"), Some((2, &b""[..])));
    assert_eq!(xattr_index(b"trusted.overlay.opaque"), None);
    assert_eq!(xattr_index(b"user."), None);
    assert_eq!(xattr_index(b"nfs4.acl"), None);
}

#[test]
fn device_numbers_are_encoded_as_the_kernel_does() {
    assert_eq!(device(1, 3), 0x103);
    assert_eq!(device(202, 0x12345), 0x1230ca45);
}
