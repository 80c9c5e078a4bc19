use super::*;
use crate::frame::{HEADER_LEN, Header, Kind, MAX_PAYLOAD};
use crate::message::{Done, Log, Ping};

mod fuzz;
mod simulation;

/// xorshift64*: small, seeded, the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// Moves everything both ways until both are silent; returns what came, `(guest's, daemon's)`.
fn settle(guest: &mut Session, daemon: &mut Session) -> (Vec<Incoming>, Vec<Incoming>) {
    let (mut at_guest, mut at_daemon) = (Vec::new(), Vec::new());
    loop {
        let moved = carry(daemon, guest, &mut at_guest) + carry(guest, daemon, &mut at_daemon);
        if moved == 0 {
            return (at_guest, at_daemon);
        }
    }
}

fn carry(from: &mut Session, to: &mut Session, into: &mut Vec<Incoming>) -> usize {
    let bytes = from.output().to_vec();
    from.advance_output(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        at += to.feed(&bytes[at..]);
        while let Some(incoming) = to.next_event().expect("an honest peer") {
            into.push(incoming);
        }
    }
    bytes.len()
}

fn pair() -> (Session, Session) {
    let mut guest = Session::guest(Hello { kernel: "6.1".into(), ..Hello::default() });
    let mut daemon = Session::daemon(Hello { version: "1".into(), ..Hello::default() }, 0);
    let (at_guest, at_daemon) = settle(&mut guest, &mut daemon);
    assert!(matches!(&at_guest[..], [Incoming::Connected { hello, version: 1 }] if hello.version == "1"));
    assert!(matches!(&at_daemon[..], [Incoming::Connected { hello, version: 1 }] if hello.kernel == "6.1"));
    (guest, daemon)
}

fn log(text: &str) -> What {
    What::Log(Log { level: 6, text: text.into() })
}

/// The frames of one message, as a peer would write them.
fn raw_message(body: envelope::Body) -> Vec<u8> {
    let payload = Envelope { body: Some(body) }.encode_to_vec();
    let header = Header { kind: Kind::Message, flag: false, length: payload.len() as u32, stream: 0, offset: 0 };
    [header.encode().as_slice(), &payload].concat()
}

fn raw_frame(kind: Kind, stream: u32, offset: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header { kind, flag: false, length: payload.len() as u32, stream, offset };
    [header.encode().as_slice(), payload].concat()
}

fn raw_hello(min: u32, max: u32) -> Vec<u8> {
    raw_message(envelope::Body::Hello(Hello { protocol_min: min, protocol_max: max, ..Hello::default() }))
}

/// What a daemon makes of a peer that says `bytes` after Hello.
fn daemon_hears(mut daemon: Session, bytes: &[u8]) -> Result<Vec<Incoming>, ProtocolError> {
    let mut seen = Vec::new();
    assert_eq!(daemon.feed(bytes), bytes.len());
    while let Some(incoming) = daemon.next_event()? {
        seen.push(incoming);
    }
    Ok(seen)
}

#[test]
fn requests_are_matched_by_id_in_any_order() {
    let (mut guest, mut daemon) = pair();
    let first = daemon.request(request::Op::Ping(Ping {})).expect("sent");
    let second = daemon.request(request::Op::GetStats(message::GetStats {})).expect("sent");
    let (asked, _) = settle(&mut guest, &mut daemon);
    let tokens: Vec<RequestToken> = asked
        .iter()
        .map(|incoming| match incoming {
            Incoming::Request { token, op: Some(_) } => *token,
            other => panic!("{other:?}"),
        })
        .collect();
    guest
        .reply(tokens[1], reply::Result::Stats(message::Stats { memory_total: 7, ..Default::default() }))
        .expect("sent");
    guest.reply(tokens[0], reply::Result::Done(Done {})).expect("sent");
    let (_, answers) = settle(&mut guest, &mut daemon);
    let ids: Vec<u64> = answers.iter().map(|a| if let Incoming::Reply { id, .. } = a { *id } else { 0 }).collect();
    assert_eq!(ids, [second, first]);
    assert!(
        matches!(&answers[0], Incoming::Reply { result: Some(reply::Result::Stats(s)), .. } if s.memory_total == 7)
    );
}

