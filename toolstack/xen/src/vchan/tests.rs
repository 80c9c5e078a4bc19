//! Both ends of a channel in one process, on the fake devices.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::*;
use crate::fake::{FakeEvents, FakeGrants};

mod hostile;
mod model;
#[cfg(feature = "toolstack")]
mod stream;

pub(super) const GUEST: Domid = Domid(7);

/// Both ends' devices.
pub(super) struct World {
    pub events: FakeEvents,
    pub grants: FakeGrants,
}

impl World {
    pub fn new() -> Self {
        let events = FakeEvents::default();
        World { grants: FakeGrants::new(&events), events }
    }

    pub fn offer(&self, sizes: RingSizes) -> (Vchan, Rendezvous) {
        Vchan::offer(&self.grants, &self.events, Domid::DOM0, sizes).unwrap()
    }

    pub fn connect(&self, rendezvous: Rendezvous) -> Vchan {
        Vchan::connect(&self.grants, &self.events, GUEST, rendezvous).unwrap()
    }

    pub fn pair(&self, sizes: RingSizes) -> (Vchan, Vchan) {
        let (server, rendezvous) = self.offer(sizes);
        let client = self.connect(rendezvous);
        (server, client)
    }
}

pub(super) fn sizes(left: u16, right: u16) -> RingSizes {
    RingSizes { left: RingOrder::new(left).unwrap(), right: RingOrder::new(right).unwrap() }
}

fn would_block<T: std::fmt::Debug>(result: Result<T, VchanError>) -> bool {
    matches!(result, Err(VchanError::WouldBlock))
}

fn gone<T: std::fmt::Debug>(result: Result<T, VchanError>) -> bool {
    matches!(result, Err(VchanError::Gone))
}

fn read_all(channel: &mut Vchan) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count) = channel.read(&mut buffer) {
        all.extend(&buffer[..count]);
    }
    all
}

#[test]
fn bytes_go_both_ways_in_every_layout() {
    for sizes in [sizes(10, 11), sizes(11, 10), sizes(12, 12), sizes(10, 12), sizes(16, 16), sizes(20, 13)] {
        let world = World::new();
        let (mut server, mut client) = world.pair(sizes);
        assert_eq!((server.peer(), client.peer()), (Peer::Connected, Peer::Connected));
        let long: Vec<u8> = (0..sizes.left.size() as usize).map(|i| (i * 7 % 251) as u8).collect();
        assert_eq!(client.write(&long).unwrap(), long.len(), "{sizes:?}");
        assert!(would_block(client.write(b"x")), "the ring is full");
        assert_eq!(server.write(b"to the client").unwrap(), 13);
        assert_eq!(read_all(&mut server), long, "{sizes:?}");
        assert_eq!(read_all(&mut client), b"to the client", "{sizes:?}");
    }
}

#[test]
fn the_first_page_is_as_libxenvchan_lays_it_out() {
    let world = World::new();
    let (server, rendezvous) = world.offer(sizes(12, 13));
    let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();
    let bytes = |offset: usize, count: usize| {
        let mut bytes = vec![0; count];
        page.read(offset, &mut bytes);
        bytes
    };
    assert_eq!(bytes(0, 16), [0; 16], "indices");
    assert_eq!(bytes(16, 4), [12, 0, 13, 0], "orders: left, right");
    assert_eq!(bytes(20, 4), [2, 1, 1, 0], "no client yet, a server; it wants to know of writes");
    let refs: Vec<u32> = bytes(24, 12).chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
    assert!(refs.iter().all(|gref| *gref != 0), "one reference for the left ring, two for the right: {refs:?}");
    assert_eq!(bytes(36, 4), [0; 4]);
    world.grants.map(GUEST, &refs[..1], None).unwrap();
    world.grants.map(GUEST, &refs[1..], None).unwrap();
    drop(server);

    // What each side's bytes do to the indices: the client writes left, the server right.
    let (mut server, rendezvous) = world.offer(sizes(10, 11));
    let mut client = world.connect(rendezvous);
    let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();
    client.write(b"abc").unwrap();
    server.write(b"wxyz").unwrap();
    assert_eq!([0, 4, 8, 12].map(|at| page.u32(at).load(Ordering::SeqCst)), [0, 3, 0, 4]);
    let mut ring = [0; 4];
    page.read(1024, &mut ring[..3]);
    assert_eq!(&ring[..3], b"abc");
    page.read(2048, &mut ring);
    assert_eq!(&ring, b"wxyz");
    read_all(&mut server);
    assert_eq!([0, 4].map(|at| page.u32(at).load(Ordering::SeqCst)), [3, 3]);
}

#[test]
fn layouts_that_cannot_be_are_refused() {
    let world = World::new();
    for bad in [sizes(10, 10), sizes(11, 11), sizes(20, 20)] {
        // 2^20 is 256 pages; two such lists still fit, but not before a ring in the first page.
        let result = Vchan::offer(&world.grants, &world.events, Domid::DOM0, bad);
        assert_eq!(result.is_ok(), bad == sizes(20, 20));
    }
    assert!(
        Vchan::offer(&world.grants, &world.events, Domid::DOM0, sizes(20, 10)).is_err(),
        "the list reaches the ring"
    );
    assert_eq!((RingOrder::new(9), RingOrder::new(21)), (None, None));
    assert_eq!((world.grants.offered(), world.events.open_ports()), (0, 0), "nothing is left of it");
}

