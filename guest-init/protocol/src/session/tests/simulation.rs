//! Both ends over a pipe that splits bytes anywhere, with daemons that die, slow readers and a stuck one.

use std::collections::{BTreeMap, VecDeque};

use super::*;

/// The byte at an offset of a stream: what arrives can be checked without keeping what was sent.
fn byte(stream: u32, offset: u64) -> u8 {
    (offset.wrapping_mul(31) ^ (offset >> 8) ^ u64::from(stream).wrapping_mul(97)) as u8
}

fn fill(stream: u32, offset: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|i| byte(stream, offset + i)).collect()
}

/// What a daemon has on disk.
#[derive(Default)]
struct Disk {
    events: Vec<u64>,
    streams: BTreeMap<u32, u64>,
    ended: BTreeMap<u32, u64>,
}

/// A process with its end of the pipe.
struct World {
    guest: Session,
    daemon: Session,
    to_guest: VecDeque<u8>,
    to_daemon: VecDeque<u8>,
    disk: Disk,
    /// Received by the daemon, not yet on disk.
    volatile: BTreeMap<u32, u64>,
    /// stdin as the guest got it, and how much of it the container has read.
    stdin: BTreeMap<u32, (u64, u64)>,
    stdin_ended: BTreeMap<u32, u64>,
}

const OUTPUTS: std::ops::Range<u32> = 1..6;
const INPUTS: std::ops::Range<u32> = 10..13;
const STUCK: u32 = 5;
const LENGTH: u64 = 300_000;

impl World {
    fn new() -> Self {
        let mut guest = Session::guest(Hello::default());
        let mut daemon = Session::daemon(Hello::default(), 0);
        for id in OUTPUTS {
            guest.open_send(id).expect("opens");
            daemon.open_recv(id, 0).expect("opens");
        }
        for id in INPUTS {
            guest.open_recv(id, 0).expect("opens");
            daemon.open_send(id).expect("opens");
        }
        Self {
            guest,
            daemon,
            to_guest: VecDeque::new(),
            to_daemon: VecDeque::new(),
            disk: Disk::default(),
            volatile: BTreeMap::new(),
            stdin: INPUTS.map(|id| (id, (0, 0))).collect(),
            stdin_ended: BTreeMap::new(),
        }
    }

    fn restart_daemon(&mut self) {
        self.to_guest.clear();
        self.to_daemon.clear();
        self.volatile.clear();
        self.guest.reconnect();
        self.daemon = Session::daemon(Hello::default(), self.disk.events.last().copied().unwrap_or(0));
        for id in OUTPUTS {
            self.daemon.open_recv(id, self.disk.streams.get(&id).copied().unwrap_or(0)).expect("opens");
        }
        for id in INPUTS.filter(|id| !self.stdin_ended.contains_key(id)) {
            self.daemon.adopt_send(id).expect("opens");
        }
    }

    fn move_bytes(&mut self, rng: &mut Rng) {
        for (from, pipe) in [(&mut self.guest, &mut self.to_daemon), (&mut self.daemon, &mut self.to_guest)] {
            let output = from.output();
            // A ring of a few KiB that is often nearly full.
            let count = output.len().min(rng.below(9000)).min(16_384usize.saturating_sub(pipe.len()));
            pipe.extend(&output[..count]);
            from.advance_output(count);
        }
        let chunk: Vec<u8> = self.to_guest.drain(..self.to_guest.len().min(rng.below(7000))).collect();
        self.guest_hears(&chunk);
        let chunk: Vec<u8> = self.to_daemon.drain(..self.to_daemon.len().min(rng.below(7000))).collect();
        self.daemon_hears(&chunk);
    }

    fn guest_hears(&mut self, chunk: &[u8]) {
        let mut at = 0;
        loop {
            while let Some(incoming) = self.guest.next_event().expect("an honest daemon") {
                match incoming {
                    Incoming::Data { stream, offset, bytes } => {
                        let (received, _) = self.stdin.get_mut(&stream).expect("an input");
                        assert_eq!(offset, *received);
                        assert_eq!(bytes, fill(stream, offset, bytes.len()));
                        *received += bytes.len() as u64;
                    }
                    Incoming::Ended { stream, length, reason } => {
                        assert_eq!(reason, CloseReason::End);
                        self.stdin_ended.insert(stream, length);
                    }
                    _ => {}
                }
            }
            if at == chunk.len() {
                return;
            }
            at += self.guest.feed(&chunk[at..]);
        }
    }

