//! Starting processes, and following them to their end.
//!
//! ```text
//! clone -> (status socket closes: runs | says why: failed) -> pipes flow -> reaped -> pipes drained -> event
//! ```

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use prost::Message as _;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};
use xenpod_protocol::message::event::What;
use xenpod_protocol::message::{
    self, ContainerExited, ContainerStarted, Done, Exec, ExecExited, Exit, Process, Started, Stdio, reply,
};
use xenpod_protocol::{CloseReason, RequestToken};

use crate::container::State;
use crate::container::child::{FAILED, Launch, Place, TERMINAL};
use crate::container::rootfs::Doomed;
use crate::container::{termination, variables};
use crate::error::Error;
use crate::guest::{Guest, now_ns};
use crate::poll::Source;
use crate::sys::{self, CloneFlags, Cloned};
use crate::tasks::{Flow, Output, Task};

/// Longest message on a status socket.
const STATUS_MAX: usize = 16 * 1024;

/// Our ends of a process's pipes.
struct Pipes {
    child: [Option<OwnedFd>; 3],
    stdin: Option<OwnedFd>,
    outputs: [Option<Output>; 2],
}

fn pipes(stdio: &Stdio, tty: bool) -> rustix::io::Result<Pipes> {
    let mut made = Pipes { child: [None, None, None], stdin: None, outputs: [None, None] };
    if tty {
        return Ok(made);
    }
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
    if stdio.stdin != 0 {
        let (read, write) = pipe()?;
        rustix::io::ioctl_fionbio(&write, true)?;
        made.child[0] = Some(read);
        made.stdin = Some(write);
    }
    for (number, stream) in [stdio.stdout, stdio.stderr].into_iter().enumerate() {
        if stream != 0 {
            let (read, write) = pipe()?;
            rustix::io::ioctl_fionbio(&read, true)?;
            made.child[number + 1] = Some(write);
            made.outputs[number] = Some(Output::new(read, stream, number));
        }
    }
    Ok(made)
}

/// Who is to be started.
struct Start<'a> {
    container: &'a str,
    exec: Option<&'a str>,
    process: &'a Process,
    stdio: Stdio,
    reply: RequestToken,
}

impl Guest {
    /// Starts a container's first process; the answer comes when its program runs.
    pub(crate) fn start_container(&mut self, name: &str, token: RequestToken) -> Result<(), Error> {
        let container = self.container(name)?;
        if container.state != State::Created {
            let state = if matches!(container.state, State::Running { .. }) {
                "running already"
            } else {
                "exited: it can only be removed"
            };
            return Err(Error::BadState { what: "container", name: name.into(), state });
        }
        let spec = container.spec.clone();
        let root = container.rootfs.root();
        let process = variables::resolve(&spec.process.clone().unwrap_or_default(), &self.volumes)?;
        let start = Start {
            container: name,
            exec: None,
            process: &process,
            stdio: spec.stdio.unwrap_or_default(),
            reply: token,
        };
        let volumes = std::mem::take(&mut self.volumes);
        let volume = |name: &str| volumes.root(name);
        let place = Place::First { spec: &spec, root: &root, volume: &volume };
        let flags = CloneFlags { container: true, pids: self.shared.is_none() };
        let join = self.shared.as_ref().map(|(_, pidfd)| rustix::io::dup(pidfd)).transpose();
        let join = join.map_err(Error::system("start", format!("container {name}")));
        let launched = join.and_then(|join| self.launch(&start, place, flags, join.as_ref().map(AsFd::as_fd)));
        self.volumes = volumes;
        let (slot, pid) = launched?;
        if let Some(container) = self.containers.get_mut(name) {
            container.state = State::Running { slot, pid };
        }
        Ok(())
    }

    /// Starts a further process in a running container.
    pub(crate) fn start_exec(&mut self, wanted: &Exec, token: RequestToken) -> Result<(), Error> {
        let State::Running { slot, .. } = self.container(&wanted.container)?.state else {
            return Err(Error::NoSuch { what: "process of container", name: wanted.container.clone() });
        };
        let beside = self.tasks.get(&slot).map(|task| rustix::io::dup(&task.pidfd));
        let Some(Ok(beside)) = beside else {
            return Err(Error::NoSuch { what: "process of container", name: wanted.container.clone() });
        };
        let process = variables::resolve(&wanted.process.clone().unwrap_or_default(), &self.volumes)?;
        let start = Start {
            container: &wanted.container,
            exec: Some(&wanted.id),
            process: &process,
            stdio: wanted.stdio.unwrap_or_default(),
            reply: token,
        };
        self.launch(&start, Place::Beside(beside.as_fd()), CloneFlags::default(), Some(beside.as_fd())).map(|_| ())
    }