#[test]
fn a_reply_to_a_daemon_that_is_gone_is_dropped() {
    let (mut guest, mut daemon) = pair();
    daemon.request(request::Op::Ping(Ping {})).expect("sent");
    let (asked, _) = settle(&mut guest, &mut daemon);
    let Incoming::Request { token, .. } = asked[0] else { panic!("{asked:?}") };
    guest.reconnect();
    let mut daemon = Session::daemon(Hello::default(), 0);
    settle(&mut guest, &mut daemon);
    // The new daemon's first request has the same id.
    daemon.request(request::Op::Ping(Ping {})).expect("sent");
    guest.reply(token, reply::Result::Started(message::Started { pid: 9 })).expect("dropped");
    let (_, answers) = settle(&mut guest, &mut daemon);
    assert_eq!(answers, []);
}

#[test]
fn a_long_message_crosses_in_fragments() {
    let (mut guest, mut daemon) = pair();
    let data: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    let file = message::File { path: "a".into(), data: data.clone(), ..Default::default() };
    let op = request::Op::WriteFiles(message::WriteFiles { volume: "v".into(), files: vec![file] });
    daemon.request(op).expect("sent");
    let (asked, _) = settle(&mut guest, &mut daemon);
    let Incoming::Request { op: Some(request::Op::WriteFiles(got)), .. } = &asked[0] else { panic!("{asked:?}") };
    assert_eq!(got.files[0].data, data);

    let file = message::File { data: vec![0; MAX_MESSAGE_TO_GUEST], ..Default::default() };
    let op = request::Op::WriteFiles(message::WriteFiles { volume: "v".into(), files: vec![file] });
    assert!(matches!(daemon.request(op), Err(SessionError::MessageTooLong { .. })));
}

#[test]
fn events_come_once_over_reconnections() {
    let (mut guest, mut daemon) = pair();
    for text in ["a", "b", "c"] {
        guest.emit(5, log(text)).expect("taken");
    }
    let (_, seen) = settle(&mut guest, &mut daemon);
    assert_eq!(seen.len(), 3);
    daemon.ack_event(2).expect("sent");
    settle(&mut guest, &mut daemon);
    assert_eq!(guest.events_waiting(), 1);

    // The daemon lives on: it has seen the third and is not shown it again.
    guest.reconnect();
    daemon.reconnect();
    guest.emit(6, log("d")).expect("taken");
    let (_, seen) = settle(&mut guest, &mut daemon);
    let sequences: Vec<u64> =
        seen.iter().filter_map(|i| if let Incoming::Event(e) = i { Some(e.sequence) } else { None }).collect();
    assert_eq!(sequences, [4]);

    // A daemon that has only two on disk is given the rest.
    guest.reconnect();
    let mut daemon = Session::daemon(Hello::default(), 2);
    let (_, seen) = settle(&mut guest, &mut daemon);
    let sequences: Vec<u64> =
        seen.iter().filter_map(|i| if let Incoming::Event(e) = i { Some(e.sequence) } else { None }).collect();
    assert_eq!(sequences, [3, 4]);
}

#[test]
fn log_lines_are_bounded_and_exits_are_not_lost() {
    let mut guest = Session::guest(Hello::default());
    for _ in 0..MAX_EVENTS {
        guest.emit(0, log("x")).expect("taken");
    }
    assert_eq!(guest.emit(0, log("x")), Err(SessionError::Full));
    let exit = message::ContainerExited { name: "web".into(), exit: None };
    assert_eq!(guest.emit(0, What::ContainerExited(exit)), Ok(MAX_EVENTS as u64 + 1));
}

