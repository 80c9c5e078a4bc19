use super::*;

fn round_trip(message: Message) {
    let mut bytes = Vec::new();
    message.write(&mut bytes).unwrap();
    assert_eq!(Message::read(&mut bytes.as_slice()).unwrap(), message);
}

#[test]
fn every_message_survives_the_wire() {
    round_trip(Message::Ping(7));
    round_trip(Message::Pong(u64::MAX));
    round_trip(Message::Clock(1_700_000_000_000_000_000));
    round_trip(Message::Stdin(Vec::new()));
    round_trip(Message::Stdout(vec![0, 255, 10]));
    round_trip(Message::Stderr(b"no".to_vec()));
    round_trip(Message::Resize(24, 80));
    round_trip(Message::Kill);
    round_trip(Message::Exit(-1));
    round_trip(Message::Refused("no such file".into()));
    round_trip(Message::Start(Start {
        argv: vec!["sh".into(), "-c".into(), "echo \"a b\"".into(), String::new()],
        env: vec![("A".into(), "1=2".into()), ("B".into(), String::new())],
        tty: Some((50, 132)),
        stdin: true,
    }));
}

#[test]
fn empty_arguments_are_not_lost_at_the_end() {
    let start = Start { argv: vec!["true".into(), String::new()], env: Vec::new(), tty: None, stdin: false };
    round_trip(Message::Start(start));
}

#[test]
fn a_frame_too_long_is_refused_before_it_is_read() {
    let mut bytes: &[u8] = &[8, 255, 255, 255, 255];
    let error = Message::read(&mut bytes).unwrap_err();
    assert!(error.to_string().contains("frame of 4294967295 bytes"), "{error}");
}

#[test]
fn an_unknown_kind_is_named() {
    let mut bytes: &[u8] = &[99, 0, 0, 0, 0];
    let error = Message::read(&mut bytes).unwrap_err();
    assert!(error.to_string().contains("kind 99"), "{error}");
}
