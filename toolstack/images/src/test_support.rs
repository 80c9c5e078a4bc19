//! What the tests share: layers from entries, images from layers, and a comparable description of a directory tree.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::Command;

use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::layer::Spool;
use crate::limits::Limits;
use crate::make::{Entry, write_tar};
use crate::progress::Cancel;
use crate::tree::Tree;

/// The tar of these entries as an already verified layer.
pub fn spool(entries: &[Entry]) -> Spool {
    let mut tar = Vec::new();
    write_tar(&mut tar, entries).unwrap();
    spool_bytes(&tar)
}

pub fn spool_bytes(tar: &[u8]) -> Spool {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(tar).unwrap();
    Spool { file, len: tar.len() as u64, name: Digest::of(tar).to_string() }
}

pub fn tree(layers: &[&[Entry]]) -> (Tree, Vec<Spool>) {
    let spools: Vec<_> = layers.iter().map(|entries| spool(entries)).collect();
    (merge(&spools).unwrap(), spools)
}

pub fn merge(spools: &[Spool]) -> Result<Tree, ErrorKind> {
    let mut tree = Tree::new();
    for (i, spool) in spools.iter().enumerate() {
        tree.apply(i as u32, spool, &Limits::default(), &Cancel::default())?;
    }
    Ok(tree)
}

/// The EROFS image of these layers.
pub fn erofs(layers: &[&[Entry]]) -> tempfile::NamedTempFile {
    let (tree, spools) = tree(layers);
    erofs_of(&tree, &spools)
}

pub fn erofs_of(tree: &Tree, spools: &[Spool]) -> tempfile::NamedTempFile {
    let out = tempfile::NamedTempFile::new().unwrap();
    let uuid = Digest::of(b"test").uuid();
    let limits = Limits::default();
    crate::erofs::build(tree, spools, uuid, out.as_file(), "test", &limits, &Cancel::default(), &mut |_, _| {})
        .unwrap();
    out
}

/// Runs a program that must be there and must succeed; returns its standard output.
pub fn run(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output();
    let out = out.unwrap_or_else(|e| panic!("{program}: {e}; install erofs-utils, umoci, skopeo and util-linux"));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{program} {args:?}: {}\n{text}{}", out.status, String::from_utf8_lossy(&out.stderr));
    text
}

/// Runs fsck.erofs and returns its complaints: version 1.5 exits with 0 even after an error.
pub fn fsck(args: &[&str]) -> String {
    let out = Command::new("fsck.erofs").args(args).output();
    let out = out.unwrap_or_else(|e| panic!("fsck.erofs: {e}; install erofs-utils"));
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    text.lines().filter(|line| line.starts_with("<E>") || line.starts_with("<W>")).collect::<Vec<_>>().join("\n")
}

/// Extracts an image with fsck.erofs, which also checks it, and describes the result.
pub fn extract(image: &Path) -> BTreeMap<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    assert_eq!(fsck(&[&format!("--extract={}", root.display()), image.to_str().unwrap()]), "");
    describe(&root, false)
}

/// Whether this process may mount, change owners and make devices; says so if not.
pub fn is_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED, not run as root: {what}");
    }
    root
}

/// One line for each file below `root`: type, mode, owner, size or device or target, time, digest; with `links`, the
/// number of links and extended attributes too. Sizes and links of directories are left out: they differ between
/// filesystems.
pub fn describe(root: &Path, links: bool) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    let mut todo = vec![std::path::PathBuf::new()];
    while let Some(relative) = todo.pop() {
        let path = root.join(&relative);
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let mut line = format!(
            "{:o} {}:{} {}.{:09}",
            meta.mode() & 0o7777,
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        );
        if kind.is_dir() {
            line.insert_str(0, "dir ");
            for entry in fs::read_dir(&path).unwrap() {
                todo.push(relative.join(entry.unwrap().file_name()));
            }
        } else if kind.is_symlink() {
            // The mode of a link means nothing and differs.
            let target = fs::read_link(&path).unwrap();
            line = format!("link {}:{} {}", meta.uid(), meta.gid(), target.as_os_str().as_bytes().escape_ascii());
        } else if kind.is_file() {
            let digest = crate::make::digest_of_file(&mut File::open(&path).unwrap()).unwrap();
            line = format!("file {line} {} {}", meta.len(), &digest.hex()[..16]);
        } else {
            let word = if kind.is_fifo() {
                "fifo"
            } else if kind.is_block_device() {
                "block"
            } else {
                "char"
            };
            line = format!("{word} {line} {}:{}", rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
        }
        if links && !kind.is_dir() {
            line += &format!(" nlink={}", meta.nlink());
        }
        if links {
            line += &xattrs(&path);
        }
        out.insert(format!("/{}", relative.as_os_str().as_bytes().escape_ascii()), line);
    }
    out
}

fn xattrs(path: &Path) -> String {
    let mut names = vec![0; 64 << 10];
    let len = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let mut names: Vec<_> = names[..len].split(|&b| b == 0).filter(|n| !n.is_empty()).collect();
    names.sort();
    let mut out = String::new();
    for name in names {
        let mut value = vec![0; 64 << 10];
        let len = rustix::fs::lgetxattr(path, std::ffi::CString::new(name).unwrap(), &mut value[..]).unwrap();
        out += &format!(" {}={}", name.escape_ascii(), value[..len.min(80)].escape_ascii());
    }
    out
}

/// The whole of a file.
pub fn bytes(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    File::open(path).unwrap().read_to_end(&mut out).unwrap();
    out
}

/// Compares two descriptions and shows only where they differ.
#[track_caller]
pub fn assert_same(expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) {
    let names: std::collections::BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let differ: Vec<_> = names.into_iter().filter(|name| expected.get(*name) != found.get(*name)).collect();
    let show = |name: &&String| {
        let (expected, found) = (expected.get(*name), found.get(*name));
        format!("{name}\n  expected {expected:?}\n  found    {found:?}\n")
    };
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.iter().take(20).map(show).collect::<String>());
}

/// A small, seeded generator (xorshift64*): tests must repeat.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}
