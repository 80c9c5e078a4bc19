//! The store in memory itself, seen by guests: what the daemon's tests rely on it to refuse.

use super::*;
use crate::xenstore::blocking::Client;
use crate::xenstore::error::{Code, Error};

const GUEST: Domid = Domid(7);

fn client(store: &Store, domid: Domid) -> Client<BlockingStream> {
    Client::new(store.blocking(domid).unwrap())
}

/// A store with a domain's directory as dom0 makes it.
fn with_domain(dialect: Dialect) -> Store {
    let store = Store::new(dialect);
    let mut dom0 = client(&store, Domid::DOM0);
    for op in [
        Op::mkdir("/local/domain/7"),
        Op::set_perms("/local/domain/7", Perms::readable_by(GUEST)),
        Op::write("/local/domain/7/name", "web"),
        Op::mkdir("/local/domain/7/data"),
        Op::set_perms("/local/domain/7/data", Perms::owned_by(GUEST)),
    ] {
        dom0.apply(&op).unwrap();
    }
    store
}

fn code<T: std::fmt::Debug>(outcome: Result<T, Error>) -> Code {
    outcome.unwrap_err().code().unwrap().clone()
}

#[test]
fn a_guest_reads_and_writes_only_where_it_may() {
    let store = with_domain(Dialect::C);
    let mut guest = client(&store, GUEST);
    assert_eq!(guest.read("name").unwrap(), b"web", "a relative path is its own domain's");
    assert_eq!(guest.read("/local/domain/7/name").unwrap(), b"web");
    assert_eq!(code(guest.write("name", "other")), Code::Denied);
    assert_eq!(code(guest.rm("name")), Code::Denied);
    assert_eq!(code(guest.write("new", "1")), Code::Denied, "nothing is made in a directory it only reads");
    assert_eq!(code(guest.read("/tool/xenstored")), Code::Denied);
    assert_eq!(code(guest.read("/tool/none")), Code::Denied, "it learns nothing about what is not there either");
    assert_eq!(code(guest.read("data/none")), Code::NotFound);
    guest.write("data/xenpod/ring-ref", "8").unwrap();
    assert_eq!(store.text("/local/domain/7/data/xenpod/ring-ref"), Some("8".to_owned()));
    assert_eq!(store.perms("/local/domain/7/data/xenpod"), Some(Perms::owned_by(GUEST)));
    assert_eq!(code(guest.set_perms("name", &Perms::owned_by(GUEST))), Code::Denied);
    assert_eq!(code(guest.set_perms("data", &Perms::owned_by(Domid(8)))), Code::Denied, "nothing is given away");
    let mut other = client(&store, Domid(8));
    assert_eq!(code(other.read("/local/domain/7/data/xenpod/ring-ref")), Code::Denied);
}

#[test]
fn quotas_hold_for_guests_and_not_for_dom0() {
    for (dialect, refusal) in [(Dialect::C, Code::Other("ENOSPC".to_owned())), (Dialect::Oxenstored, Code::Quota)] {
        let store = with_domain(dialect);
        store.set_quotas(Quotas { nodes: 5, value: 16, watches: 2, transactions: 1 });
        let mut guest = client(&store, GUEST);
        assert_eq!(code(guest.write("data/long", [b'x'; 17])), refusal);
        for number in 0..4 {
            guest.write(&format!("data/{number}"), "").unwrap();
        }
        assert_eq!(code(guest.write("data/4", "")), refusal);
        guest.write("data/3", "again").unwrap();
        guest.watch("data", "a").unwrap();
        guest.watch("data", "b").unwrap();
        assert_eq!(code(guest.watch("data", "c")), Code::TooBig);
        client(&store, Domid::DOM0).write("/local/domain/7/data/dom0", [b'x'; 100]).unwrap();
    }
}

#[test]
fn watches_tell_whom_they_may() {
    let store = with_domain(Dialect::C);
    let mut guest = client(&store, GUEST);
    let mut other = client(&store, Domid(8));
    let event = |path: &str, token: &str| (path.to_owned(), token.to_owned());
    guest.watch("data", "relative").unwrap();
    assert_eq!(guest.wait().unwrap(), event("data", "relative"), "the first comes at once");
    other.watch("/local/domain/7", "spy").unwrap();
    assert_eq!(other.wait().unwrap(), event("/local/domain/7", "spy"), "that one, even to a spy");
    assert_eq!(code(guest.watch("data", "relative")), Code::Exists);
    let mut dom0 = client(&store, Domid::DOM0);
    dom0.watch("/local/domain/7/data/deep/er", "deep").unwrap();
    assert_eq!(dom0.wait().unwrap(), event("/local/domain/7/data/deep/er", "deep"));
    dom0.write("/local/domain/7/data/deep/er", "1").unwrap();
    assert_eq!(guest.wait().unwrap(), event("data/deep/er", "relative"), "a relative watch is told relative paths");
    assert_eq!(dom0.wait().unwrap(), event("/local/domain/7/data/deep/er", "deep"));
    guest.rm("data/deep").unwrap();
    assert_eq!(dom0.wait().unwrap(), event("/local/domain/7/data/deep/er", "deep"), "below what was removed");
    guest.unwatch("data", "relative").unwrap();
    assert_eq!(code(guest.unwatch("data", "relative")), Code::NotFound);
    // The spy has heard nothing of all that: the next event it gets is of a watch of its own.
    other.watch("mine", "own").unwrap();
    assert_eq!(other.wait().unwrap(), event("mine", "own"));
}

