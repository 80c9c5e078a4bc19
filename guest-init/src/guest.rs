//! PID 1's state and its event loop. One thread; nothing in it blocks but the wait.
//!
//! Requests that depend on one another are carried out in the order they came: one that waits for a disk holds up those
//! behind it, not the questions (Ping, Inspect, GetStats) and not Shutdown.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};
use rustix::process::{Pid, WaitOptions};
use xenpod_protocol::message::event::What;
use xenpod_protocol::message::{Done, Hello, Log, OutOfMemory, reply, request};
use xenpod_protocol::{Incoming, RequestToken};

use crate::channel::{Channel, ChannelError};
use crate::container::Container;
use crate::container::cgroup::Cgroup;
use crate::disks::{Disks, Halt};
use crate::error::Error;
use crate::forwards::Forward;
use crate::poll::{Poll, Source};
use crate::shutdown::Stopping;
use crate::sys::SignalFd;
use crate::tasks::{Input, Task};
use crate::volumes::Volumes;

/// How long a disk or network interface may take to come.
const DEVICE_SECONDS: u64 = 10;
/// How soon something that was busy is tried again.
const RETRY_MS: u64 = 10;

/// Why PID 1 cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Fatal {
    /// No channel.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The kernel refused something without which nothing works.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Everything.
pub struct Guest {
    pub(crate) poll: Poll,
    pub(crate) signals: SignalFd,
    pub(crate) channel: Channel,
    devices: OwnedFd,
    /// Our own, to come back to.
    pub(crate) pid_namespace: OwnedFd,
    pub(crate) configured: bool,
    /// The process that keeps the pod's pid namespace, when containers share one.
    pub(crate) shared: Option<(Pid, OwnedFd)>,
    pub(crate) disks: Disks,
    pub(crate) volumes: Volumes,
    pub(crate) containers: BTreeMap<String, Container>,
    pub(crate) tasks: BTreeMap<u32, Task>,
    /// By slot, as tasks.
    pub(crate) forwards: BTreeMap<u32, Forward>,
    /// By stream.
    pub(crate) inputs: BTreeMap<u32, Input>,
    /// Slots and container numbers given so far.
    pub(crate) last_number: u32,
    pub(crate) backlog: VecDeque<(RequestToken, request::Op, Option<Instant>)>,
    /// Containers to be removed when their last process has gone, and who asked.
    pub(crate) removing: BTreeMap<String, RequestToken>,
    /// Cgroups in which something is still dying.
    pub(crate) dying: Vec<Cgroup>,
    pub(crate) stopping: Option<Stopping>,
}

