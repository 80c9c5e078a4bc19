use super::*;

#[test]
fn the_two_we_set() {
    assert_eq!(Perms::owned_by(Domid(7)).to_wire(), b"n7\0");
    assert_eq!(Perms::readable_by(Domid(7)).to_wire(), b"n0\0r7\0");
    assert_eq!(Perms::readable_by(Domid(7)).to_string(), "n0,r7");
}

#[test]
fn there_and_back() {
    let perms: Perms = "n0,r5,b6,w9".parse().unwrap();
    assert_eq!(perms.owner, Domid(0));
    assert_eq!(perms.others, [(Domid(5), Access::Read), (Domid(6), Access::Both), (Domid(9), Access::Write)]);
    assert_eq!(Perms::from_wire(&perms.to_wire()).unwrap(), perms);
    assert_eq!(Perms::from_wire(b"r1").unwrap(), "r1".parse().unwrap());
}

#[test]
fn what_is_no_permission() {
    for bad in ["", "x1", "n", "n-1", "n1,", "n70000", "n1,z", "é1"] {
        assert!(bad.parse::<Perms>().is_err(), "{bad:?} was taken");
    }
    assert_eq!(
        "q1".parse::<Perms>().unwrap_err().to_string(),
        "\"q1\" is no permission (a letter of n, r, w, b and a domain number)"
    );
    assert!(Perms::from_wire(b"").is_err());
}

#[test]
fn who_may_do_what() {
    let perms: Perms = "r3,n5,b6".parse().unwrap();
    let access = |domid| perms.access(Domid(domid));
    assert_eq!(access(0), Access::Both, "dom0 may do everything");
    assert_eq!(access(3), Access::Both, "so may the owner");
    assert_eq!(access(4), Access::Read, "everybody else");
    assert_eq!(access(5), Access::None, "an exception");
    assert_eq!(access(6), Access::Both, "another");
}
