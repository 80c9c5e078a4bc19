//! A guest: the real session of the protocol, with containers that do what their command says.
//!
//! `sleep` runs until it is told to end; `exit N` ends with N; `print TEXT` says it and ends with 0; `kill N` is ended by a
//! signal; `oom` is killed for memory; `cat` copies its input to its output and ends with it, as do commands of that name;
//! anything else does not exist. On port 7 somebody sends back what comes; on no other does anybody listen.

use std::collections::HashMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use xenpod_api::ids::PodId;
use xenpod_protocol::message::{self, ErrorKind, Exit, event::What, reply, request::Op};
use xenpod_protocol::{CloseReason, Incoming, Session};
use xenpod_xen::hypervisor::ShutdownReason;

use super::Fake;

struct Container {
    argv: Vec<String>,
    stdio: message::Stdio,
    state: message::RunState,
}

struct Guest {
    world: Fake,
    id: PodId,
    session: Session,
    containers: HashMap<String, Container>,
    /// From a stream that comes to the one it is sent back on, and the container or command that ends with it.
    echoes: HashMap<u32, (u32, Option<Echo>)>,
    configured: bool,
    ending: bool,
}

#[derive(Clone)]
enum Echo {
    Container(String),
    Exec { id: String, container: String },
}

/// Starts one; connections come over the channel that is returned.
pub(super) fn boot(world: Fake, id: PodId) -> mpsc::UnboundedSender<DuplexStream> {
    let (connections, inbox) = mpsc::unbounded_channel();
    let hello = message::Hello { version: "fake".into(), ..Default::default() };
    let guest = Guest {
        session: Session::guest(hello),
        containers: HashMap::new(),
        echoes: HashMap::new(),
        configured: false,
        ending: false,
        world: world.clone(),
        id,
    };
    world.guests.spawn(guest.run(inbox));
    connections
}

