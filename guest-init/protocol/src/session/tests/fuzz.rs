//! Arbitrary bytes, and honest bytes with a few bits changed: an error, or nothing; never a panic, never growth.

use super::*;

fn session(role: Role) -> Session {
    let mut session = match role {
        Role::Guest => Session::guest(Hello::default()),
        Role::Daemon => Session::daemon(Hello::default(), 0),
    };
    session.open_recv(1, 0).expect("opens");
    session.open_send(2).expect("opens");
    session.write(2, &[9; 1000]).expect("room");
    session
}

fn swallow(session: &mut Session, bytes: &[u8], rng: &mut Rng) {
    let mut at = 0;
    while at < bytes.len() {
        let end = (at + 1 + rng.below(3000)).min(bytes.len());
        let taken = session.feed(&bytes[at..end]);
        at += taken;
        loop {
            match session.next_event() {
                Ok(Some(Incoming::Data { stream, offset, bytes })) => {
                    session.ack(stream, offset + bytes.len() as u64).expect("what came can be acknowledged");
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        let sent = session.output().len();
        session.advance_output(sent);
        assert!(session.input.len() <= HEADER_LEN + MAX_PAYLOAD);
        assert!(session.fragments.len() <= MAX_MESSAGE_TO_GUEST);
        assert!(sent <= 4 * PORTION + MAX_STREAMS * (HEADER_LEN + 16), "{sent} bytes of output");
    }
}

#[test]
fn arbitrary_bytes_after_hello() {
    for seed in 1..=4000u64 {
        let mut rng = Rng(seed);
        let role = if seed % 2 == 0 { Role::Guest } else { Role::Daemon };
        let mut session = session(role);
        let mut bytes = if rng.chance(90) { raw_hello(1, 1) } else { Vec::new() };
        for _ in 0..rng.below(20) {
            // Whole frames with likely kinds and lengths, so that the checks behind the header are reached too.
            let kind = (rng.below(5) + usize::from(rng.chance(95))) as u8;
            let length = match kind {
                3 => 16,
                4 => 1,
                _ => rng.below(200) + 1,
            };
            let mut frame = vec![kind, u8::from(rng.chance(20)), 0, 0];
            frame.extend_from_slice(&(length as u32).to_le_bytes());
            let stream = if kind == 1 { 0 } else { rng.below(4) as u32 };
            frame.extend_from_slice(&stream.to_le_bytes());
            let offset = match (kind, rng.below(10)) {
                (1, _) => 0,
                (_, 0) => rng.next(),
                _ => rng.below(300) as u64,
            };
            frame.extend_from_slice(&offset.to_le_bytes());
            frame.extend((0..length).map(|_| if rng.chance(50) { 0 } else { rng.next() as u8 }));
            bytes.extend(frame);
        }
        swallow(&mut session, &bytes, &mut rng);
    }
}

#[test]
fn honest_bytes_with_bits_changed() {
    for seed in 1..=2000u64 {
        let mut rng = Rng(seed.wrapping_mul(0x9e37_79b9));
        let mut guest = Session::guest(Hello::default());
        let mut bytes = Vec::new();
        let sent = guest.output().to_vec();
        guest.advance_output(sent.len());
        bytes.extend(sent);
        guest.feed(&raw_hello(1, 1));
        while guest.next_event().expect("honest").is_some() {}
        guest.open_send(1).expect("opens");
        guest.write(1, &[3; 5000]).expect("room");
        guest.feed(&raw_frame(Kind::Credit, 1, 0, &[0u64.to_le_bytes(), 4000u64.to_le_bytes()].concat()));
        guest.emit(1, log("hello")).expect("taken");
        while guest.next_event().expect("honest").is_some() {}
        bytes.extend(guest.output());
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len());
            bytes[at] ^= 1 << rng.below(8);
        }
        swallow(&mut session(Role::Daemon), &bytes, &mut rng);
    }
}
