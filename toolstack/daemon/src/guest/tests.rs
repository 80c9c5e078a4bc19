use std::io::{Read, Write};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use xenpod_protocol::message::{ContainerExited, Done, Ping, Started, event::What, request::Op};
use xenpod_protocol::{CloseReason, Incoming, Session};

use super::*;

const LONG: Duration = Duration::from_secs(5);

/// The guest's end, driven by the test.
struct Far {
    session: Session,
    pipe: DuplexStream,
}

impl Far {
    /// Sends all there is.
    async fn flush(&mut self) {
        loop {
            let output = self.session.output().to_vec();
            if output.is_empty() {
                return;
            }
            self.pipe.write_all(&output).await.unwrap();
            self.session.advance_output(output.len());
        }
    }

    /// Goes on until something comes that `wanted` knows.
    async fn until<T>(&mut self, mut wanted: impl FnMut(&mut Session, Incoming) -> Option<T>) -> T {
        let mut buffer = [0; 512];
        loop {
            while let Some(incoming) = self.session.next_event().unwrap() {
                if let Some(found) = wanted(&mut self.session, incoming) {
                    self.flush().await;
                    return found;
                }
            }
            self.flush().await;
            let n = tokio::time::timeout(LONG, self.pipe.read(&mut buffer)).await.expect("silence").unwrap();
            assert_ne!(n, 0, "the daemon has closed");
            assert_eq!(self.session.feed(&buffer[..n]), n);
        }
    }

    /// Answers the next request.
    async fn answer(&mut self, result: reply::Result) {
        self.until(|session, incoming| match incoming {
            Incoming::Request { token, .. } => session.reply(token, result.clone()).ok(),
            _ => None,
        })
        .await;
    }
}

async fn connected() -> (Guest, mpsc::UnboundedReceiver<FromGuest>, Far) {
    let (near, pipe) = tokio::io::duplex(256);
    let (guest, mut events) = Guest::start(Box::new(near), 0, Vec::new(), Vec::new());
    let mut far = Far { session: Session::guest(message::Hello::default()), pipe };
    far.until(|_, incoming| matches!(incoming, Incoming::Connected { .. }).then_some(())).await;
    assert!(matches!(events.recv().await, Some(FromGuest::Up { .. })));
    (guest, events, far)
}

fn log(dir: &tempfile::TempDir, id: u32, which: Stream) -> LogSink {
    let log = Arc::new(Mutex::new(LogWriter::open(dir.path(), "web", 1 << 20).unwrap()));
    LogSink { id, container: "web".into(), which, log }
}

fn done() -> reply::Result {
    reply::Result::Done(Done {})
}

#[tokio::test]
async fn an_exit_waits_for_the_output_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (guest, mut events, mut far) = connected().await;
    let answer = guest.send_with("x", Op::Ping(Ping {}), vec![Output::Log(log(&dir, 1, Stream::Stdout))]);
    far.session.open_send(1).unwrap();
    far.answer(done()).await;
    answer.done(LONG).await.unwrap();
    // The event overtakes the bytes on the wire: messages go first.
    let text: String = (0..2000).map(|n| format!("{n}\n")).collect();
    assert_eq!(far.session.write(1, text.as_bytes()).unwrap(), text.len());
    far.session.close(1, CloseReason::End).unwrap();
    let exited = ContainerExited { name: "web".into(), exit: None };
    far.session.emit(7, What::ContainerExited(exited)).unwrap();
    far.until(|_, incoming| matches!(incoming, Incoming::Finished { stream: 1 }).then_some(())).await;
    let Some(FromGuest::Event(event)) = events.recv().await else { panic!("no event") };
    assert_eq!(event.sequence, 1);
    let written = std::fs::read_to_string(dir.path().join("web.log")).unwrap();
    // Where the wire cut a line there is a `P` record besides.
    assert_eq!(written.lines().filter(|l| l.contains(" stdout F ")).count(), 2000);
    assert!(written.ends_with(" stdout F 1999\n"), "{}", &written[written.len() - 60..]);
}