#[test]
fn a_full_window_blocks_the_writer_until_the_reader_acknowledges() {
    let (mut guest, mut daemon) = pair();
    daemon.open_recv(3, 0).expect("opens");
    guest.open_send(3).expect("opens");
    let bytes = vec![7; WINDOW + 1000];
    assert_eq!(guest.write(3, &bytes), Ok(WINDOW));
    let (_, seen) = settle(&mut guest, &mut daemon);
    let got: usize = seen.iter().map(|i| if let Incoming::Data { bytes, .. } = i { bytes.len() } else { 0 }).sum();
    assert_eq!(got, WINDOW);
    assert_eq!(guest.room(3), 0, "kept until it is safe");
    daemon.ack(3, 5000).expect("acknowledged");
    let (at_guest, _) = settle(&mut guest, &mut daemon);
    assert_eq!(at_guest, [], "small steps are gathered");
    daemon.ack(3, WINDOW as u64).expect("acknowledged");
    let (at_guest, _) = settle(&mut guest, &mut daemon);
    assert_eq!(at_guest, [Incoming::Writable { stream: 3 }]);
    assert_eq!(guest.room(3), WINDOW);
}

#[test]
fn a_stuck_stream_delays_no_other_and_turns_are_fair() {
    let (mut guest, mut daemon) = pair();
    for id in 1..=3 {
        daemon.open_recv(id, 0).expect("opens");
        guest.open_send(id).expect("opens");
        assert_eq!(guest.write(id, &vec![id as u8; WINDOW]), Ok(WINDOW));
    }
    let (_, seen) = settle(&mut guest, &mut daemon);
    let order: Vec<u32> =
        seen.iter().filter_map(|i| if let Incoming::Data { stream, .. } = i { Some(*stream) } else { None }).collect();
    assert_eq!(&order[..6], [1, 2, 3, 1, 2, 3]);
    // 1 is never acknowledged; 2 goes on.
    daemon.ack(2, WINDOW as u64).expect("acknowledged");
    settle(&mut guest, &mut daemon);
    assert_eq!((guest.room(1), guest.room(2)), (0, WINDOW));
    guest.write(2, b"more").expect("room");
    guest.emit(0, log("control")).expect("taken");
    let (_, seen) = settle(&mut guest, &mut daemon);
    assert!(matches!(&seen[..], [Incoming::Event(_), Incoming::Data { stream: 2, bytes, .. }] if bytes == b"more"));
}

#[test]
fn the_end_is_delivered_after_the_bytes_and_frees_both_ends() {
    let (mut guest, mut daemon) = pair();
    guest.open_send(9).expect("opens");
    guest.write(9, b"last words").expect("room");
    guest.close(9, CloseReason::End).expect("open");
    assert_eq!(guest.room(9), 0);
    daemon.open_recv(9, 0).expect("opens");
    let (at_guest, seen) = settle(&mut guest, &mut daemon);
    assert_eq!(at_guest, []);
    assert_eq!(seen[1], Incoming::Ended { stream: 9, length: 10, reason: CloseReason::End });
    daemon.ack(9, 10).expect("acknowledged");
    let (at_guest, _) = settle(&mut guest, &mut daemon);
    assert_eq!(at_guest, [Incoming::Finished { stream: 9 }]);
    assert_eq!(guest.write(9, b"x"), Err(SessionError::NoStream(9)));
    assert_eq!(daemon.ack(9, 10), Err(SessionError::NoStream(9)));
}

#[test]
fn a_stream_nobody_wants_is_stopped() {
    let (mut guest, mut daemon) = pair();
    // stdin of a container that exits while the client still types.
    guest.open_recv(4, 0).expect("opens");
    daemon.open_send(4).expect("opens");
    daemon.write(4, &[1; 20_000]).expect("room");
    settle(&mut guest, &mut daemon);
    daemon.write(4, b"unheard").expect("room");
    guest.discard(4).expect("open");
    let (at_guest, at_daemon) = settle(&mut guest, &mut daemon);
    assert_eq!(at_guest, []);
    assert!(at_daemon.contains(&Incoming::Stopped { stream: 4 }), "{at_daemon:?}");
    assert!(at_daemon.contains(&Incoming::Finished { stream: 4 }), "{at_daemon:?}");
    assert_eq!(guest.ack(4, 0), Err(SessionError::NoStream(4)));
}