impl Guest {
    /// Offers the channel; the rest of the boot goes on while the daemon connects.
    pub fn new() -> Result<Self, Fatal> {
        let fatal = |what: &'static str, object: &'static str| Error::system(what, object);
        let signals = SignalFd::new(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGPWR, libc::SIGUSR1])
            .map_err(fatal("block", "signals"))?;
        let hello = Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            uptime_ns: uptime_ns(),
            ..Hello::default()
        };
        let channel = Channel::offer(hello)?;
        crate::boot::root()?;
        let pid_namespace = std::fs::File::open("/proc/self/ns/pid").map_err(Error::io("open", "/proc/self/ns/pid"))?;
        let poll = Poll::new().map_err(fatal("make", "an epoll"))?;
        let devices = device_events().map_err(fatal("listen to", "device events"))?;
        poll.add_read(&signals, Source::Signals).map_err(fatal("wait for", "signals"))?;
        poll.add_read(channel.fd(), Source::Channel).map_err(fatal("wait for", "the channel"))?;
        poll.add_read(&devices, Source::Devices).map_err(fatal("wait for", "devices"))?;
        Ok(Self {
            poll,
            signals,
            channel,
            devices,
            pid_namespace: pid_namespace.into(),
            configured: false,
            shared: None,
            disks: Disks::default(),
            volumes: Volumes::default(),
            containers: BTreeMap::new(),
            tasks: BTreeMap::new(),
            forwards: BTreeMap::new(),
            inputs: BTreeMap::new(),
            last_number: 0,
            backlog: VecDeque::new(),
            removing: BTreeMap::new(),
            dying: Vec::new(),
            stopping: None,
        })
    }

    /// Until the domain is powered off.
    pub fn run(&mut self) -> Result<std::convert::Infallible, Fatal> {
        loop {
            let ready = self.poll.wait(self.timeout()).map_err(Error::system("wait for", "events"))?;
            for source in ready {
                self.serve(source)?;
            }
            self.serve_channel();
            self.bury();
            self.work_off_backlog();
            self.continue_shutdown();
            self.channel.flush();
        }
    }

    fn serve(&mut self, source: Source) -> Result<(), Fatal> {
        match source {
            Source::Signals => self.take_signals(),
            Source::Channel => {
                if self.channel.wake()? {
                    let configured = self.configured;
                    let hello = self.channel.session.hello_mut();
                    hello.configured = configured;
                    hello.uptime_ns = uptime_ns();
                    // Who asked is gone. What was begun is done all the same, but nobody holds the connections.
                    self.drop_forwards();
                }
            }
            Source::Devices => {
                let mut buffer = [0; 2048];
                // Whoever waits for a device looks again, whatever it was. Only new processors need something done.
                while let Ok((length, _)) = rustix::net::recv(&self.devices, &mut buffer[..], RecvFlags::DONTWAIT) {
                    if let Some(path) = new_processor(&buffer[..length]) {
                        let online = format!("/sys{path}/online");
                        if let Err(error) = std::fs::write(&online, "1") {
                            self.warn(format!("cannot bring up {path}: {error}"));
                        }
                    }
                }
            }
            Source::Memory(number) => self.report_oom(number),
            Source::Status(slot) => self.start_progressed(slot),
            Source::Stdin(slot) => self.pump_stdin(slot),
            Source::Output(slot, number) => self.pump_output(slot, number),
            Source::Connection(slot) => self.connection_progressed(slot),
        }
        Ok(())
    }

    fn serve_channel(&mut self) {
        while let Some(incoming) = self.channel.next() {
            match incoming {
                Incoming::Request { token, op: Some(op) } => self.request(token, op),
                Incoming::Request { token, op: None } => self.answer(token, Err(Error::Unsupported("the request"))),
                Incoming::Data { stream, bytes, .. } => self.stdin_came(stream, &bytes),
                Incoming::Ended { stream, .. } => self.stdin_ended(stream),
                Incoming::Writable { stream } => self.output_has_room(stream),
                Incoming::Stopped { stream } => self.output_unwanted(stream),
                Incoming::Connected { .. }
                | Incoming::Finished { .. }
                | Incoming::Reply { .. }
                | Incoming::Event(_) => {}
            }
        }
        self.channel.flush();
    }

    /// Answers a request.
    pub(crate) fn answer(&mut self, token: RequestToken, result: Result<reply::Result, Error>) {
        let result = result.unwrap_or_else(|error| reply::Result::Error(error.to_wire()));
        if let Err(error) = self.channel.session.reply(token, result) {
            let why = Error::System {
                what: "send",
                object: format!("the reply: {error}"),
                errno: rustix::io::Errno::MSGSIZE,
            };
            let _ = self.channel.session.reply(token, reply::Result::Error(why.to_wire()));
        }
    }

    /// Tells the daemon of something.
    pub(crate) fn emit(&mut self, what: What) {
        // Only log lines are ever refused.
        let _ = self.channel.session.emit(now_ns(), what);
    }

    /// Tells an operator of something that went wrong beside any request.
    pub(crate) fn warn(&mut self, text: String) {
        eprintln!("guest-init: {text}");
        self.emit(What::Log(Log { level: 4, text }));
    }

    fn request(&mut self, token: RequestToken, op: request::Op) {
        match op {
            request::Op::Ping(_) => self.answer(token, Ok(reply::Result::Done(Done {}))),
            request::Op::Inspect(_) => {
                let inspection = self.inspect();
                self.answer(token, Ok(reply::Result::Inspection(inspection)));
            }
            request::Op::GetStats(_) => {
                let stats = self.stats();
                self.answer(token, Ok(reply::Result::Stats(stats)));
            }
            request::Op::Shutdown(shutdown) => {
                self.answer(token, Ok(reply::Result::Done(Done {})));
                self.shut_down("daemon", Duration::from_millis(shutdown.grace_ms), false);
            }
            op => {
                self.backlog.push_back((token, op, None));
                self.work_off_backlog();
            }
        }
    }

    /// Carries out what can be carried out, in order.
    pub(crate) fn work_off_backlog(&mut self) {
        while let Some((token, op, since)) = self.backlog.pop_front() {
            match self.carry_out(token, &op) {
                Ok(Some(result)) => self.answer(token, Ok(result)),
                Ok(None) => {}
                Err(Halt::Failed(error)) => self.answer(token, Err(error)),
                Err(Halt::Wait { what, name }) => {
                    let since = since.unwrap_or_else(Instant::now);
                    if since.elapsed() < Duration::from_secs(DEVICE_SECONDS) {
                        self.backlog.push_front((token, op, Some(since)));
                        return;
                    }
                    self.answer(token, Err(Error::Absent { what, name, seconds: DEVICE_SECONDS }));
                }
            }
        }
    }

    /// Milliseconds until something has to be looked at although nothing happened.
    fn timeout(&self) -> Option<u64> {
        let mut until: Option<u64> = None;
        let mut sooner = |ms: u64| until = Some(until.map_or(ms, |now: u64| now.min(ms)));
        if let Some((_, _, Some(since))) = self.backlog.front() {
            let rest = Duration::from_secs(DEVICE_SECONDS).saturating_sub(since.elapsed());
            sooner(rest.as_millis() as u64 + 1);
        }
        if !self.dying.is_empty() {
            sooner(RETRY_MS);
        }
        if let Some(ms) = self.shutdown_timeout() {
            sooner(ms);
        }
        until
    }

    /// Removes cgroups whose last process has gone.
    fn bury(&mut self) {
        for cgroup in std::mem::take(&mut self.dying) {
            match cgroup.remove() {
                Ok(true) => {}
                Ok(false) => self.dying.push(cgroup),
                Err(error) => self.warn(error.to_string()),
            }
        }
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.take() {
            match signal {
                libc::SIGCHLD => self.reap(),
                libc::SIGINT => self.shut_down("ctrl-alt-del", crate::shutdown::XEN_GRACE, true),
                libc::SIGUSR1 => self.shut_down("xen", crate::shutdown::XEN_GRACE, true),
                _ => self.shut_down("xen", crate::shutdown::XEN_GRACE, false),
            }
        }
    }

    /// Collects every child that has ended: ours, and orphans that became ours.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let code = status.exit_status().unwrap_or(0) as u32;
            let signal = status.terminating_signal().unwrap_or(0) as u32;
            if let Some(slot) = self.tasks.iter().find(|(_, task)| task.pid == pid).map(|(slot, _)| *slot) {
                self.ended(slot, code, signal);
            } else if self.shared.as_ref().is_some_and(|(shared, _)| *shared == pid) {
                self.shared = None;
                if self.stopping.is_none() {
                    self.warn("the holder of the pod's process namespace ended; its containers with it".into());
                }
            }
        }
    }

    /// Looks whether something was killed for memory.
    pub(crate) fn report_oom(&mut self, number: u32) {
        let Some(container) = self.containers.values_mut().find(|c| c.number == number) else { return };
        let kills = container.cgroup.oom_kills();
        if kills > container.oom_kills {
            container.oom_kills = kills;
            let container = container.spec.name.clone();
            self.emit(What::OutOfMemory(OutOfMemory { container }));
        }
    }
}

