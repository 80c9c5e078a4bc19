//! What each request does.

use xenpod_protocol::message::{
    CreateContainer, Done, Exec, Inspection, ResizeTty, Stats, Stdio, UpdateResources, reply, request, resize_tty,
};
use xenpod_protocol::{CloseReason, RequestToken};

use crate::container::cgroup::{Cgroup, pod_working_set};
use crate::container::rootfs::RootFs;
use crate::container::{Container, State, child, termination};
use crate::disks::Halt;
use crate::error::Error;
use crate::guest::Guest;
use crate::poll::Source;
use crate::tasks::Input;
use crate::volumes::check_name;
use crate::{configure, sys};

type Outcome = Result<Option<reply::Result>, Halt>;

const DONE: Outcome = Ok(Some(reply::Result::Done(Done {})));

/// The highest signal number (`SIGRTMAX` of <asm-generic/signal.h>).
const SIGNAL_MAX: u32 = 64;

impl Guest {
    /// Carries a request out. `None` when it will be answered later.
    pub(crate) fn carry_out(&mut self, token: RequestToken, op: &request::Op) -> Outcome {
        use request::Op;
        if let Op::Configure(wanted) = op {
            if self.configured {
                return Err(bad_state("pod", "", "configured already"));
            }
            configure::apply(wanted)?;
            if wanted.share_process_namespace {
                self.hold_namespace()?;
            }
            self.configured = true;
            self.channel.session.hello_mut().configured = true;
            return DONE;
        }
        if !self.configured {
            return Err(bad_state("pod", "", "not configured yet"));
        }
        match op {
            Op::CreateVolume(wanted) => self.volumes.create(wanted, &mut self.disks)?,
            Op::WriteFiles(wanted) => self.volumes.write_files(&wanted.volume, &wanted.files)?,
            Op::RemoveVolume(wanted) => {
                if self.containers.values().any(|c| c.uses_volume(&wanted.name)) {
                    return Err(bad_state("volume", &wanted.name, "used by a container"));
                }
                self.volumes.remove(&wanted.name, &mut self.disks)?;
            }
            Op::CreateContainer(wanted) => self.create_container(wanted)?,
            Op::StartContainer(wanted) => {
                self.must_go_on("container", &wanted.name)?;
                self.start_container(&wanted.name, token)?;
                return Ok(None);
            }
            Op::SignalContainer(wanted) => self.signal_container(&wanted.name, wanted.signal, wanted.all)?,
            Op::RemoveContainer(wanted) => return self.remove_container(&wanted.name, token),
            Op::Exec(wanted) => {
                self.exec(wanted, token)?;
                return Ok(None);
            }
            Op::Connect(wanted) => {
                self.connect(wanted, token)?;
                return Ok(None);
            }
            Op::SignalExec(wanted) => self.signal_exec(&wanted.id, wanted.signal)?,
            Op::ResizeTty(wanted) => self.resize(wanted)?,
            Op::UpdateResources(wanted) => self.update_resources(wanted)?,
            _ => return Err(Error::Unsupported("the request").into()),
        }
        DONE
    }

    fn must_go_on(&self, what: &'static str, name: &str) -> Result<(), Halt> {
        if self.stopping.is_some() {
            return Err(bad_state(what, name, "not to be started: the pod is shutting down"));
        }
        if self.channel.session.events_full() {
            return Err(bad_state(what, name, "not to be started: too many events are not acknowledged"));
        }
        Ok(())
    }

    fn create_container(&mut self, wanted: &CreateContainer) -> Result<(), Halt> {
        let name = &wanted.name;
        check_name("container", name)?;
        if self.containers.contains_key(name) {
            return Err(Error::Exists { what: "container", name: name.clone() }.into());
        }
        self.must_go_on("container", name)?;
        let invalid = |what, value: &str, why| Err(Error::Invalid { what, value: value.into(), why }.into());
        let (Some(process), Some(rootfs)) = (&wanted.process, &wanted.rootfs) else {
            return invalid("container", name, "it needs a process and a root file system");
        };
        if process.argv.is_empty() {
            return invalid("container", name, "it has no command");
        }
        if let Some(mount) = wanted.mounts.iter().find(|m| !m.target.starts_with('/')) {
            return invalid("mount target", &mount.target, "not an absolute path");
        }
        if !wanted.termination_path.is_empty() {
            if !wanted.termination_path.starts_with('/') {
                return invalid("termination path", &wanted.termination_path, "not an absolute path");
            }
            termination::prepare(name)?;
        }
        let stdio = wanted.stdio.unwrap_or_default();
        check_stdio(&stdio, process.tty.is_some())?;
        let mut rootfs = RootFs::new(name, rootfs, wanted.privileged, &mut self.disks)?;
        let made = Cgroup::new(name, &wanted.resources.unwrap_or_default())
            .and_then(|cgroup| self.open_streams(&stdio).map(|()| cgroup));
        let cgroup = match made {
            Ok(cgroup) => cgroup,
            Err(error) => {
                rootfs.take_down(&mut self.disks);
                return Err(error.into());
            }
        };
        self.last_number += 1;
        let number = self.last_number;
        let oom_kills = cgroup.oom_kills();
        if let Err(errno) = self.poll.add_priority(cgroup.events(), Source::Memory(number)) {
            self.warn(format!("out-of-memory kills in container {name} are reported late: {errno}"));
        }
        let container = Container { spec: wanted.clone(), rootfs, cgroup, state: State::Created, oom_kills, number };
        self.containers.insert(name.clone(), container);
        Ok(())
    }