#[test]
fn a_stream_the_sender_does_not_know_ends_as_unknown() {
    let (mut guest, mut daemon) = pair();
    daemon.open_recv(5, 100).expect("opens");
    let (_, seen) = settle(&mut guest, &mut daemon);
    assert_eq!(seen, [Incoming::Ended { stream: 5, length: 100, reason: CloseReason::Unknown }]);
    assert_eq!(daemon.ack(5, 100), Err(SessionError::NoStream(5)));
    // A stream that is dropped while it is read.
    daemon.open_recv(6, 0).expect("opens");
    guest.open_send(6).expect("opens");
    guest.write(6, b"half").expect("room");
    let (_, seen) = settle(&mut guest, &mut daemon);
    assert_eq!(seen.len(), 1);
    guest.drop_send(6);
    let (_, seen) = settle(&mut guest, &mut daemon);
    assert_eq!(seen, [Incoming::Ended { stream: 6, length: 4, reason: CloseReason::Unknown }]);
}

#[test]
fn a_restarted_daemon_goes_on_where_its_disk_ends() {
    let (mut guest, mut daemon) = pair();
    daemon.open_recv(2, 0).expect("opens");
    guest.open_send(2).expect("opens");
    guest.write(2, b"0123456789").expect("room");
    settle(&mut guest, &mut daemon);
    daemon.ack(2, 10).expect("acknowledged");
    settle(&mut guest, &mut daemon);
    guest.write(2, b"abcdef").expect("room");
    settle(&mut guest, &mut daemon);
    // It had "abc" on disk, which it could not tell before it died.
    guest.reconnect();
    let mut daemon = Session::daemon(Hello::default(), 0);
    daemon.open_recv(2, 13).expect("opens");
    let (_, seen) = settle(&mut guest, &mut daemon);
    assert_eq!(seen[1], Incoming::Data { stream: 2, offset: 13, bytes: b"def".to_vec() });
}

#[test]
fn a_restarted_sender_adopts_the_receivers_offset() {
    let (mut guest, mut daemon) = pair();
    daemon.open_send(8).expect("opens");
    guest.open_recv(8, 0).expect("opens");
    daemon.write(8, b"typed").expect("room");
    settle(&mut guest, &mut daemon);
    // The container has not read it yet: the guest keeps it.
    guest.reconnect();
    let mut daemon = Session::daemon(Hello::default(), 0);
    daemon.adopt_send(8).expect("opens");
    assert_eq!((daemon.room(8), daemon.send_offset(8)), (0, None));
    let (_, seen) = settle(&mut guest, &mut daemon);
    assert_eq!(seen[1], Incoming::Writable { stream: 8 });
    assert_eq!(daemon.send_offset(8), Some(5));
    daemon.write(8, b" more").expect("room");
    let (at_guest, _) = settle(&mut guest, &mut daemon);
    assert_eq!(at_guest, [Incoming::Data { stream: 8, offset: 5, bytes: b" more".to_vec() }]);
    guest.ack(8, 3).expect("acknowledged");
    guest.ack(8, 10).expect("acknowledged");
    settle(&mut guest, &mut daemon);
    assert_eq!(daemon.room(8), WINDOW);
}

#[test]
fn versions_must_meet() {
    let newer = daemon_hears(Session::daemon(Hello::default(), 0), &raw_hello(1, 9)).expect("1 is in 1..9");
    assert!(matches!(newer[0], Incoming::Connected { version: 1, .. }));
    let error = daemon_hears(Session::daemon(Hello::default(), 0), &raw_hello(2, 9));
    assert_eq!(error, Err(ProtocolError::Version { theirs_min: 2, theirs_max: 9, ours_min: 1, ours_max: 1 }));
}

