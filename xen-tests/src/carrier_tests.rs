use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn copy(text: &str) -> Result<Copy, String> {
    text.parse()
}

#[test]
fn a_copy_needs_two_sides_and_an_absolute_target() {
    assert_eq!(copy("a:b:/c").unwrap(), Copy { from: "a:b".into(), to: "/c".into() });
    assert_eq!(copy("a").unwrap_err(), "it is not SRC:DST");
    assert!(copy("a:b").unwrap_err().contains("absolute"));
    assert!(copy(":/b").is_err());
}

#[test]
fn what_is_packed_comes_out_with_names_modes_and_links() {
    let folder = std::env::temp_dir().join(format!("xen-lab-carrier-{}", std::process::id()));
    let source = folder.join("src");
    fs::create_dir_all(source.join("deep")).unwrap();
    fs::write(source.join("deep/run"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(source.join("deep/run"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("deep/run", source.join("link")).unwrap();
    let drive = folder.join("drive");
    let from = |path: &str, to: &str| Copy { from: source.join(path), to: to.into() };
    pack(&[from("", "/opt/all"), from("deep/run", "/bin/"), from("link", "/named")], &drive).unwrap();
    assert_eq!(fs::metadata(&drive).unwrap().len(), CARRIER_SIZE);
    assert!(fs::metadata(&drive).unwrap().blocks() * 512 < 1 << 20, "the drive is not sparse");

    let out = folder.join("out");
    tar::Archive::new(File::open(&drive).unwrap()).unpack(&out).unwrap();
    assert_eq!(fs::read_link(out.join("opt/all/link")).unwrap(), Path::new("deep/run"));
    for name in ["opt/all/deep/run", "bin/run", "named"] {
        assert_eq!(fs::read(out.join(name)).unwrap(), b"#!/bin/sh\n");
    }
    assert_eq!(fs::metadata(out.join("named")).unwrap().permissions().mode() & 0o777, 0o755);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_missing_source_is_named() {
    let error = pack(&[copy("/nowhere/at/all:/x").unwrap()], &std::env::temp_dir().join("xen-lab-none")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}
