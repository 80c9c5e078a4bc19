//! The task that drives one session over one transport.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::PoisonError;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use xenpod_protocol::message::event::What;
use xenpod_protocol::message::{self, reply, request};
use xenpod_protocol::{CloseReason, Incoming, Session};

use super::sinks::{self, Chunk};
use super::{Command, FromGuest, GuestError, LogSink, Output, Transport};

/// How long a log that cannot be written is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

enum Sink {
    Log(LogSink),
    Pipe(mpsc::UnboundedSender<Chunk>),
}

/// A request without an answer yet.
struct Asked {
    answer: oneshot::Sender<Result<reply::Result, GuestError>>,
    /// Its streams, opened with the answer. Those that go to logs stand in `sinks` already: an exit waits for them.
    outputs: Vec<Output>,
    /// The stream that it makes to the guest, or 0.
    input: u32,
}

/// A stream to the guest. Several may write to it.
#[derive(Default)]
struct Input {
    waiting: VecDeque<u8>,
    taken: Vec<oneshot::Sender<()>>,
    ended: bool,
    /// The end of who writes is not its end.
    kept: bool,
}

/// The stream to the guest that a request makes, or 0.
fn input_of(op: &request::Op) -> u32 {
    match op {
        request::Op::CreateContainer(create) => create.stdio.map_or(0, |stdio| stdio.stdin),
        request::Op::Exec(exec) => exec.stdio.map_or(0, |stdio| stdio.stdin),
        request::Op::Connect(connect) => connect.input,
        _ => 0,
    }
}

pub(super) struct Link {
    read: ReadHalf<Box<dyn Transport>>,
    write: WriteHalf<Box<dyn Transport>>,
    session: Session,
    commands: mpsc::WeakUnboundedSender<Command>,
    out: mpsc::UnboundedSender<FromGuest>,
    answers: HashMap<u64, Asked>,
    sinks: HashMap<u32, Sink>,
    inputs: HashMap<u32, Input>,
    /// Output that could not be written to its log yet: stream, offset, bytes.
    stalled: VecDeque<(u32, u64, Vec<u8>)>,
    /// Streams that have ended and whose last bytes are stalled.
    ended: HashSet<u32>,
    /// Events in their order; the first waits for its container's output.
    held: VecDeque<message::Event>,
}

impl Link {
    pub(super) fn new(
        transport: Box<dyn Transport>,
        last_event: u64,
        commands: mpsc::WeakUnboundedSender<Command>,
        out: mpsc::UnboundedSender<FromGuest>,
    ) -> Self {
        let (read, write) = tokio::io::split(transport);
        let hello = message::Hello { version: env!("CARGO_PKG_VERSION").into(), ..Default::default() };
        Self {
            read,
            write,
            session: Session::daemon(hello, last_event),
            commands,
            out,
            answers: HashMap::new(),
            sinks: HashMap::new(),
            inputs: HashMap::new(),
            stalled: VecDeque::new(),
            ended: HashSet::new(),
            held: VecDeque::new(),
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Command>) {
        let why = self.drive(&mut inbox).await;
        for (_, asked) in self.answers.drain() {
            let _ = asked.answer.send(Err(GuestError::Lost(why.clone())));
        }
        // What was held back waits for output that will not come: it is still true.
        for event in self.held.drain(..) {
            let _ = self.out.send(FromGuest::Event(event));
        }
        let _ = self.out.send(FromGuest::Lost { why });
    }

    async fn drive(&mut self, inbox: &mut mpsc::UnboundedReceiver<Command>) -> String {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let stalled = !self.stalled.is_empty();
            let output = self.session.output();
            tokio::select! {
                biased;
                command = inbox.recv() => {
                    let mut next = command;
                    loop {
                        match next {
                            None | Some(Command::Close) => return "nobody listens any more".into(),
                            Some(command) => self.command(command),
                        }
                        // What is sent together travels together.
                        match inbox.try_recv() {
                            Ok(command) => next = Some(command),
                            Err(_) => break,
                        }
                    }
                }
                written = self.write.write(output), if !output.is_empty() => match written {
                    Ok(0) => return "the guest closed it".into(),
                    Ok(n) => self.session.advance_output(n),
                    Err(e) => return e.to_string(),
                },
                read = self.read.read(&mut buffer) => match read {
                    Ok(0) => return "the guest closed it".into(),
                    Ok(n) => if let Err(why) = self.fed(&buffer[..n]) { return why },
                    Err(e) => return e.to_string(),
                },
                () = tokio::time::sleep(RETRY), if stalled => self.retry(),
            }
        }
    }

