//! The choice of a kernel.

use super::*;

#[test]
fn a_kernel_and_its_parameters() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    for kernel in ["debug-6.12_x", &digest] {
        assert_eq!(parse(&annotated("kernel", kernel)).unwrap().kernel.as_deref(), Some(kernel));
    }
    let pod = parse(&annotated("kernel-args", " quiet  loglevel=7 a.b-c=/x,y:z ")).unwrap();
    assert_eq!((pod.kernel, pod.kernel_args.join("|")), (None, "quiet|loglevel=7|a.b-c=/x,y:z".into()));
    for (name, text, want) in [
        ("kernel", "", "\"\" is neither the name of a kernel nor sha256:"),
        ("kernel", "../vmlinux", "\"../vmlinux\" is neither"),
        ("kernel", "sha256:0a", "\"sha256:0a\" is neither"),
        ("kernel-args", "quiet -- sh", "\"--\" is no parameter: NAME or NAME=VALUE"),
        ("kernel-args", "loglevel='7 init=/bin/sh'", "\"loglevel='7\" is no parameter"),
        ("kernel-args", "=7", "\"=7\" is no parameter"),
        ("kernel-args", &"quiet ".repeat(100), "has 600 bytes; the limit is 512"),
    ] {
        let found = problems(&annotated(name, text));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("line 8: metadata.annotations.xenpod.org/{name}: {want}")), "{found:?}");
    }
    let refused = refuse(&annotated("kernel", "x"), "metadata.annotations.xenpod.org/kernel".into(), "no".into());
    assert_eq!(refused.to_string(), "the manifest was refused: line 8: metadata.annotations.xenpod.org/kernel: no");
}
