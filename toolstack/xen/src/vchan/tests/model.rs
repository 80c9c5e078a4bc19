//! Both ends, driven at random and by two threads, against the plainest model: a queue of bytes each way.

use std::collections::VecDeque;

use super::*;

/// A small generator (xorshift), so that a failure can be repeated from its seed.
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

fn step(random: &mut Random, from: &mut Vchan, to: &mut Vchan, model: &mut VecDeque<u8>, capacity: usize) {
    if random.below(2) == 0 {
        let data: Vec<u8> = (0..1 + random.below(capacity * 3 / 2)).map(|_| random.below(256) as u8).collect();
        let room = capacity - model.len();
        match from.write(&data) {
            Ok(count) => {
                assert_eq!(count, room.min(data.len()));
                model.extend(&data[..count]);
            }
            Err(VchanError::WouldBlock) => assert_eq!(room, 0),
            Err(error) => panic!("{error}"),
        }
    } else {
        let mut buffer = vec![0; 1 + random.below(capacity * 3 / 2)];
        match to.read(&mut buffer) {
            Ok(count) => {
                assert_eq!(count, model.len().min(buffer.len()));
                let expected: Vec<u8> = model.drain(..count).collect();
                assert_eq!(buffer[..count], expected);
            }
            Err(VchanError::WouldBlock) => assert!(model.is_empty()),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn random_traffic_is_what_a_queue_would_make_of_it() {
    for seed in 1..40 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let sizes = [sizes(10, 11), sizes(11, 10), sizes(12, 13)][random.below(3)];
        let world = World::new();
        let (mut server, rendezvous) = world.offer(sizes);
        let mut client = world.connect(rendezvous);
        let (mut left, mut right) = (VecDeque::new(), VecDeque::new());
        for _ in 0..2000 {
            match random.below(200) {
                0 => {
                    // The client dies and another comes.
                    drop(client);
                    server.reset().unwrap();
                    client = world.connect(rendezvous);
                    left.clear();
                    right.clear();
                }
                n if n % 2 == 0 => {
                    step(&mut random, &mut client, &mut server, &mut left, sizes.left.size() as usize);
                }
                _ => step(&mut random, &mut server, &mut client, &mut right, sizes.right.size() as usize),
            }
        }
    }
}

#[test]
fn indices_go_on_past_four_gibibytes() {
    let world = World::new();
    let (mut server, rendezvous) = world.offer(sizes(10, 11));
    // As a libxenvchan server would be after that much traffic: both indices just before they wrap.
    let page = world.grants.map(GUEST, &[rendezvous.ring_ref], None).unwrap();
    for index in [LEFT_CONS, LEFT_PROD] {
        page.u32(index).store(u32::MAX - 9, Ordering::SeqCst);
    }
    server.reader.adopt(&page);
    let mut client = world.connect(rendezvous);
    for _ in 0..100 {
        let data: Vec<u8> = (0..700).map(|i| i as u8).collect();
        assert_eq!(client.write(&data).unwrap(), 700);
        assert_eq!(read_all(&mut server), data);
    }
}

/// Moves `total` bytes through a channel whose ends wait for events like real ones: a lost wake-up hangs it.
fn pump(mut from: Vchan, mut to: Vchan, total: usize) {
    let patience = Some(Duration::from_secs(10));
    let writer = std::thread::spawn(move || {
        let (mut sent, mut random) = (0, Random(42));
        while sent < total {
            let count = (1 + random.below(900)).min(total - sent);
            let data: Vec<u8> = (sent..sent + count).map(|i| (i % 251) as u8).collect();
            match from.write(&data) {
                Ok(count) => sent += count,
                Err(VchanError::WouldBlock) => assert!(from.wait(patience).unwrap(), "no event after {sent} bytes"),
                Err(error) => panic!("{error}"),
            }
        }
        from
    });
    let (mut received, mut buffer) = (0, [0; 777]);
    while received < total {
        match to.read(&mut buffer) {
            Ok(count) => {
                for (i, byte) in buffer[..count].iter().enumerate() {
                    assert_eq!(*byte, ((received + i) % 251) as u8, "at {}", received + i);
                }
                received += count;
            }
            Err(VchanError::WouldBlock) => assert!(to.wait(patience).unwrap(), "no event after {received} bytes"),
            Err(error) => panic!("{error}"),
        }
    }
    drop(writer.join().unwrap());
}

#[test]
fn no_wake_up_is_lost_between_threads() {
    let world = World::new();
    let (server, client) = world.pair(sizes(10, 11));
    pump(client, server, 1 << 20);
    let (server, client) = world.pair(sizes(10, 11));
    pump(server, client, 1 << 20);
}