#[test]
fn a_domain_takes_what_it_owned_with_it() {
    let store = with_domain(Dialect::Oxenstored);
    client(&store, GUEST).write("data/a", "1").unwrap();
    let mut dom0 = client(&store, Domid::DOM0);
    dom0.watch("@releaseDomain", "gone").unwrap();
    dom0.wait().unwrap();
    store.domain_shut_down();
    assert_eq!(dom0.wait().unwrap().0, "@releaseDomain");
    assert_eq!(store.text("/local/domain/7/data/a"), Some("1".to_owned()), "it is only shut down");
    store.domain_gone(GUEST);
    assert_eq!(dom0.wait().unwrap().0, "@releaseDomain");
    assert_eq!(store.value("/local/domain/7/data"), None);
    assert_eq!(store.text("/local/domain/7/name"), Some("web".to_owned()));
    assert_eq!(store.perms("/local/domain/7/name"), Some(Perms::owned_by(Domid::DOM0)), "the next 7 may not read it");
}

#[test]
fn the_dialects_differ_where_the_daemons_do() {
    let stores = [Dialect::C, Dialect::Oxenstored].map(|dialect| {
        let store = Store::new(dialect);
        let mut dom0 = client(&store, Domid::DOM0);
        for number in 0..200 {
            dom0.write(&format!("/vm/{number:040}"), "").unwrap();
        }
        store
    });
    let [c, oxen] = stores.each_ref().map(|store| client(store, Domid::DOM0).list("/vm"));
    assert_eq!(code(c), Code::TooBig);
    assert_eq!(oxen.unwrap().len(), 200);
}

#[test]
fn faults_strike_when_and_where_they_are_planned() {
    let store = Store::new(Dialect::C);
    let mut dom0 = client(&store, Domid::DOM0);
    store.plan(Fault::refuse("EIO").on(Kind::Write).within("/a").after(1).times(2));
    dom0.write("/a/1", "").unwrap();
    dom0.write("/b", "").unwrap();
    assert_eq!(code(dom0.write("/a/2", "")), Code::Other("EIO".to_owned()));
    dom0.read("/a/1").unwrap();
    assert_eq!(code(dom0.write("/a", "")), Code::Other("EIO".to_owned()));
    dom0.write("/a/3", "").unwrap();
    assert_eq!(store.value("/a/2"), None);
    store.plan(Fault::new(Act::Disconnect));
    assert_eq!(dom0.write("/a/4", ""), Err(Error::Disconnected));
    assert_eq!(store.value("/a/4"), None);
    store.plan(Fault::new(Act::DisconnectAfter).within("/a/5"));
    store.clear_faults();
    client(&store, Domid::DOM0).write("/a/5", "").unwrap();
}

#[test]
fn a_dump_shows_everything_once() {
    let store = Store::new(Dialect::C);
    let before = store.dump();
    assert_eq!(
        before,
        [
            "/ = \"\"   (n0)",
            "/local = \"\"   (n0)",
            "/local/domain = \"\"   (n0)",
            "/local/domain/0 = \"\"   (n0)",
            "/local/domain/0/domid = \"0\"   (n0)",
            "/local/domain/0/name = \"Domain-0\"   (n0)",
            "/tool = \"\"   (n0)",
            "/tool/xenstored = \"\"   (n0)",
        ]
    );
    store.apply_as(Domid::DOM0, &Op::write("/x/y", "a\n")).unwrap();
    assert!(store.dump().contains(&"/x/y = \"a\\n\"   (n0)".to_owned()));
    store.apply_as(Domid::DOM0, &Op::rm("/x")).unwrap();
    assert_eq!(store.dump(), before);
    assert_eq!(store.connections(), 0);
}

#[test]
fn a_store_that_is_away_takes_no_connections() {
    let store = Store::new(Dialect::C);
    store.set_available(false);
    assert_eq!(store.blocking(GUEST).err().map(|error| error.kind()), Some(io::ErrorKind::ConnectionRefused));
}