    fn fed(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        loop {
            let taken = self.session.feed(bytes);
            bytes = &bytes[taken..];
            while let Some(incoming) = self.session.next_event().map_err(|e| e.to_string())? {
                self.incoming(incoming);
            }
            if bytes.is_empty() {
                return Ok(());
            }
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Connected { hello, .. } => {
                let _ = self.out.send(FromGuest::Up { hello });
            }
            Incoming::Reply { id, result } => {
                if let Some(asked) = self.answers.remove(&id) {
                    let done = !matches!(result, None | Some(reply::Result::Error(_)));
                    asked.outputs.into_iter().for_each(|output| self.open(output, done));
                    if !done && asked.input != 0 {
                        self.inputs.remove(&asked.input);
                        self.session.drop_send(asked.input);
                    }
                    let _ = asked.answer.send(result.ok_or(GuestError::Nonsense("a request")));
                }
            }
            Incoming::Event(event) => {
                self.held.push_back(event);
                self.release();
            }
            Incoming::Data { stream, offset, bytes } => self.data(stream, offset, bytes),
            Incoming::Ended { stream, reason, .. } => {
                if reason == CloseReason::Failed {
                    tracing::warn!(stream, "a stream of the guest broke before its end");
                }
                self.ended.insert(stream);
                self.settle(stream);
            }
            Incoming::Writable { stream } => self.push_input(stream),
            Incoming::Stopped { stream } | Incoming::Finished { stream } => {
                self.inputs.remove(&stream);
            }
            // The daemon's session never shows these.
            Incoming::Request { .. } => {}
        }
    }

    fn data(&mut self, stream: u32, offset: u64, bytes: Vec<u8>) {
        let end = offset + bytes.len() as u64;
        match self.sinks.get(&stream) {
            Some(Sink::Log(sink)) => {
                // A later chunk must not overtake one that is stuck.
                if self.stalled.iter().any(|(s, ..)| *s == stream) || !append(sink, &bytes) {
                    self.stalled.push_back((stream, offset, bytes));
                } else {
                    let _ = self.session.ack(stream, end);
                }
            }
            Some(Sink::Pipe(to)) => {
                if to.send(Chunk { bytes, end }).is_err() {
                    let _ = self.session.discard(stream);
                }
            }
            None => {
                let _ = self.session.discard(stream);
            }
        }
    }

    /// Forgets a stream that has ended, unless its log is stuck: it ends after its last byte is written.
    fn settle(&mut self, stream: u32) {
        if self.ended.contains(&stream) && !self.stalled.iter().any(|(s, ..)| *s == stream) {
            self.ended.remove(&stream);
            self.sinks.remove(&stream);
            self.release();
        }
    }

    fn retry(&mut self) {
        for (stream, offset, bytes) in std::mem::take(&mut self.stalled) {
            self.data(stream, offset, bytes);
            self.settle(stream);
        }
    }

    /// Passes events on, in order, up to one whose container's output is not yet complete.
    fn release(&mut self) {
        while let Some(event) = self.held.front() {
            if let Some(What::ContainerExited(exited)) = &event.what {
                let open = self.sinks.values().any(|s| matches!(s, Sink::Log(l) if l.container == exited.name));
                if open {
                    return;
                }
            }
            if let Some(event) = self.held.pop_front() {
                let _ = self.out.send(FromGuest::Event(event));
            }
        }
    }

    /// Opens a stream that the guest has, or forgets one that it has not.
    fn open(&mut self, output: Output, there: bool) {
        match output {
            Output::Log(sink) => {
                let id = sink.id;
                let offset = sink.log.lock().unwrap_or_else(PoisonError::into_inner).offset(sink.which);
                if there && self.session.open_recv(id, offset).is_ok() {
                    self.sinks.insert(id, Sink::Log(sink));
                } else {
                    self.sinks.remove(&id);
                    self.release();
                }
            }
            // A pipe that is dropped is at its end for who reads it.
            Output::Pipe { id, pipe } => self.open_pipe(id, sinks::To::Pipe(pipe), there),
            Output::Socket { id, socket } => self.open_pipe(id, sinks::To::Socket(socket), there),
        }
    }