#[tokio::test]
async fn a_refused_request_opens_nothing_and_holds_no_exit() {
    let dir = tempfile::tempdir().unwrap();
    let (guest, mut events, mut far) = connected().await;
    let answer = guest.send_with("x", Op::Ping(Ping {}), vec![Output::Log(log(&dir, 1, Stream::Stdout))]);
    far.answer(reply::Result::Error(message::Error { message: "no".into(), ..Default::default() })).await;
    let error = answer.done(LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "no");
    far.session.emit(7, What::ContainerExited(ContainerExited { name: "web".into(), exit: None })).unwrap();
    far.flush().await;
    assert!(matches!(events.recv().await, Some(FromGuest::Event(_))));
}

#[tokio::test]
async fn input_of_any_length_arrives_and_ends() {
    let (guest, _events, mut far) = connected().await;
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    guest.open_input(3, read);
    let _answer = guest.send("x", Op::Ping(Ping {}));
    far.session.open_recv(3, 0).unwrap();
    let sent: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let copy = sent.clone();
    std::thread::spawn(move || std::fs::File::from(write).write_all(&copy).unwrap());
    let mut got = Vec::new();
    far.until(|session, incoming| match incoming {
        Incoming::Data { stream: 3, offset, bytes } => {
            session.ack(3, offset + bytes.len() as u64).unwrap();
            got.extend(bytes);
            None
        }
        Incoming::Ended { stream: 3, length: 200_000, .. } => Some(()),
        _ => None,
    })
    .await;
    assert!(got == sent, "other bytes came out than went in");
}

#[tokio::test]
async fn a_reader_that_goes_away_stops_the_stream() {
    let (guest, _events, mut far) = connected().await;
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let answer = guest.send_with("x", Op::Ping(Ping {}), vec![Output::Pipe { id: 4, pipe: write }]);
    far.session.open_send(4).unwrap();
    far.answer(reply::Result::Started(Started { pid: 9 })).await;
    assert_eq!(answer.started(LONG).await, Ok(9));
    far.session.write(4, b"hello").unwrap();
    // More comes whenever there is room, until nobody reads it.
    let stopped = tokio::spawn(async move {
        far.until(|session, incoming| match incoming {
            Incoming::Writable { stream: 4 } => {
                session.write(4, b"more").unwrap();
                None
            }
            Incoming::Stopped { stream: 4 } => Some(()),
            _ => None,
        })
        .await;
    });
    let mut reader = std::fs::File::from(read);
    let text = tokio::task::spawn_blocking(move || {
        let mut text = [0; 5];
        reader.read_exact(&mut text).unwrap();
        text
    });
    assert_eq!(&text.await.unwrap(), b"hello");
    stopped.await.unwrap();
}

#[tokio::test]
async fn a_channel_that_ends_answers_what_is_open_and_says_so() {
    let (guest, mut events, far) = connected().await;
    let answer = guest.send("Ping", Op::Ping(Ping {}));
    drop(far);
    assert!(matches!(answer.done(LONG).await, Err(GuestError::Lost(_))));
    assert!(matches!(events.recv().await, Some(FromGuest::Lost { .. })));
    assert!(matches!(guest.send("Ping", Op::Ping(Ping {})).done(LONG).await, Err(GuestError::Lost(_))));
}

#[tokio::test]
async fn a_guest_that_lies_loses_its_channel() {
    let (_guest, mut events, mut far) = connected().await;
    far.pipe.write_all(&[0xff; 64]).await.unwrap();
    let Some(FromGuest::Lost { why }) = events.recv().await else { panic!("it is believed") };
    assert!(why.contains("frame of unknown kind 0xff"), "{why}");
}

#[tokio::test]
async fn a_guest_that_says_nothing_is_not_waited_for() {
    let (guest, _events, _far) = connected().await;
    let error = guest.send("Ping", Op::Ping(Ping {})).done(Duration::from_millis(20)).await.unwrap_err();
    assert_eq!(error, GuestError::Timeout { what: "Ping", after: Duration::from_millis(20) });
}