    fn daemon_hears(&mut self, chunk: &[u8]) {
        let mut at = 0;
        loop {
            while let Some(incoming) = self.daemon.next_event().expect("an honest guest") {
                match incoming {
                    Incoming::Event(event) => {
                        self.disk.events.push(event.sequence);
                        self.daemon.ack_event(event.sequence).expect("sent");
                    }
                    Incoming::Data { stream, offset, bytes } => {
                        assert_eq!(bytes, fill(stream, offset, bytes.len()), "stream {stream} at {offset}");
                        let on_disk = self.disk.streams.get(&stream).copied().unwrap_or(0);
                        let have = self.volatile.entry(stream).or_insert(on_disk);
                        assert_eq!(offset, *have, "no byte lost or doubled");
                        *have += bytes.len() as u64;
                    }
                    Incoming::Ended { stream, length, reason } => {
                        // Unknown: it was finished, and the daemon died before it could note that.
                        assert_ne!(reason, CloseReason::Failed);
                        self.disk.ended.insert(stream, length);
                    }
                    _ => {}
                }
            }
            if at == chunk.len() {
                return;
            }
            at += self.daemon.feed(&chunk[at..]);
        }
    }

    /// Writes, reads and flushes of both ends' users.
    fn act(&mut self, rng: &mut Rng, stuck: bool) {
        for id in OUTPUTS {
            if let Some(at) = self.guest.send_offset(id) {
                let want = (LENGTH - at).min(rng.below(20_000) as u64) as usize;
                self.guest.write(id, &fill(id, at, want)).expect("open");
                if self.guest.send_offset(id) == Some(LENGTH) {
                    self.guest.close(id, CloseReason::End).expect("open");
                }
            }
            if rng.chance(30) && !(stuck && id == STUCK) {
                if let Some(have) = self.volatile.get(&id) {
                    self.disk.streams.insert(id, *have);
                }
                // It is gone when the guest was told that all is safe.
                let _ = self.daemon.ack(id, self.disk.streams.get(&id).copied().unwrap_or(0));
            }
        }
        for id in INPUTS {
            if let Some(at) = self.daemon.send_offset(id) {
                let want = (LENGTH - at).min(rng.below(20_000) as u64) as usize;
                self.daemon.write(id, &fill(id, at, want)).expect("open");
                if self.daemon.send_offset(id) == Some(LENGTH) {
                    self.daemon.close(id, CloseReason::End).expect("open");
                }
            }
            let (received, read) = self.stdin.get_mut(&id).expect("an input");
            *read += (*received - *read).min(rng.below(10_000) as u64);
            let _ = self.guest.ack(id, *read);
        }
        if rng.chance(20) && self.guest.events_waiting() < 100 {
            self.guest.emit(0, log("event")).expect("taken");
        }
    }

    fn done(&self) -> bool {
        OUTPUTS.filter(|id| *id != STUCK).all(|id| self.disk.streams.get(&id) == Some(&LENGTH))
            && INPUTS.clone().all(|id| self.stdin_ended.get(&id) == Some(&LENGTH))
    }
}

#[test]
fn no_byte_or_event_is_lost_or_doubled() {
    for seed in 1..=8u64 {
        let mut rng = Rng(seed.wrapping_mul(0x1234_5678_9abc_def1));
        let mut world = World::new();
        let mut rounds = 0;
        while !world.done() {
            rounds += 1;
            assert!(rounds < 20_000, "seed {seed}: stuck at {:?} {:?}", world.disk.streams, world.stdin);
            world.act(&mut rng, true);
            world.move_bytes(&mut rng);
            if rng.next().is_multiple_of(200) {
                world.restart_daemon();
            }
        }
        // The stuck reader delayed nobody; when it wakes up all is there.
        assert!(!world.disk.streams.contains_key(&STUCK));
        assert!(world.volatile.get(&STUCK).is_none_or(|have| *have <= WINDOW as u64));
        for _ in 0..20_000 {
            world.act(&mut rng, false);
            world.move_bytes(&mut rng);
            if world.disk.streams.get(&STUCK) == Some(&LENGTH) && world.guest.sends.is_empty() {
                break;
            }
        }
        assert_eq!(world.disk.streams.get(&STUCK), Some(&LENGTH));
        assert!(world.guest.sends.is_empty() && world.guest.recvs.is_empty(), "seed {seed}: streams left over");
        assert!(OUTPUTS.clone().all(|id| world.disk.ended.get(&id) == Some(&LENGTH)));
        for _ in 0..200 {
            world.move_bytes(&mut rng);
        }
        let expected: Vec<u64> = (1..=world.disk.events.len() as u64).collect();
        assert_eq!(world.disk.events, expected);
        assert!(!expected.is_empty());
    }
}