    /// Opens all of them or none.
    pub(crate) fn open_streams(&mut self, stdio: &Stdio) -> Result<(), Error> {
        let session = &mut self.channel.session;
        let refused = |error: xenpod_protocol::SessionError| Error::System {
            what: "open",
            object: format!("a stream ({error})"),
            errno: rustix::io::Errno::EXIST,
        };
        let mut opened = Vec::new();
        for stream in [stdio.stdout, stdio.stderr].into_iter().filter(|id| *id != 0) {
            if let Err(error) = session.open_send(stream) {
                opened.into_iter().for_each(|id| session.drop_send(id));
                return Err(refused(error));
            }
            opened.push(stream);
        }
        if stdio.stdin != 0 {
            if let Err(error) = session.open_recv(stdio.stdin, 0) {
                opened.into_iter().for_each(|id| session.drop_send(id));
                return Err(refused(error));
            }
            self.inputs.insert(stdio.stdin, Input::new(stdio.stdin));
        }
        Ok(())
    }

    /// Ends streams that nobody will use. The daemon is told.
    pub(crate) fn close_streams(&mut self, stdio: &Stdio, reason: CloseReason) {
        let session = &mut self.channel.session;
        for stream in [stdio.stdout, stdio.stderr].into_iter().filter(|id| *id != 0) {
            // Over already is fine.
            let _ = session.close(stream, reason);
        }
        self.close_input(stdio.stdin);
    }

    pub(crate) fn container(&self, name: &str) -> Result<&Container, Error> {
        self.containers.get(name).ok_or_else(|| Error::NoSuch { what: "container", name: name.into() })
    }

    fn signal_container(&mut self, name: &str, signal: u32, all: bool) -> Result<(), Error> {
        check_signal(signal)?;
        let container = self.container(name)?;
        let State::Running { slot, .. } = container.state else {
            let state = container.state_text();
            return Err(Error::BadState { what: "container", name: name.into(), state });
        };
        if all && signal == libc::SIGKILL as u32 {
            container.cgroup.kill();
            return Ok(());
        }
        if all {
            for pid in container.cgroup.processes().into_iter().filter_map(rustix::process::Pid::from_raw) {
                // It may have ended just now.
                let _ = sys::kill(pid, signal);
            }
            return Ok(());
        }
        self.signal_task(slot, signal)
    }

    fn signal_exec(&mut self, id: &str, signal: u32) -> Result<(), Error> {
        check_signal(signal)?;
        let slot = self.exec_slot(id)?;
        self.signal_task(slot, signal)
    }

    fn signal_task(&self, slot: u32, signal: u32) -> Result<(), Error> {
        match self.tasks.get(&slot) {
            // Not reaped yet, so the number is still its own.
            Some(task) if task.ended.is_none() => {
                sys::kill(task.pid, signal).map_err(Error::system("signal", format!("container {}", task.container)))
            }
            _ => Ok(()),
        }
    }

    fn exec_slot(&self, id: &str) -> Result<u32, Error> {
        let found = self.tasks.iter().find(|(_, task)| task.exec.as_deref() == Some(id));
        found.map(|(slot, _)| *slot).ok_or_else(|| Error::NoSuch { what: "exec", name: id.into() })
    }

    fn exec(&mut self, wanted: &Exec, token: RequestToken) -> Result<(), Halt> {
        check_name("exec", &wanted.id)?;
        if self.exec_slot(&wanted.id).is_ok() {
            return Err(Error::Exists { what: "exec", name: wanted.id.clone() }.into());
        }
        self.must_go_on("exec", &wanted.id)?;
        let container = self.container(&wanted.container)?;
        let State::Running { .. } = container.state else {
            return Err(bad_state("container", &wanted.container, container.state_text()));
        };
        let process = wanted.process.clone().unwrap_or_default();
        if process.argv.is_empty() {
            let value = wanted.id.clone();
            return Err(Error::Invalid { what: "exec", value, why: "it has no command" }.into());
        }
        let stdio = wanted.stdio.unwrap_or_default();
        check_stdio(&stdio, process.tty.is_some())?;
        self.open_streams(&stdio)?;
        if let Err(error) = self.start_exec(wanted, token) {
            self.close_streams(&stdio, CloseReason::Failed);
            return Err(error.into());
        }
        Ok(())
    }

