use super::*;

#[test]
fn good_paths() {
    for path in ["/", "/a", "/local/domain/0/backend/vif/1/0", "device/vif/0", "a-b_c@d", "/vm/6a1e-Z"] {
        assert_eq!(check(path), Ok(()), "{path}");
    }
    assert_eq!(check(&format!("/{}", "a".repeat(ABSOLUTE_MAX - 1))), Ok(()));
    assert_eq!(check_watch("@releaseDomain"), Ok(()));
    assert_eq!(check_watch("/a"), Ok(()));
}

#[test]
fn bad_paths() {
    let reason = |path: &str| match check(path) {
        Err(Error::InvalidPath { reason, .. }) => reason,
        other => panic!("{path}: {other:?}"),
    };
    assert_eq!(reason(""), "it is empty");
    assert_eq!(reason("/a/"), "a part of it is empty");
    assert_eq!(reason("//"), "a part of it is empty");
    assert_eq!(reason("a//b"), "a part of it is empty");
    for path in ["/a b", "/a\0b", "/ä", "/a.b", "/a:b", "/../b\n"] {
        assert_eq!(reason(path), "its characters are not all of A-Z a-z 0-9 - _ @ /", "{path:?}");
    }
    assert_eq!(reason(&format!("/{}", "a".repeat(ABSOLUTE_MAX))), "it is too long");
    assert_eq!(reason(&"a".repeat(RELATIVE_MAX + 1)), "it is too long");
    assert!(check_watch("@noSuchEvent!").is_err());
}

#[test]
fn parents() {
    assert_eq!(parent("/a/b"), Some("/a"));
    assert_eq!(parent("/a"), Some("/"));
    assert_eq!(parent("/"), None);
    assert_eq!(parent("a/b"), Some("a"));
    assert_eq!(parent("a"), None);
}

#[test]
fn within() {
    assert!(is_within("/a/b", "/a"));
    assert!(is_within("/a", "/a"));
    assert!(is_within("/a", "/"));
    assert!(!is_within("/ab", "/a"));
    assert!(!is_within("/a", "/a/b"));
}