    /// `join`: the process whose pid namespace the new one shall be in, when it gets none of its own.
    fn launch(
        &mut self,
        start: &Start<'_>,
        place: Place<'_>,
        flags: CloneFlags,
        join: Option<BorrowedFd<'_>>,
    ) -> Result<(u32, u32), Error> {
        let failed = || Error::system("start", format!("a process of container {}", start.container));
        let made = pipes(&start.stdio, start.process.tty.is_some()).map_err(failed())?;
        let (status, child_status) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(failed())?;
        if let Some(process) = join {
            rustix::thread::move_into_thread_name_spaces(process, ThreadNameSpaceType::PROCESS_ID).map_err(failed())?;
        }
        let cloned = match self.containers.get(start.container) {
            Some(container) => sys::clone(flags, Some(container.cgroup.folder().as_fd())),
            None => Err(Errno::SRCH),
        };
        if let Ok(Cloned::Child) = cloned {
            let launch = Launch {
                container: start.container,
                place,
                process: start.process,
                stdio: made.child,
                status: child_status,
            };
            launch.go()
        }
        if join.is_some() {
            self.come_back();
        }
        let Ok(Cloned::Parent(pid, pidfd)) = cloned else {
            return Err(failed()(cloned.err().unwrap_or(Errno::SRCH)));
        };
        drop(child_status);
        drop(made.child);
        self.last_number += 1;
        let slot = self.last_number;
        self.poll.add_read(&status, Source::Status(slot)).map_err(failed())?;
        let task = Task {
            container: start.container.into(),
            exec: start.exec.map(Into::into),
            pid,
            pidfd,
            stdio: start.stdio,
            status: Some(status),
            reply: Some(start.reply),
            failed: false,
            ended: None,
            started_ns: now_ns(),
            finished_ns: 0,
            outputs: made.outputs,
            terminal: None,
        };
        self.tasks.insert(slot, task);
        if let (Some(fd), Some(input)) = (made.stdin, self.inputs.get_mut(&start.stdio.stdin)) {
            input.lead_to(fd, slot, false);
        }
        Ok((slot, pid.as_raw_nonzero().get() as u32))
    }

    /// Children are ours again, after they were to be of a container's pid namespace.
    fn come_back(&mut self) {
        let own = Some(LinkNameSpaceType::ProcessID);
        if let Err(errno) = rustix::thread::move_into_link_name_space(self.pid_namespace.as_fd(), own) {
            self.warn(format!("cannot come back to our own process namespace: {errno}"));
        }
    }

    /// Keeps a pid namespace for all containers: its first process does nothing but collect orphans.
    pub(crate) fn hold_namespace(&mut self) -> Result<(), Error> {
        let flags = CloneFlags { container: false, pids: true };
        match sys::clone(flags, None).map_err(Error::system("start", "the pod's process namespace"))? {
            Cloned::Parent(pid, pidfd) => {
                self.shared = Some((pid, pidfd));
                Ok(())
            }
            Cloned::Child => collect_orphans(),
        }
    }

    /// Deletes a folder beside our work: it may be large.
    pub(crate) fn delete_later(&mut self, doomed: Doomed) -> Result<(), Error> {
        match sys::clone(CloneFlags::default(), None).map_err(Error::system("delete", "a container's files"))? {
            Cloned::Parent(..) => Ok(()),
            Cloned::Child => {
                drop(std::panic::take_hook());
                doomed.enter();
                // A copy of a pipe's end would keep the pipe open.
                let _ = sys::close_from(3);
                doomed.delete();
                std::process::exit(0)
            }
        }
    }