impl Guest {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<DuplexStream>) {
        let mut next = inbox.recv().await;
        while let Some(mut transport) = next.take() {
            self.session.reconnect();
            self.session.hello_mut().configured = self.configured;
            next = self.serve(&mut transport, &mut inbox).await;
            if self.ending {
                self.world.end_domain(self.id, ShutdownReason::Poweroff);
                return;
            }
        }
    }

    /// Serves one daemon; returns the next one's connection.
    async fn serve(
        &mut self,
        transport: &mut DuplexStream,
        inbox: &mut mpsc::UnboundedReceiver<DuplexStream>,
    ) -> Option<DuplexStream> {
        let (mut read, mut write) = tokio::io::split(transport);
        let mut buffer = [0; 1024];
        let mut open = true;
        loop {
            let waiting = self.session.events_waiting();
            if self.ending && waiting == 0 {
                return None;
            }
            let output = self.session.output();
            tokio::select! {
                another = inbox.recv() => return another,
                written = write.write(output), if open && !output.is_empty() => match written {
                    Ok(n @ 1..) => self.session.advance_output(n),
                    _ => open = false,
                },
                read = read.read(&mut buffer), if open => match read {
                    Ok(n @ 1..) => {
                        let mut rest = &buffer[..n];
                        while !rest.is_empty() {
                            let taken = self.session.feed(rest);
                            rest = &rest[taken..];
                            while let Some(incoming) = self.session.next_event().unwrap() {
                                self.incoming(incoming);
                            }
                        }
                    }
                    _ => open = false,
                },
                () = tokio::time::sleep(Duration::from_millis(200)), if self.ending => return None,
            }
        }
    }

    fn incoming(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Request { op: Some(Op::GetStats(_)), .. } if self.world.state().mute => {}
            Incoming::Request { token, op: Some(op) } => {
                let (result, then) = self.request(op);
                self.session.reply(token, result).unwrap();
                if let Some((name, exit)) = then {
                    self.end(&name, exit);
                }
            }
            Incoming::Data { stream, offset, bytes } => {
                self.session.ack(stream, offset + bytes.len() as u64).unwrap();
                if let Some((back, _)) = self.echoes.get(&stream) {
                    // More than a window at a time is not what tests send.
                    let _ = self.session.write(*back, &bytes);
                }
            }
            Incoming::Ended { stream, .. } => match self.echoes.remove(&stream) {
                Some((_, Some(Echo::Container(name)))) => self.end(&name, Exit::default()),
                Some((back, of)) => {
                    let _ = self.session.close(back, CloseReason::End);
                    if let Some(Echo::Exec { id, container }) = of {
                        let exited = message::ExecExited { id, container, exit: Some(Exit::default()) };
                        self.session.emit(1, What::ExecExited(exited)).unwrap();
                    }
                }
                None => {}
            },
            _ => {}
        }
    }

    fn request(&mut self, op: Op) -> (reply::Result, Option<(String, Exit)>) {
        let done = (reply::Result::Done(message::Done {}), None);
        let error = |kind: ErrorKind, text: String| {
            (reply::Result::Error(message::Error { kind: kind.into(), message: text, ..Default::default() }), None)
        };
        match op {
            Op::Configure(configure) => {
                assert!(configure.seed.len() >= 32 && !configure.hostname.is_empty());
                self.configured = true;
                done
            }
            Op::CreateVolume(create) => {
                if let Some(message::create_volume::Source::Files(files)) = &create.source {
                    files.files.iter().for_each(|file| self.world.file_written(&create.name, file));
                }
                done
            }
            Op::WriteFiles(write) => {
                write.files.iter().for_each(|file| self.world.file_written(&write.volume, file));
                done
            }
            Op::CreateContainer(create) => {
                let container = Container {
                    argv: create.process.unwrap().argv,
                    stdio: create.stdio.unwrap(),
                    state: message::RunState::Created,
                };
                for stream in [container.stdio.stdout, container.stdio.stderr].into_iter().filter(|s| *s != 0) {
                    self.session.open_send(stream).unwrap();
                }
                if container.stdio.stdin != 0 {
                    self.session.open_recv(container.stdio.stdin, 0).unwrap();
                }
                let image = create.rootfs.unwrap().image_disk;
                let number = usize::from(image.as_bytes()[3] - b'a');
                assert!(self.world.disks(self.id).contains(&number), "container {} has no disk {image}", create.name);
                assert!(self.containers.insert(create.name, container).is_none(), "created twice");
                done
            }
            Op::StartContainer(start) => {
                self.start(&start.name).unwrap_or_else(|text| error(ErrorKind::NotFound, text))
            }
            Op::RemoveContainer(remove) => {
                let Some(container) = self.containers.remove(&remove.name) else {
                    return error(ErrorKind::NoSuch, format!("no such container: {}", remove.name));
                };
                let _ = self.session.discard(container.stdio.stdin);
                done
            }
            Op::SignalExec(signal) => {
                let exit = Some(Exit { signal: signal.signal, ..Default::default() });
                let exited = message::ExecExited { id: signal.id, container: String::new(), exit };
                self.session.emit(1, What::ExecExited(exited)).unwrap();
                done
            }
            Op::Connect(connect) if connect.port == 7 => {
                self.session.open_recv(connect.input, 0).unwrap();
                self.session.open_send(connect.output).unwrap();
                self.echoes.insert(connect.input, (connect.output, None));
                done
            }
            Op::Connect(connect) => {
                let text = format!("cannot connect to port {} of the pod: connection refused", connect.port);
                error(ErrorKind::Unconnected, text)
            }
            Op::ResizeTty(resize) => {
                let size = resize.size.unwrap();
                assert_eq!((size.rows, size.columns), (50, 132));
                done
            }
            Op::SignalContainer(signal) => {
                self.world.state().commands.push(format!("{} signal {}", signal.name, signal.signal));
                let words = self.containers.get(&signal.name).map(|c| c.argv.join(" ")).unwrap_or_default();
                // This one ends with nothing but SIGKILL.
                if words == "stubborn" && signal.signal != 9 {
                    return done;
                }
                let exit = Exit { signal: signal.signal, ..Default::default() };
                (done.0, Some((signal.name, exit)))
            }
            Op::Exec(exec) => {
                let argv = exec.process.unwrap().argv;
                let stdio = exec.stdio.unwrap();
                if stdio.stdout == 0 {
                    return self.probe(&exec.id, &exec.container, &argv);
                }
                if argv[0] == "nothing" {
                    return error(ErrorKind::NotFound, "command \"nothing\" not found".into());
                }
                self.session.open_send(stdio.stdout).unwrap();
                if argv[0] == "cat" {
                    self.session.open_recv(stdio.stdin, 0).unwrap();
                    let of = Echo::Exec { id: exec.id, container: exec.container };
                    self.echoes.insert(stdio.stdin, (stdio.stdout, Some(of)));
                    return (reply::Result::Started(message::Started { pid: 98 }), None);
                }
                if stdio.stderr != 0 {
                    self.session.open_send(stdio.stderr).unwrap();
                    self.session.close(stdio.stderr, CloseReason::End).unwrap();
                }
                self.session.write(stdio.stdout, argv.join(" ").as_bytes()).unwrap();
                self.session.close(stdio.stdout, CloseReason::End).unwrap();
                let exit = Some(Exit { code: 7, ..Default::default() });
                let exited = message::ExecExited { id: exec.id, container: exec.container, exit };
                self.session.emit(1, What::ExecExited(exited)).unwrap();
                (reply::Result::Started(message::Started { pid: 99 }), None)
            }
            Op::UpdateResources(update) => {
                let resources = update.resources.unwrap();
                if resources.memory_max == 1 << 20 {
                    return error(ErrorKind::NoMemory, format!("container {} uses more", update.container));
                }
                self.world.state().limits.insert(update.container, resources);
                done
            }
            Op::Inspect(_) => {
                let containers = self
                    .containers
                    .iter()
                    .map(|(name, c)| message::ContainerState {
                        name: name.clone(),
                        state: c.state.into(),
                        pid: 42,
                        exit: None,
                        stdio: Some(c.stdio),
                    })
                    .collect();
                (reply::Result::Inspection(message::Inspection { containers, ..Default::default() }), None)
            }
            Op::GetStats(_) => {
                let of = |name: &String| message::ContainerStats {
                    name: name.clone(),
                    cpu_ns: 7_000_000,
                    memory_bytes: 4 << 20,
                    memory_working_set: 3 << 20,
                    pids: 2,
                    ..Default::default()
                };
                let state = self.world.state();
                let total = state.domains.get(&self.id).map_or(0, |d| d.memory[0]);
                let stats = message::Stats {
                    containers: self.containers.keys().map(of).collect(),
                    memory_total: total << 10,
                    memory_available: total.saturating_sub(state.held_kib) << 10,
                    memory_working_set: Some(5 << 20),
                };
                (reply::Result::Stats(stats), None)
            }
            Op::Shutdown(_) => {
                let running: Vec<_> = self.containers.keys().cloned().collect();
                for name in running {
                    self.end(&name, Exit { signal: 15, ..Default::default() });
                }
                self.ending = true;
                done
            }
            _ => done,
        }
    }

    /// A command for a probe or a hook: `health` ends as the test says, `exit N` with N, `hang` only with a signal.
    fn probe(&mut self, id: &str, container: &str, argv: &[String]) -> (reply::Result, Option<(String, Exit)>) {
        let words: Vec<&str> = argv.iter().map(String::as_str).collect();
        self.world.state().commands.push(format!("{container} {}", words.join(" ")));
        let code = match words[..] {
            ["health"] => Some(self.world.state().health),
            ["exit", code] => Some(code.parse().unwrap()),
            ["hang"] => None,
            _ => panic!("{words:?}"),
        };
        if let Some(code) = code {
            let exit = Some(Exit { code, ..Default::default() });
            let exited = message::ExecExited { id: id.into(), container: container.into(), exit };
            self.session.emit(1, What::ExecExited(exited)).unwrap();
        }
        (reply::Result::Started(message::Started { pid: 77 }), None)
    }

    fn start(&mut self, name: &str) -> Result<(reply::Result, Option<(String, Exit)>), String> {
        let container = self.containers.get_mut(name).ok_or("no such container")?;
        let words: Vec<&str> = container.argv.iter().map(String::as_str).collect();
        let exit = match words[..] {
            ["sleep" | "stubborn"] => None,
            ["cat"] => {
                let of = Some(Echo::Container(name.to_owned()));
                self.echoes.insert(container.stdio.stdin, (container.stdio.stdout, of));
                None
            }
            ["exit", code] => Some(Exit { code: code.parse().unwrap(), ..Default::default() }),
            ["kill", signal] => Some(Exit { signal: signal.parse().unwrap(), ..Default::default() }),
            ["oom"] => Some(Exit { signal: 9, oom_killed: true, ..Default::default() }),
            ["leave", words] => {
                Some(Exit { code: 1, termination: words.replace("NUL", "\0").into(), ..Default::default() })
            }
            ["fail", text] => {
                self.session.write(container.stdio.stdout, text.as_bytes()).unwrap();
                Some(Exit { code: 1, ..Default::default() })
            }
            ["print", text] => {
                self.session.write(container.stdio.stdout, text.as_bytes()).unwrap();
                Some(Exit::default())
            }
            _ => return Err(format!("command {:?} not found in container {name}", words[0])),
        };
        container.state = message::RunState::Running;
        let started = reply::Result::Started(message::Started { pid: 42 });
        Ok((started, exit.map(|exit| (name.to_owned(), exit))))
    }

    fn end(&mut self, name: &str, exit: Exit) {
        let Some(container) = self.containers.get_mut(name) else { return };
        if container.state != message::RunState::Running {
            return;
        }
        container.state = message::RunState::Exited;
        for stream in [container.stdio.stdout, container.stdio.stderr].into_iter().filter(|s| *s != 0) {
            let _ = self.session.close(stream, CloseReason::End);
        }
        let exited = message::ContainerExited { name: name.into(), exit: Some(exit) };
        self.session.emit(1, What::ContainerExited(exited)).unwrap();
    }
}