    fn remove_container(&mut self, name: &str, token: RequestToken) -> Outcome {
        let container = self.container(name)?;
        if self.removing.contains_key(name) {
            return Err(bad_state("container", name, "being removed already"));
        }
        if let State::Running { slot, .. } = container.state {
            container.cgroup.kill();
            self.removing.insert(name.into(), token);
            self.settle(slot);
            return Ok(None);
        }
        self.forget_container(name);
        DONE
    }

    /// Takes a container's mounts, cgroup and streams back. Nothing of it runs any more.
    pub(crate) fn forget_container(&mut self, name: &str) {
        let Some(mut container) = self.containers.remove(name) else { return };
        self.poll.remove(container.cgroup.events());
        let stdio = container.spec.stdio.unwrap_or_default();
        for stream in [stdio.stdout, stdio.stderr].into_iter().filter(|id| *id != 0) {
            self.channel.session.drop_send(stream);
        }
        self.close_input(stdio.stdin);
        termination::forget(name);
        container.cgroup.kill();
        self.dying.push(container.cgroup);
        if let Some(doomed) = container.rootfs.take_down(&mut self.disks)
            && let Err(error) = self.delete_later(doomed)
        {
            self.warn(error.to_string());
        }
    }

    fn resize(&mut self, wanted: &ResizeTty) -> Result<(), Error> {
        let size = wanted.size.unwrap_or_default();
        let slot = match &wanted.of {
            Some(resize_tty::Of::Container(name)) => match self.container(name)?.state {
                State::Running { slot, .. } => slot,
                _ => {
                    let state = self.container(name)?.state_text();
                    return Err(Error::BadState { what: "container", name: name.clone(), state });
                }
            },
            Some(resize_tty::Of::Exec(id)) => self.exec_slot(id)?,
            None => return Err(Error::Unsupported("what to resize")),
        };
        let terminal = self.tasks.get(&slot).and_then(|task| task.terminal.as_ref());
        let terminal =
            terminal.ok_or_else(|| Error::NoSuch { what: "terminal of", name: format!("{:?}", wanted.of) })?;
        rustix::termios::tcsetwinsize(terminal, child::window(&size)).map_err(Error::system("resize", "a terminal"))
    }

    fn update_resources(&mut self, wanted: &UpdateResources) -> Result<(), Error> {
        let cgroup = &self.container(&wanted.container)?.cgroup;
        cgroup.limit(&wanted.container, &wanted.resources.unwrap_or_default())
    }

    pub(crate) fn inspect(&self) -> Inspection {
        let execs = self.tasks.values().filter_map(|task| {
            Some(xenpod_protocol::message::ExecState {
                id: task.exec.clone()?,
                container: task.container.clone(),
                pid: task.pid.as_raw_nonzero().get() as u32,
                stdio: Some(task.stdio),
            })
        });
        let containers = self.containers.values().map(|container| {
            let mut state = container.describe();
            // A standard input that is closed is none.
            if let Some(stdio) = &mut state.stdio
                && !self.inputs.contains_key(&stdio.stdin)
            {
                stdio.stdin = 0;
            }
            state
        });
        Inspection { containers: containers.collect(), execs: execs.collect(), volumes: self.volumes.names() }
    }

    pub(crate) fn stats(&self) -> Stats {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let field = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        Stats {
            containers: self.containers.values().map(|c| c.cgroup.stats(&c.spec.name)).collect(),
            memory_total: field("MemTotal:"),
            memory_available: field("MemAvailable:"),
            memory_working_set: pod_working_set(),
        }
    }
}

fn bad_state(what: &'static str, name: &str, state: &'static str) -> Halt {
    Halt::Failed(Error::BadState { what, name: name.into(), state })
}

fn check_signal(signal: u32) -> Result<(), Error> {
    if signal == 0 || signal > SIGNAL_MAX {
        return Err(Error::Invalid { what: "signal", value: signal.to_string(), why: "not 1 to 64" });
    }
    Ok(())
}

fn check_stdio(stdio: &Stdio, tty: bool) -> Result<(), Error> {
    let invalid = |why| Err(Error::Invalid { what: "streams", value: format!("{stdio:?}"), why });
    if tty && stdio.stderr != 0 {
        return invalid("a terminal has one output");
    }
    if tty && stdio.stdout == 0 {
        return invalid("a terminal needs an output");
    }
    if stdio.stdout != 0 && stdio.stdout == stdio.stderr {
        return invalid("output and error must be two streams");
    }
    Ok(())
}