    fn open_pipe(&mut self, id: u32, to: sinks::To, there: bool) {
        if there && self.session.open_recv(id, 0).is_ok() {
            self.sinks.insert(id, Sink::Pipe(sinks::spawn_writer(id, to, self.commands.clone())));
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Request { op, outputs, answer } => self.request(op, outputs, answer),
            Command::Resume(sink) => self.open(Output::Log(sink), true),
            // What was begun by another daemon goes on where the guest says.
            Command::ResumeInput { id } => {
                if self.session.adopt_send(id).is_ok() {
                    self.inputs.insert(id, Input::default());
                }
            }
            Command::OpenInput { id, from } => {
                if self.session.open_send(id).is_ok() {
                    self.inputs.insert(id, Input::default());
                    sinks::spawn_reader(id, from, true, self.commands.clone());
                }
            }
            Command::AttachInput { id, pipe, ends, answer } => {
                let open = self.inputs.get(&id).is_some_and(|input| !input.ended);
                if open {
                    sinks::spawn_reader(id, sinks::From::Pipe(pipe), ends, self.commands.clone());
                }
                let _ = answer.send(open);
            }
            Command::KeepInput { id } => {
                if let Some(input) = self.inputs.get_mut(&id) {
                    input.kept = true;
                }
            }
            Command::ForgetInput { id } => {
                self.inputs.remove(&id);
                self.session.drop_send(id);
            }
            Command::PipeWritten { id, offset } => {
                let _ = self.session.ack(id, offset);
            }
            Command::PipeClosed { id } => {
                self.sinks.remove(&id);
                let _ = self.session.discard(id);
            }
            Command::Input { id, bytes, taken } => {
                if let Some(input) = self.inputs.get_mut(&id) {
                    input.waiting.extend(bytes);
                    input.taken.push(taken);
                    self.push_input(id);
                }
            }
            Command::InputEnded { id } => {
                if let Some(input) = self.inputs.get_mut(&id).filter(|input| !input.kept) {
                    input.ended = true;
                    self.push_input(id);
                }
            }
            // Taken before it comes here.
            Command::Close => {}
            Command::AckEvent(sequence) => {
                let _ = self.session.ack_event(sequence);
            }
        }
    }

    fn request(
        &mut self,
        op: request::Op,
        outputs: Vec<Output>,
        answer: oneshot::Sender<Result<reply::Result, GuestError>>,
    ) {
        let input = input_of(&op);
        // A container's standard input is there before it is: who attaches later finds it.
        if matches!(op, request::Op::CreateContainer(_)) && input != 0 && self.session.open_send(input).is_ok() {
            self.inputs.insert(input, Input::default());
        }
        match self.session.request(op) {
            Ok(id) => {
                for output in &outputs {
                    if let Output::Log(sink) = output {
                        self.sinks.insert(sink.id, Sink::Log(sink.clone()));
                    }
                }
                self.answers.insert(id, Asked { answer, outputs, input });
            }
            Err(e) => {
                self.inputs.remove(&input);
                self.session.drop_send(input);
                let _ = answer.send(Err(GuestError::Lost(e.to_string())));
            }
        }
    }

    /// Moves what the session takes.
    fn push_input(&mut self, id: u32) {
        let Some(input) = self.inputs.get_mut(&id) else { return };
        while !input.waiting.is_empty() {
            let (front, _) = input.waiting.as_slices();
            match self.session.write(id, front) {
                Ok(0) => return,
                Ok(n) => drop(input.waiting.drain(..n)),
                Err(_) => {
                    self.inputs.remove(&id);
                    return;
                }
            }
        }
        for taken in input.taken.drain(..) {
            let _ = taken.send(());
        }
        if input.ended {
            let _ = self.session.close(id, CloseReason::End);
            self.inputs.remove(&id);
        }
    }
}

fn append(sink: &LogSink, bytes: &[u8]) -> bool {
    let time = crate::clock::now_ns();
    let written = sink.log.lock().unwrap_or_else(PoisonError::into_inner).append(time, sink.which, bytes);
    if let Err(error) = &written {
        tracing::error!(container = sink.container, %error, "output of container {} cannot be kept, it waits: {error}", sink.container);
    }
    written.is_ok()
}