    /// The status socket of a starting process says something, or closed.
    pub(crate) fn start_progressed(&mut self, slot: u32) {
        let Some(task) = self.tasks.get_mut(&slot) else { return };
        let Some(status) = &task.status else { return };
        let mut buffer = vec![0; STATUS_MAX];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            status,
            &mut [std::io::IoSliceMut::new(&mut buffer)],
            &mut ancillary,
            RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC,
        );
        let length = match received {
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => 0,
            Ok(message) => message.bytes,
        };
        match buffer[..length].split_first() {
            Some((&TERMINAL, _)) => {
                let master = ancillary.drain().find_map(|message| match message {
                    RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                    _ => None,
                });
                if let Some(master) = master {
                    self.terminal_came(slot, master);
                }
            }
            Some((&FAILED, rest)) => {
                let error = message::Error::decode(rest).unwrap_or_default();
                self.start_failed(slot, error);
            }
            _ => self.start_succeeded(slot),
        }
    }

    fn terminal_came(&mut self, slot: u32, master: OwnedFd) {
        let Some(task) = self.tasks.get_mut(&slot) else { return };
        // Nonblocking is of the open file, so of all three.
        let _ = rustix::io::ioctl_fionbio(&master, true);
        let (Ok(input), Ok(resize)) =
            (rustix::io::fcntl_dupfd_cloexec(&master, 3), rustix::io::fcntl_dupfd_cloexec(&master, 3))
        else {
            return;
        };
        if let Some(waiting) = self.inputs.get_mut(&task.stdio.stdin) {
            waiting.lead_to(input, slot, true);
        }
        task.terminal = Some(resize);
        task.outputs[0] = Some(Output::new(master, task.stdio.stdout, 0));
    }

    fn start_failed(&mut self, slot: u32, error: message::Error) {
        let Some(task) = self.tasks.get_mut(&slot) else { return };
        if let Some(status) = task.status.take() {
            self.poll.remove(&status);
        }
        task.failed = true;
        if let Some(token) = task.reply.take() {
            let _ = self.channel.session.reply(token, reply::Result::Error(error));
        }
        self.settle(slot);
    }

    fn start_succeeded(&mut self, slot: u32) {
        let Some(task) = self.tasks.get_mut(&slot) else { return };
        if let Some(status) = task.status.take() {
            self.poll.remove(&status);
        }
        task.started_ns = now_ns();
        let pid = task.pid.as_raw_nonzero().get() as u32;
        let (token, container, first) = (task.reply.take(), task.container.clone(), task.exec.is_none());
        if first {
            self.emit(What::ContainerStarted(ContainerStarted { name: container, pid }));
        }
        if let Some(token) = token {
            self.answer(token, Ok(reply::Result::Started(Started { pid })));
        }
        self.pump_stdin(slot);
        self.pump_output(slot, 0);
        self.pump_output(slot, 1);
    }

    /// A process was reaped.
    pub(crate) fn ended(&mut self, slot: u32, code: u32, signal: u32) {
        // It may have told us something first.
        while self.tasks.get(&slot).is_some_and(|task| task.status.is_some()) {
            let before = self.tasks.get(&slot).map(|task| task.terminal.is_some());
            self.start_progressed(slot);
            if self.tasks.get(&slot).is_some_and(|t| t.status.is_some() && Some(t.terminal.is_some()) == before) {
                break;
            }
        }
        let Some(task) = self.tasks.get_mut(&slot) else { return };
        task.ended = Some((code, signal));
        task.finished_ns = now_ns();
        if task.exec.is_none() {
            // In a pid namespace of its own all is dead already; in a shared one it is not.
            let name = task.container.clone();
            if let Some(container) = self.containers.get(&name) {
                container.cgroup.kill();
            }
        }
        self.settle(slot);
    }

    /// Finishes a task when its process has ended and its output is all in the streams.
    pub(crate) fn settle(&mut self, slot: u32) {
        let Some(task) = self.tasks.get_mut(&slot) else { return };
        let Some((code, signal)) = task.ended else { return };
        if task.status.is_some() {
            return;
        }
        let session = &mut self.channel.session;
        let removing = task.exec.is_none() && self.removing.contains_key(&task.container);
        for output in &mut task.outputs {
            if let Some(open) = output {
                if removing {
                    // Nobody will read it.
                    open.discard();
                }
                if task.failed {
                    open.abandon(session, &self.poll);
                } else if open.pump(session, &self.poll, slot, true) == Flow::Open {
                    continue;
                }
                *output = None;
            }
        }
        if task.outputs.iter().any(Option::is_some) {
            return;
        }
        let Some(task) = self.tasks.remove(&slot) else { return };
        let (started_ns, finished_ns) = (task.started_ns, task.finished_ns);
        let exit = Exit { code, signal, started_ns, finished_ns, ..Exit::default() };
        match task.exec {
            Some(id) => {
                let reason = if task.failed { CloseReason::Failed } else { CloseReason::End };
                self.close_streams(&task.stdio, reason);
                if !task.failed {
                    self.emit(What::ExecExited(ExecExited { id, container: task.container, exit: Some(exit) }));
                }
            }
            None => self.container_ended(&task, exit),
        }
    }

    fn container_ended(&mut self, task: &Task, mut exit: Exit) {
        let name = &task.container;
        let Some(container) = self.containers.get_mut(name) else { return };
        exit.oom_killed = exit.signal == libc::SIGKILL as u32 && container.cgroup.oom_kills() > 0;
        let number = container.number;
        if !container.spec.termination_path.is_empty() {
            exit.termination = termination::read(name);
        }
        container.state = State::Exited(exit.clone());
        let reason = if task.failed { CloseReason::Failed } else { CloseReason::End };
        self.close_streams(&task.stdio, reason);
        self.report_oom(number);
        if !task.failed {
            self.emit(What::ContainerExited(ContainerExited { name: name.clone(), exit: Some(exit) }));
        }
        if let Some(token) = self.removing.remove(name) {
            self.forget_container(name);
            self.answer(token, Ok(reply::Result::Done(Done {})));
        }
    }
}

/// The first process of a shared pid namespace: every orphan in it becomes its child.
fn collect_orphans() -> ! {
    // All containers of the pod hang on it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
    // Nothing of PID 1's may stay open here: not the channel, not the pipes.
    let _ = sys::close_from(0);
    loop {
        while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        sys::wait_for_child();
    }
}