#[test]
fn an_event_comes_exactly_when_it_is_asked_for() {
    let world = World::new();
    let (mut server, mut client) = world.pair(sizes(10, 11));
    let arrived = |channel: &Vchan| channel.clear_event().unwrap();
    assert!(arrived(&server), "the client is there");
    assert!(!arrived(&client));

    // The server has not looked yet, but asked from the start to be told of the first write.
    client.write(b"1").unwrap();
    assert!(arrived(&server));
    client.write(b"2").unwrap();
    assert!(!arrived(&server), "it was told and has not asked again");
    assert_eq!(read_all(&mut server), b"12");
    client.write(b"3").unwrap();
    assert!(arrived(&server), "it had read all and asked");

    // A full ring: the writer is told when there is room again.
    read_all(&mut server);
    client.write(&[0; 1024]).unwrap();
    assert!(would_block(client.write(b"x")));
    arrived(&client);
    server.read(&mut [0; 10]).unwrap();
    assert!(arrived(&client));
    assert_eq!(client.write(&[1; 20]).unwrap(), 10);
}

#[test]
fn what_a_peer_wrote_before_it_left_is_still_read() {
    let world = World::new();
    let (mut server, mut client) = world.pair(sizes(12, 12));
    client.write(b"last words").unwrap();
    drop(client);
    assert_eq!(server.peer(), Peer::Gone);
    assert!(server.clear_event().unwrap());
    assert!(gone(server.write(b"x")));
    assert_eq!(read_all(&mut server), b"last words");
    assert!(gone(server.read(&mut [0])));
    drop(server);

    let (mut server, mut client) = world.pair(sizes(12, 12));
    server.write(b"goodbye").unwrap();
    drop(server);
    assert_eq!(read_all(&mut client), b"goodbye");
    assert!(gone(client.read(&mut [0])) && gone(client.write(b"x")));
    drop(client);
    assert_eq!((world.grants.offered(), world.events.open_ports()), (0, 0));
}

#[test]
fn a_new_client_waits_for_the_server_to_empty_the_rings() {
    let world = World::new();
    let (mut server, rendezvous) = world.offer(sizes(12, 12));
    let mut first = world.connect(rendezvous);
    first.write(b"half a fra").unwrap();
    server.write(b"half an ans").unwrap();
    drop(first);

    let mut second = world.connect(rendezvous);
    assert_eq!(second.peer(), Peer::Waiting);
    assert!(would_block(second.read(&mut [0; 64])) && would_block(second.write(b"too early")));
    assert!(server.clear_event().unwrap(), "the new client had it look");

    server.reset().unwrap();
    assert_eq!(server.peer(), Peer::Waiting);
    assert!(second.clear_event().unwrap(), "the client is told that it may come in");
    assert!(would_block(second.read(&mut [0; 64])), "nothing of the first one's is left");
    assert_eq!((server.peer(), second.peer()), (Peer::Connected, Peer::Connected));
    second.write(b"hello again").unwrap();
    assert_eq!(read_all(&mut server), b"hello again");
    server.write(b"so it is").unwrap();
    assert_eq!(read_all(&mut second), b"so it is");
}

#[test]
fn a_reset_disturbs_nobody_who_is_there() {
    let world = World::new();
    let (mut server, mut client) = world.pair(sizes(12, 12));
    client.write(b"data").unwrap();
    server.reset().unwrap();
    client.reset().unwrap();
    assert_eq!(read_all(&mut server), b"data");
}

#[test]
fn a_second_client_does_not_get_into_a_channel_in_use() {
    let world = World::new();
    let (mut server, rendezvous) = world.offer(sizes(12, 12));
    let mut client = world.connect(rendezvous);
    // Xen has bound the port already.
    let second = Vchan::connect(&world.grants, &world.events, GUEST, rendezvous);
    assert!(matches!(second, Err(VchanError::Io { peer: GUEST, .. })));
    client.write(b"still here").unwrap();
    assert_eq!(read_all(&mut server), b"still here");
}

#[test]
fn a_rendezvous_that_leads_nowhere_names_what_is_wrong() {
    let world = World::new();
    let (_server, good) = world.offer(sizes(12, 12));
    let connect =
        |rendezvous| Vchan::connect(&world.grants, &world.events, GUEST, rendezvous).err().unwrap().to_string();
    let error = connect(Rendezvous { event_channel: 999, ..good });
    assert!(error.contains("channel to domain 7: cannot bind the event channel"), "{error}");
    let error = connect(Rendezvous { ring_ref: 999, ..good });
    assert!(error.contains("cannot map its first page: bad grant reference 999"), "{error}");
    assert_eq!(world.events.open_ports(), 1);
}

#[test]
fn wait_blocks_until_there_is_news() {
    let world = World::new();
    let (mut server, mut client) = world.pair(sizes(12, 12));
    server.clear_event().unwrap();
    assert!(!server.wait(Some(Duration::from_millis(1))).unwrap());
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        client.write(b"news").unwrap();
        client
    });
    assert!(would_block(server.read(&mut [0; 8])));
    assert!(server.wait(Some(Duration::from_secs(10))).unwrap());
    assert_eq!(read_all(&mut server), b"news");
    drop(thread.join().unwrap());
}
