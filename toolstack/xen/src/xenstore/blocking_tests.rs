use std::io::Cursor;

use super::*;
use crate::ids::Domid;
use crate::xenstore::error::Code;
use crate::xenstore::fake::{BlockingStream, Dialect, Store};
use crate::xenstore::wire::Header;

fn start() -> (Store, Client<BlockingStream>) {
    let store = Store::new(Dialect::C);
    let client = Client::new(store.blocking(Domid::DOM0).unwrap());
    (store, client)
}

#[test]
fn values_lists_and_permissions() {
    let (store, mut client) = start();
    client.write("/a/b", [1, 0, 255]).unwrap();
    assert_eq!(client.read("/a/b").unwrap(), [1, 0, 255]);
    assert_eq!(client.list("/a").unwrap(), ["b"]);
    client.set_perms("/a/b", &Perms::readable_by(Domid(5))).unwrap();
    assert_eq!(client.get_perms("/a/b").unwrap(), Perms::readable_by(Domid(5)));
    client.rm("/a").unwrap();
    client.rm("/a/b/c").unwrap();
    assert_eq!(store.value("/a"), None);
    let error = client.read("/a").unwrap_err();
    assert_eq!(error.to_string(), "xenstore: cannot read /a: no such node (ENOENT)");
    assert!(matches!(client.write("/a b", ""), Err(Error::InvalidPath { .. })));
}

#[test]
fn events_that_come_before_a_reply_are_kept() {
    let (_store, mut client) = start();
    client.watch("/w", "t").unwrap();
    client.write("/w/a", "1").unwrap();
    client.write("/w/b", "1").unwrap();
    assert_eq!(client.read("/w/a").unwrap(), b"1");
    let paths: Vec<_> = (0..3).map(|_| client.wait().unwrap().0).collect();
    assert_eq!(paths, ["/w", "/w/a", "/w/b"]);
}

#[test]
fn waiting_ends_when_something_happens() {
    let (store, mut client) = start();
    client.watch("/w", "t").unwrap();
    client.wait().unwrap();
    let writer = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        store.apply_as(Domid::DOM0, &Op::write("/w/late", 1)).unwrap();
    });
    assert_eq!(client.wait().unwrap(), ("/w/late".to_owned(), "t".to_owned()));
    writer.join().unwrap();
}

#[test]
fn the_end_of_the_stream_is_said() {
    let (store, mut client) = start();
    store.disconnect_all();
    assert_eq!(client.read("/"), Err(Error::Disconnected));
}

/// A stream that takes everything and gives what it was made with.
struct Canned(Cursor<Vec<u8>>);

impl Read for Canned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // In small pieces, as a ring of 1024 bytes does.
        let len = buffer.len().min(7);
        self.0.read(&mut buffer[..len])
    }
}

impl Write for Canned {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn canned(messages: &[(Kind, u32, &[u8])]) -> Client<Canned> {
    let mut bytes = Vec::new();
    for (kind, request, payload) in messages {
        let header = Header { kind: *kind as u32, request: *request, transaction: 0, len: payload.len() as u32 };
        bytes.extend_from_slice(&header.to_bytes());
        bytes.extend_from_slice(payload);
    }
    Client::new(Canned(Cursor::new(bytes)))
}

#[test]
fn replies_in_pieces() {
    let mut client = canned(&[(Kind::WatchEvent, 0, b"/w\0t\0"), (Kind::Read, 1, b"a long enough value")]);
    assert_eq!(client.read("/a").unwrap(), b"a long enough value");
    assert_eq!(client.wait().unwrap(), ("/w".to_owned(), "t".to_owned()));
}

#[test]
fn a_daemon_that_lies() {
    let error = canned(&[(Kind::Read, 9, b"x")]).read("/a").unwrap_err();
    assert_eq!(error.to_string(), "xenstore: broken protocol: a reply to request 9, not to 1");
    let error = canned(&[(Kind::Write, 1, b"x")]).read("/a").unwrap_err();
    assert_eq!(error.to_string(), "xenstore: broken protocol: the reply to request 1 (read) is of type 11");
    let error = canned(&[(Kind::WatchEvent, 0, b"none")]).read("/a").unwrap_err();
    assert_eq!(error.to_string(), "xenstore: broken protocol: a watch event without a path and a token");
    let error = canned(&[(Kind::Error, 1, b"EVERYTHING\0")]).read("/a").unwrap_err();
    assert_eq!(error.code(), Some(&Code::Other("EVERYTHING".to_owned())));
    let error = canned(&[(Kind::Read, 1, b"x")]).wait().unwrap_err();
    assert_eq!(error.to_string(), "xenstore: broken protocol: a reply to request 1, which nobody made");
}

#[test]
fn events_nobody_takes_are_bounded() {
    let (_store, mut client) = start();
    client.watch("/w", "t").unwrap();
    for number in 0..EVENTS_MAX + 100 {
        client.write(&format!("/w/{number}"), "").unwrap();
    }
    assert_eq!(client.events.len(), EVENTS_MAX);
}
