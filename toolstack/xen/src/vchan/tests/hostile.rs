//! A peer that lies. Whatever is in the shared memory, our end says so or waits; it never panics, and never gives out
//! more than the ring can hold.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::model::Random;
use super::*;

fn corrupt<T: std::fmt::Debug>(result: Result<T, VchanError>) -> String {
    match result {
        Err(error @ VchanError::Corrupt { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_index_out_of_range_is_an_error_that_says_so() {
    let world = World::new();
    let (_server, rendezvous) = world.offer(sizes(10, 11));
    let mut client = world.connect(rendezvous);
    let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();

    page.u32(RIGHT_PROD).store(2049, Ordering::SeqCst);
    let error = corrupt(client.read(&mut [0; 10]));
    assert!(error.contains("domain 7 is corrupt") && error.contains("written up to 2049"), "{error}");
    page.u32(RIGHT_PROD).store(u32::MAX, Ordering::SeqCst);
    corrupt(client.readable());

    // It claims to have read what was never written.
    page.u32(LEFT_CONS).store(1, Ordering::SeqCst);
    let error = corrupt(client.write(b"abc"));
    assert!(error.contains("read up to 1, we are at 0"), "{error}");
}

#[test]
fn our_own_index_is_never_read_back() {
    let world = World::new();
    let (mut server, rendezvous) = world.offer(sizes(10, 11));
    let mut client = world.connect(rendezvous);
    let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();
    server.write(b"abcdef").unwrap();
    client.read(&mut [0; 3]).unwrap();
    page.u32(RIGHT_CONS).store(0xdead_beef, Ordering::SeqCst);
    page.u32(LEFT_PROD).store(0xdead_beef, Ordering::SeqCst);
    let mut rest = [0; 8];
    assert_eq!(client.read(&mut rest).unwrap(), 3);
    assert_eq!(&rest[..3], b"def");
    assert_eq!(client.write(&[0; 2000]).unwrap(), 1024);
}

#[test]
fn orders_are_checked_once_and_then_forgotten() {
    let world = World::new();
    let (_server, rendezvous) = world.offer(sizes(12, 12));
    let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();
    let connect = || Vchan::connect(&world.grants, &world.events, GUEST, rendezvous);
    for (left, right) in [(0, 12), (9, 12), (21, 12), (12, 0xffff), (10, 10), (11, 11), (20, 10)] {
        page.u16(LEFT_ORDER).store(left, Ordering::SeqCst);
        page.u16(RIGHT_ORDER).store(right, Ordering::SeqCst);
        corrupt(connect().map(drop));
        page.u8(CLI_LIVE).store(WAITING, Ordering::SeqCst);
    }
    page.u16(LEFT_ORDER).store(12, Ordering::SeqCst);
    page.u16(RIGHT_ORDER).store(12, Ordering::SeqCst);
    let mut client = connect().unwrap();
    page.u16(LEFT_ORDER).store(20, Ordering::SeqCst);
    assert_eq!(client.write(&[7; 10_000]).unwrap(), 4096);
    assert_eq!(world.events.open_ports(), 2, "the refused attempts have closed theirs");
}

#[test]
fn bad_references_are_an_error() {
    let world = World::new();
    let (_server, rendezvous) = world.offer(sizes(12, 13));
    let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();
    page.u32(GRANTS + 4).store(0xffff_ffff, Ordering::SeqCst);
    let error = Vchan::connect(&world.grants, &world.events, GUEST, rendezvous).err().unwrap();
    assert!(error.to_string().contains("cannot map its ring"), "{error}");
}

#[test]
fn live_bytes_of_any_value_do_no_harm() {
    let world = World::new();
    for value in 0..=255 {
        let (mut server, rendezvous) = world.offer(sizes(10, 11));
        let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();
        page.u8(CLI_LIVE).store(value, Ordering::SeqCst);
        let mut client = world.connect(rendezvous);
        let refused = client.write(b"x").is_err();
        assert_eq!(refused, value != WAITING, "only an invitation lets a client in");
        let _ = (server.read(&mut [0; 4]), server.write(b"y"), server.peer(), server.reset());
        page.u8(SRV_LIVE).store(value, Ordering::SeqCst);
        let _ = (client.read(&mut [0; 4]), client.write(b"y"), client.peer());
    }
}

/// A peer that scribbles over the whole first page while both ends work on it.
#[test]
fn scribbling_while_it_is_used_is_survived() {
    let world = World::new();
    let (mut server, rendezvous) = world.offer(sizes(10, 11));
    let mut client = world.connect(rendezvous);
    let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let scribbler = std::thread::spawn({
        let stop = stop.clone();
        move || {
            let mut random = Random(0x1234_5678_9abc_def1);
            while !stop.load(Ordering::Relaxed) {
                let offset = random.below(32);
                let value = match random.below(3) {
                    0 => random.below(3) as u8,
                    1 => random.below(256) as u8,
                    _ => 0xff,
                };
                page.u8(offset).store(value, Ordering::SeqCst);
            }
        }
    });
    let mut random = Random(99);
    let mut buffer = vec![0; 4096];
    let mut corruptions = 0;
    for _ in 0..200_000 {
        let count = 1 + random.below(4096);
        let result = match random.below(6) {
            0 => client.read(&mut buffer[..count]),
            1 => client.write(&buffer[..count]),
            2 => server.read(&mut buffer[..count]),
            3 => server.write(&buffer[..count]),
            4 => server.reset().map(|()| 0),
            _ => client.clear_event().map(usize::from),
        };
        match result {
            Ok(moved) => assert!(moved <= 2048),
            Err(VchanError::Corrupt { .. }) => corruptions += 1,
            Err(VchanError::WouldBlock | VchanError::Gone) => {}
            Err(error) => panic!("{error}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    scribbler.join().unwrap();
    assert!(corruptions > 0, "the scribbler was seen");
}