#[test]
fn lies_are_named() {
    let data = |offset, length| raw_frame(Kind::Data, 1, offset, &vec![0; length]);
    let credit = |ack: u64, next: u64, limit: u64| {
        raw_frame(Kind::Credit, 2, ack, &[next.to_le_bytes(), limit.to_le_bytes()].concat())
    };
    let reply = |id| raw_message(envelope::Body::Reply(Reply { id, result: None }));
    let event = |sequence| raw_message(envelope::Body::Event(Event { sequence, ..Event::default() }));
    let close = |stream, offset, reason| raw_frame(Kind::Close, stream, offset, &[reason]);
    let window = WINDOW as u64;
    let cases: Vec<(Vec<Vec<u8>>, ProtocolError)> = vec![
        (vec![raw_hello(1, 1)], ProtocolError::Order("Hello")),
        (vec![raw_frame(Kind::Data, 7, 0, b"x")], ProtocolError::UnknownStream(7)),
        (vec![data(1, 1)], ProtocolError::OffsetGap { stream: 1, expected: 0, got: 1 }),
        (vec![data(0, 5), data(4, 5)], ProtocolError::OffsetGap { stream: 1, expected: 5, got: 4 }),
        (
            vec![data(0, WINDOW), data(window, 1)],
            ProtocolError::CreditOverrun { stream: 1, end: window + 1, limit: window },
        ),
        (vec![close(1, 3, 0)], ProtocolError::OffsetGap { stream: 1, expected: 0, got: 3 }),
        (vec![close(1, 0, 0), data(0, 1)], ProtocolError::AfterEnd(1)),
        (vec![close(1, 0, 9)], ProtocolError::CloseReason { stream: 1, reason: 9 }),
        (vec![close(7, 0, 0)], ProtocolError::UnknownStream(7)),
        (vec![credit(1, 0, 5)], ProtocolError::BadCredit { stream: 2, ack: 1, next: 0, limit: 5 }),
        (vec![credit(9, 9, 9)], ProtocolError::BadCredit { stream: 2, ack: 9, next: 9, limit: 9 }),
        (vec![credit(0, 0, 9), credit(0, 0, 8)], ProtocolError::BadCredit { stream: 2, ack: 0, next: 0, limit: 8 }),
        (vec![reply(4)], ProtocolError::UnknownReply(4)),
        (vec![event(1), event(3)], ProtocolError::EventOrder { last: 1, got: 3 }),
        (vec![event(1), event(1)], ProtocolError::EventOrder { last: 1, got: 1 }),
        (vec![raw_message(envelope::Body::Request(Request::default()))], ProtocolError::Direction("Request")),
        (vec![raw_message(envelope::Body::EventAck(EventAck::default()))], ProtocolError::Direction("EventAck")),
    ];
    for (frames, expected) in cases {
        let mut daemon = Session::daemon(Hello::default(), 0);
        daemon.open_recv(1, 0).expect("opens");
        daemon.open_send(2).expect("opens");
        let bytes = [vec![raw_hello(1, 1)], frames].concat();
        let mut seen = Ok(None);
        for frame in bytes {
            assert_eq!(daemon.feed(&frame), frame.len(), "{expected}");
            seen = loop {
                match daemon.next_event() {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
        }
        assert_eq!(seen, Err(expected.clone()));
        assert_eq!(daemon.next_event(), Err(expected), "the first error stays");
        assert_eq!(daemon.output(), b"", "nothing is said to a liar");
    }
}

#[test]
fn nothing_comes_before_hello() {
    let ping = raw_message(envelope::Body::Event(Event::default()));
    assert_eq!(daemon_hears(Session::daemon(Hello::default(), 0), &ping), Err(ProtocolError::Order("a message")));
    let credit = raw_frame(Kind::Credit, 1, 0, &[0; 16]);
    assert_eq!(
        daemon_hears(Session::daemon(Hello::default(), 0), &credit),
        Err(ProtocolError::Order("a stream's frame"))
    );
}

#[test]
fn a_message_without_end_is_cut_off() {
    let mut daemon = Session::daemon(Hello::default(), 0);
    let hello = raw_hello(1, 1);
    daemon.feed(&hello);
    assert!(daemon.next_event().expect("hello").is_some());
    let header = Header { kind: Kind::Message, flag: true, length: MAX_PAYLOAD as u32, stream: 0, offset: 0 };
    let frame = [header.encode().as_slice(), &vec![0; MAX_PAYLOAD]].concat();
    assert_eq!(daemon.feed(&frame), frame.len());
    assert_eq!(daemon.next_event(), Ok(None));
    assert_eq!(daemon.feed(&frame), frame.len());
    assert_eq!(daemon.next_event(), Err(ProtocolError::MessageTooLong(MAX_MESSAGE_TO_DAEMON)));
}
