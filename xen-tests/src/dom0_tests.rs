use super::*;

const LOCK: &str = "# dom0's packages.
bash\t5.2.15-2+b13
libc6:amd64\t2.36-9+deb12u13
xz-utils\t5.4.1-1
";

#[test]
fn each_package_of_the_lock_is_asked_for_in_its_version() {
    let pins = pins(LOCK);
    assert!(
        pins.starts_with("Package: bash\nPin: version 5.2.15-2+b13\nPin-Priority: 1001\n\nPackage: libc6\n"),
        "{pins}"
    );
    assert_eq!(pins.matches("Package:").count(), 3);
}

#[test]
fn what_is_newer_missing_or_more_than_in_the_lock_is_told() {
    assert_eq!(moved(LOCK, LOCK), Vec::<String>::new());
    let installed = "bash\t5.2.15-2+b14\nlibc6:amd64\t2.36-9+deb12u13\nzstd\t1.5.4\n";
    assert_eq!(moved(LOCK, installed), ["bash 5.2.15-2+b14", "xz-utils -", "zstd 1.5.4"]);
}