/// Hears of devices that come and go (lib/kobject_uevent.c: group 1 is the kernel's own voice).
fn device_events() -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::KOBJECT_UEVENT))?;
    rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 1))?;
    Ok(fd)
}

/// The path below /sys of a processor that was added: `add@/devices/system/cpu/cpu1`, then variables.
fn new_processor(event: &[u8]) -> Option<String> {
    let head = event.split(|byte| *byte == 0).next()?;
    let path = std::str::from_utf8(head).ok()?.strip_prefix("add@")?;
    let number = path.strip_prefix("/devices/system/cpu/cpu")?;
    (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then(|| path.to_owned())
}

/// CLOCK_REALTIME in nanoseconds.
pub fn now_ns() -> u64 {
    clock(rustix::time::ClockId::Realtime)
}

fn uptime_ns() -> u64 {
    clock(rustix::time::ClockId::Boottime)
}

fn clock(id: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(id);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64)
}

#[cfg(test)]
mod tests {
    use super::new_processor;

    #[test]
    fn only_processors_are_brought_up() {
        let path = new_processor(b"add@/devices/system/cpu/cpu12\0ACTION=add\0SUBSYSTEM=cpu\0");
        assert_eq!(path.as_deref(), Some("/devices/system/cpu/cpu12"));
        for event in [
            &b"remove@/devices/system/cpu/cpu1\0"[..],
            b"add@/devices/system/cpu/cpu\0",
            b"add@/devices/system/cpu/cpu1/cache\0",
            b"add@/devices/vbd-51712/block/xvda\0",
            b"",
        ] {
            assert_eq!(new_processor(event), None);
        }
    }
}
