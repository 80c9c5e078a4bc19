use super::*;
use rustix::pipe::PipeFlags;
use xenpod_protocol::message::Hello;
use xenpod_protocol::session::WINDOW;

fn session() -> Session {
    let mut session = Session::guest(Hello::default());
    session.open_send(1).unwrap();
    session.open_recv(2, 0).unwrap();
    session
}

/// The end that we use does not block.
fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap()
}

fn fill(fd: &OwnedFd) -> usize {
    let mut written = 0;
    while let Ok(count) = rustix::io::write(fd, &[7; 4096]) {
        written += count;
    }
    written
}

#[test]
fn output_is_read_until_the_window_is_full_and_no_further() {
    let (mut session, poll) = (session(), Poll::new().unwrap());
    let (read, write) = pipe();
    let mut output = Output::new(read, 1, 0);
    let first = fill(&write);
    assert!(first >= WINDOW);
    assert_eq!(output.pump(&mut session, &poll, 9, false), Flow::Open);
    assert_eq!(session.room(1), 0);
    let second = fill(&write);
    assert!(second > 0, "what was read has made room in the pipe");
    assert_eq!(output.pump(&mut session, &poll, 9, false), Flow::Open);
    assert_eq!(fill(&write), 0, "a full window: the writer waits");
    assert_eq!(poll.wait(Some(0)).unwrap(), [], "and is not looked at in vain");
}

#[test]
fn the_end_of_a_process_is_the_end_of_what_is_in_its_pipe() {
    let (mut session, poll) = (session(), Poll::new().unwrap());
    let (read, write) = pipe();
    let mut output = Output::new(read, 1, 0);
    rustix::io::write(&write, b"last words").unwrap();
    // Somebody still holds the pipe open.
    assert_eq!(output.pump(&mut session, &poll, 9, false), Flow::Open);
    assert_eq!(session.send_offset(1), Some(10));
    assert_eq!(output.pump(&mut session, &poll, 9, true), Flow::Over);
    assert_eq!(session.room(1), 0, "the stream is closed");
}

#[test]
fn unwanted_output_is_dropped_and_the_writer_goes_on() {
    let (mut session, poll) = (session(), Poll::new().unwrap());
    let (read, write) = pipe();
    let mut output = Output::new(read, 1, 0);
    output.discard();
    for _ in 0..4 {
        assert!(fill(&write) > 0);
        assert_eq!(output.pump(&mut session, &poll, 9, false), Flow::Open);
    }
    assert_eq!(session.send_offset(1), Some(0));
}

#[test]
fn input_waits_for_its_process_and_for_room() {
    let (mut session, poll) = (session(), Poll::new().unwrap());
    let mut input = Input::new(2);
    input.push(b"early");
    assert_eq!(input.pump(&mut session, &poll), Flow::Open);
    let (read, write) = pipe();
    input.lead_to(write, 9, false);
    input.push(&[1; 100_000]);
    assert_eq!(input.pump(&mut session, &poll), Flow::Open);
    let mut buffer = vec![0; 200_000];
    let first = rustix::io::read(&read, &mut buffer).unwrap();
    assert!(buffer.starts_with(b"early") && first < 100_005);
    assert_eq!(poll.wait(Some(0)).unwrap(), [Source::Stdin(9)], "there is room again");
    input.end();
    let mut total = first;
    loop {
        let flow = input.pump(&mut session, &poll);
        total += rustix::io::read(&read, &mut buffer).unwrap_or(0);
        if flow == Flow::Over {
            break;
        }
    }
    total += rustix::io::read(&read, &mut buffer).unwrap_or(0);
    assert_eq!(total, 100_005);
    input.close(&mut session, &poll);
    assert_eq!(rustix::io::read(&read, &mut buffer), Ok(0), "closed");
}

#[test]
fn nobody_reads() {
    let (mut session, poll) = (session(), Poll::new().unwrap());
    let (read, write) = pipe();
    drop(read);
    let mut input = Input::new(2);
    input.lead_to(write, 9, false);
    input.push(b"x");
    assert_eq!(input.pump(&mut session, &poll), Flow::Over);
}

#[test]
fn the_end_of_input_to_a_terminal_is_typed() {
    let (mut session, poll) = (session(), Poll::new().unwrap());
    let (read, write) = pipe();
    let mut input = Input::new(2);
    input.push(b"a\n");
    input.end();
    input.lead_to(write, 9, true);
    assert_eq!(input.pump(&mut session, &poll), Flow::Over);
    let mut buffer = [0; 10];
    assert_eq!(rustix::io::read(&read, &mut buffer), Ok(3));
    assert_eq!(&buffer[..3], b"a\n\x04");
}
