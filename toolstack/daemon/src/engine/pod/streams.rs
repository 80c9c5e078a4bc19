//! Containers' own streams, and connections to ports of the pod. The pod's task waits for none of the answers.

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::net::UnixStream;
use xenpod_api::state::ContainerState;
use xenpod_protocol::message::{self, request::Op, resize_tty};

use super::super::failure::Failure;
use super::super::streams::{AttachRequest, ForwardRequest, ResizeRequest};
use super::Pod;
use crate::guest::{Guest, GuestError, Output};

impl Pod {
    /// A container that runs, and its guest.
    pub(super) fn running_container(&self, name: &str) -> Result<(usize, Guest), Failure> {
        let (pod, container) = (self.name(), name.to_owned());
        let Some(index) = self.record.containers.iter().position(|c| c.name == name) else {
            return Err(Failure::NoSuchContainer { pod, container });
        };
        let state = self.record.containers[index].state;
        match &self.guest {
            Some(guest) if state == ContainerState::Running => Ok((index, guest.clone())),
            _ => Err(Failure::ContainerNotRunning { pod, container, state: state.to_string() }),
        }
    }

    /// Connects somebody to a container's standard input.
    pub(super) fn attach(&self, request: AttachRequest) {
        let found = self.running_container(&request.container).and_then(|(index, guest)| {
            let spec = &self.record.spec.containers[index];
            let stream = self.record.containers[index].stdin;
            if request.stdin && (!spec.stdin || stream == 0) {
                let (pod, container) = (self.name(), request.container.clone());
                return Err(Failure::NoStdin { pod, container, why: "its manifest does not say `stdin: true`" });
            }
            // As other runtimes do: the end of what is typed at a terminal is not the end of the terminal.
            Ok((guest, stream, spec.stdin_once && !spec.tty))
        });
        let (guest, stream, ends) = match found {
            Ok(found) if request.stdin => found,
            other => {
                let _ = request.answer.send(other.map(|_| None));
                return;
            }
        };
        let (read, write) = match rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC) {
            Ok(pipe) => pipe,
            Err(errno) => {
                let failure = Failure::Limit(format!("pod {}: no pipe can be made: {errno}", self.name()));
                let _ = request.answer.send(Err(failure));
                return;
            }
        };
        let pod = self.name();
        tokio::spawn(async move {
            let result = if guest.attach_input(stream, read, ends).await {
                Ok(Some(write))
            } else {
                let why = "it was closed: with `stdinOnce: true` it ends with the first who was attached to it";
                Err(Failure::NoStdin { pod, container: request.container, why })
            };
            let _ = request.answer.send(result);
        });
    }

    /// Gives a container's terminal a size.
    pub(super) fn resize_terminal(&self, request: ResizeRequest) {
        let (guest, key) = match self.running_container(&request.container) {
            Ok((index, guest)) if self.record.spec.containers[index].tty => {
                (guest, self.record.containers[index].key().to_owned())
            }
            Ok(_) => {
                let failure = Failure::NoTerminal { pod: self.name(), container: request.container };
                let _ = request.answer.send(Err(failure));
                return;
            }
            Err(failure) => {
                let _ = request.answer.send(Err(failure));
                return;
            }
        };
        let of = Some(resize_tty::Of::Container(key));
        let size = Some(message::Tty { rows: request.rows, columns: request.columns });
        let answer = guest.send("to resize a terminal", Op::ResizeTty(message::ResizeTty { of, size }));
        let (pod, within) = (self.name(), self.world.settings.answer_timeout);
        tokio::spawn(async move {
            let failure = |source| Failure::Guest { pod, container: Some(request.container), source };
            let _ = request.answer.send(answer.done(within).await.map_err(failure));
        });
    }

    /// Connects to a port of the pod.
    pub(super) async fn forward(&mut self, request: ForwardRequest) {
        let (guest, ours, theirs, first) = match self.prepare_forward().await {
            Ok(prepared) => prepared,
            Err(failure) => {
                let _ = request.answer.send(Err(failure));
                return;
            }
        };
        let (read, write) = ours.into_split();
        guest.open_socket_input(first, read);
        let connect = message::Connect { port: request.port.into(), input: first, output: first + 1 };
        let outputs = vec![Output::Socket { id: first + 1, socket: write }];
        let answer = guest.send_with("to connect to a port", Op::Connect(connect), outputs);
        let (pod, within) = (self.name(), self.world.settings.answer_timeout);
        tokio::spawn(async move {
            let failure = |source| Failure::Guest { pod, container: None, source };
            let _ = request.answer.send(answer.done(within).await.map(|()| theirs).map_err(failure));
        });
    }

    async fn prepare_forward(&mut self) -> Result<(Guest, UnixStream, std::os::fd::OwnedFd, u32), Failure> {
        let pod = self.name();
        let gone = || GuestError::Lost("it is gone".into());
        let guest = self.guest.clone().ok_or_else(|| self.guest_failure(None, gone()))?;
        let first = self.streams(2).await?;
        let limit = |why: String| Failure::Limit(format!("pod {pod}: no socket can be made: {why}"));
        let pair = rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
        let (ours, theirs) = pair.map_err(|errno| limit(errno.to_string()))?;
        // Only our end does not block: the caller's is its own.
        let ours = std::os::unix::net::UnixStream::from(ours);
        let ours = ours.set_nonblocking(true).and_then(|()| UnixStream::from_std(ours));
        Ok((guest, ours.map_err(|error| limit(error.to_string()))?, theirs, first))
    }
}
