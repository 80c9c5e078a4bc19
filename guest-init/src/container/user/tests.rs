use super::*;

const PASSWD_TEXT: &str =
    "root:x:0:0:root:/root:/bin/sh\nbroken line\nweb:x:33:34:www:/srv/web:/bin/false\n1000:x:5:5::/odd:\n";
const GROUP_TEXT: &str = "root:x:0:\nwww:x:34:\nlogs:x:40:web,other\nadm:x:41:web\nweb-extra:x:42:webby\n";

fn look(user: &str, additional: &[u32]) -> Result<Identity, Error> {
    resolve_in("c", user, additional, PASSWD_TEXT, GROUP_TEXT)
}

fn identity(uid: u32, gid: u32, groups: &[u32], home: &str) -> Identity {
    Identity { uid, gid, groups: groups.to_vec(), home: home.into() }
}

#[test]
fn names_numbers_and_groups() {
    for (user, expected) in [
        ("", identity(0, 0, &[], "/root")),
        ("root", identity(0, 0, &[], "/root")),
        ("web", identity(33, 34, &[40, 41], "/srv/web")),
        ("33", identity(33, 34, &[40, 41], "/srv/web")),
        ("web:logs", identity(33, 40, &[], "/srv/web")),
        ("web:7", identity(33, 7, &[], "/srv/web")),
        ("4000", identity(4000, 0, &[], "/")),
        ("4000:4001", identity(4000, 4001, &[], "/")),
        (":logs", identity(0, 40, &[], "/root")),
        ("web:", identity(33, 34, &[40, 41], "/srv/web")),
        // A user whose name is a number is found by it first.
        ("1000", identity(5, 5, &[], "/odd")),
    ] {
        assert_eq!(look(user, &[]), Ok(expected), "{user:?}");
    }
}

#[test]
fn additional_groups_are_added_once() {
    assert_eq!(look("web", &[99, 40, 34]), Ok(identity(33, 34, &[40, 41, 99], "/srv/web")));
}

#[test]
fn unknown_names_are_refused_by_name() {
    let error = look("nobody", &[]).unwrap_err();
    assert_eq!(error.to_string(), "user \"nobody\" is not in /etc/passwd of container c");
    let error = look("web:staff", &[]).unwrap_err();
    assert_eq!(error.to_string(), "group \"staff\" is not in /etc/group of container c");
    assert!(resolve_in("c", "web", &[], "", "").is_err());
    assert_eq!(resolve_in("c", "7:8", &[], "", ""), Ok(identity(7, 8, &[], "/")));
}
