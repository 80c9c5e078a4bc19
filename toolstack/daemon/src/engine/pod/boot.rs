//! From a paused domain to running containers, and back to them after a restart of the daemon.

use std::sync::{Arc, Mutex};

use xenpod_api::spec::Role;
use xenpod_api::state::{ContainerState, PodState};
use xenpod_protocol::message::{self, RunState, reply, request::Op};

use super::super::contents::Contents;
use super::super::failure::Failure;
use super::super::jobs::Cancel;
use super::super::watcher::Sight;
use super::super::{process, volumes};
use super::{Pod, lock};
use crate::clock;
use crate::guest::{Answer, FromGuest, Guest, GuestError, LogSink, Output};
use crate::journal::{ContainerRecord, Intent};
use crate::logs::{Follow, LogWriter, Since, Stream, journald};

/// Bytes of entropy for a guest: it may have no source of its own.
const SEED: usize = 64;

impl Pod {
    /// Boots the built domain and starts its containers. If that fails, everything is given back and the pod has failed.
    pub(super) async fn boot(&mut self, cancel: &Cancel) -> Result<(), Failure> {
        let booted = self.boot_steps(cancel).await;
        // The guest has it now, or will have it from another start.
        self.contents = Contents::default();
        match booted {
            Ok(()) if self.in_sequence() => {
                self.save_or_log().await;
                self.describe();
                self.publish();
                Ok(())
            }
            Ok(()) => {
                for index in self.begins_with_the_pod() {
                    self.attend(index);
                }
                self.enter(PodState::Running, "", "");
                self.save_or_log().await;
                self.describe();
                Ok(())
            }
            Err(failure) => Err(self.give_up(failure).await),
        }
    }

    async fn boot_steps(&mut self, cancel: &Cancel) -> Result<(), Failure> {
        self.record.intent = Intent::Run;
        self.record.last_event = 0;
        self.record.next_stream = 1;
        self.enter(PodState::Starting, "", "");
        self.fresh_logs()?;
        self.reserve_streams();
        let requests = self.requests()?;
        let Some(domid) = self.domid else { return Err(self.domain_ended("was gone before it ran")) };

        // The record says that it runs before anything of the tenant does; meanwhile the kernel boots, and the interface
        // is pinned and joined before its link comes up.
        let (world, id, within) = (self.world.clone(), self.record.id, self.world.settings.boot_timeout);
        let transport = {
            let domains = &world.domains;
            let run = async {
                domains.unpause(id, domid).await.map_err(|e| self.domain_failure(e))?;
                domains.connect(id, domid, within).await.map_err(|e| self.domain_failure(e))
            };
            let network = self.join_network();
            let mut record = self.record.clone();
            record.domid = Some(domid);
            record.next_stream = self.streams_reserved;
            let save = async { super::super::save(&world, record).await.map_err(Failure::from) };
            let all = async { tokio::try_join!(run, network, save) };
            self.while_alive(cancel, all).await??.0
        };
        self.phase("channel");
        let (guest, mut events) = Guest::start(transport, 0, Vec::new(), Vec::new());
        let hello = async {
            loop {
                match events.recv().await {
                    Some(FromGuest::Up { hello }) => return Ok(hello),
                    Some(FromGuest::Event(_)) => {}
                    Some(FromGuest::Lost { why }) => return Err(GuestError::Lost(why)),
                    None => return Err(GuestError::Lost("it is closed".into())),
                }
            }
        };
        let hello = self.while_alive(cancel, tokio::time::timeout(within, hello)).await?;
        let hello = hello.unwrap_or(Err(GuestError::Timeout { what: "Hello", after: within }));
        let hello = hello.map_err(|source| self.guest_failure(None, source))?;
        self.phase("hello");
        tracing::debug!(pod_id = %id, version = hello.version, kernel = hello.kernel, "guest is up");

        // All requests at once: the guest handles them in order, and answers each.
        let answers: Vec<_> =
            requests.into_iter().map(|r| (r.container, r.starts, guest.send_with(r.what, r.op, r.outputs))).collect();
        self.shared.guest_is(&guest);
        self.guest = Some(guest);
        self.guest_events = Some(events);
        for (container, starts, answer) in answers {
            self.answered(cancel, container, starts, answer).await?;
        }
        if !self.in_sequence() {
            self.phase("containers");
        }
        Ok(())
    }

    async fn answered(
        &mut self,
        cancel: &Cancel,
        container: Option<usize>,
        starts: bool,
        answer: Answer,
    ) -> Result<(), Failure> {
        let within = self.world.settings.answer_timeout;
        let result = self.while_alive(cancel, answer.within(within)).await?;
        match (result, container) {
            (Ok(reply::Result::Started(started)), Some(index)) if starts => {
                let container = &mut self.record.containers[index];
                container.state = ContainerState::Running;
                container.pid = started.pid;
                container.started_usec = clock::now_usec();
                Ok(())
            }
            (Ok(_), _) => Ok(()),
            (Err(source), index) => {
                let name = index.map(|i| self.record.containers[i].name.clone());
                Err(self.guest_failure(name, source))
            }
        }
    }

    /// Runs `work`, unless the domain ends first or it is cancelled.
    async fn while_alive<T>(&self, cancel: &Cancel, work: impl Future<Output = T>) -> Result<T, Failure> {
        let mut sight = self.sight.clone();
        let ended = async {
            loop {
                let how = match &*sight.borrow_and_update() {
                    Sight::Present(domain) => match domain.shutdown {
                        Some(reason) => Some(super::events::how_it_ended(reason).1),
                        None if domain.dying => Some("was destroyed from outside"),
                        None => None,
                    },
                    Sight::Absent => Some("was destroyed from outside"),
                    Sight::Unseen => None,
                };
                if let Some(how) = how {
                    return how;
                }
                if sight.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Failure::Cancelled(format!("pod {}", self.name()))),
            done = work => Ok(done),
            how = ended => Err(self.domain_ended(how)),
        }
    }

    fn domain_ended(&self, how: &str) -> Failure {
        Failure::DomainEnded { pod: self.name(), how: how.into() }
    }

    pub(super) fn guest_failure(&self, container: Option<String>, source: GuestError) -> Failure {
        Failure::Guest { pod: self.name(), container, source }
    }

    /// What the guest is asked at boot, in order.
    fn requests(&self) -> Result<Vec<Request>, Failure> {
        let spec = &self.record.spec;
        let mut seed = vec![0; SEED];
        let mut filled = 0;
        while filled < SEED {
            filled += rustix::rand::getrandom(&mut seed[filled..], rustix::rand::GetRandomFlags::empty())
                .map_err(|e| Failure::Limit(format!("no random numbers: {e}")))?;
        }
        let lease = self.record.lease.as_ref();
        let net = lease.map(|l| self.world.net.settings(l)).unwrap_or_default();
        let configure = process::configure(spec, lease, &net, seed, clock::now_ns());
        let plain = |what, op| Request { container: None, starts: false, what, op, outputs: Vec::new() };
        let mut all = vec![plain("Configure", Op::Configure(configure))];
        let images = self.different_images().len();
        let scratch = self.scratch_bytes().map(|_| images);
        let next = images + usize::from(scratch.is_some());
        let volumes = volumes::requests(spec, &self.contents, scratch, next);
        all.extend(volumes.into_iter().map(|op| plain("to make a volume", op)));
        for index in self.begins_with_the_pod() {
            all.extend(self.container_requests(index));
        }
        Ok(all)
    }

    /// The containers that are started with the guest, all at once.
    fn begins_with_the_pod(&self) -> Vec<usize> {
        if self.in_sequence() {
            return Vec::new();
        }
        let containers = self.record.spec.containers.iter().enumerate();
        containers.filter(|(_, c)| c.role != Role::Added).map(|(index, _)| index).collect()
    }

    /// What the guest is asked to make a container and start it.
    pub(super) fn container_requests(&self, index: usize) -> [Request; 2] {
        let spec = &self.record.spec;
        let image = &self.images[index];
        let container = &spec.containers[index];
        let streams = &self.record.containers[index];
        let [stdout, stderr] = streams.streams;
        let stdio = message::Stdio { stdin: streams.stdin, stdout, stderr };
        let mut create = process::create(spec, container, image, self.disks_for(image), stdio);
        let key = self.record.containers[index].key().to_owned();
        process::rename(&mut create, &key);
        let start = Op::StartContainer(message::StartContainer { name: key });
        let outputs = self.sinks(index).into_iter().map(Output::Log).collect();
        [
            Request {
                container: Some(index),
                starts: false,
                what: "to make a container",
                op: Op::CreateContainer(create),
                outputs,
            },
            Request {
                container: Some(index),
                starts: true,
                what: "to start a container",
                op: start,
                outputs: Vec::new(),
            },
        ]
    }

    /// Begins every container's log anew, with new streams.
    fn fresh_logs(&mut self) -> Result<(), Failure> {
        self.begins_with_the_pod().into_iter().try_for_each(|index| self.fresh_log(index))
    }

    /// Begins a container's log anew, with new streams.
    pub(super) fn fresh_log(&mut self, index: usize) -> Result<(), Failure> {
        let name = self.record.containers[index].name.clone();
        let failure = |source| Failure::Log { pod: self.record.spec.name.clone(), source };
        match self.logs.get(&name) {
            Some(log) => lock(log).restart().map_err(failure)?,
            None => self.open_log(&name)?,
        }
        let spec = &self.record.spec.containers[index];
        let mut take = |wanted: bool| {
            let id = self.record.next_stream;
            self.record.next_stream += u32::from(wanted);
            if wanted { id } else { 0 }
        };
        let container = &mut self.record.containers[index];
        container.streams = [take(true), take(!spec.tty)];
        container.stdin = take(spec.stdin);
        self.forward_log(&name, Since::Start);
        Ok(())
    }

    /// Has a container's output of this run sent to the journal as well, if that is wanted.
    fn forward_log(&self, name: &str, since: Since) {
        let settings = &self.world.settings;
        let Some(log) = self.logs.get(name).filter(|_| self.record.spec.log_journald.unwrap_or(settings.log_journald))
        else {
            return;
        };
        let hub = lock(log).hub();
        match Follow::new(&hub, since, true, false) {
            Ok(follow) => {
                let source = journald::Source {
                    pod_id: self.record.id.to_string(),
                    pod: self.record.spec.name.clone(),
                    container: name.to_owned(),
                };
                journald::forward(follow.one_run(), settings.journal_socket.clone(), source);
            }
            Err(error) => tracing::warn!(
                pod_id = %self.record.id, container = name, %error,
                "output of container {name} does not go to the journal: {error}"
            ),
        }
    }

    fn sinks(&self, index: usize) -> Vec<LogSink> {
        let container = &self.record.containers[index];
        let Some(log) = self.logs.get(&container.name) else { return Vec::new() };
        let pairs = container.streams.into_iter().zip([Stream::Stdout, Stream::Stderr]);
        pairs
            .filter(|(id, _)| *id != 0)
            .map(|(id, which)| LogSink { id, container: container.key().into(), which, log: log.clone() })
            .collect()
    }

    fn open_log(&mut self, name: &str) -> Result<(), Failure> {
        let key = self.record.containers.iter().find(|c| c.name == name).map_or(name, ContainerRecord::key);
        let writer = LogWriter::open(&self.log_dir(), key, self.world.settings.log_max_bytes)
            .map_err(|source| Failure::Log { pod: self.name(), source })?;
        lock(&self.shared.logs).insert(name.to_owned(), writer.hub());
        self.logs.insert(name.to_owned(), Arc::new(Mutex::new(writer)));
        Ok(())
    }

    /// Logs of an earlier life, for those who want to read them.
    pub(super) fn open_old_logs(&mut self) {
        for container in self.record.containers.clone() {
            if self.log_dir().join(format!("{}.log", container.key())).exists() {
                if let Err(error) = self.open_log(&container.name) {
                    tracing::warn!(pod_id = %self.record.id, container = container.name, %error, "log of container {} cannot be read: {error}", container.name);
                } else if let Some(log) = self.logs.get(&container.name) {
                    lock(log).end();
                }
            }
        }
    }

    /// For a start after a stop: the containers have not run yet.
    pub(super) fn reset_containers(&mut self) {
        for container in &mut self.record.containers {
            let fresh = crate::journal::ContainerRecord::new(&container.name);
            *container = crate::journal::ContainerRecord {
                image: container.image.take(),
                command: std::mem::take(&mut container.command),
                key: std::mem::take(&mut container.key),
                ..fresh
            };
        }
    }

    /// Off the path of the start: the domain as other tools want it described.
    pub(super) fn describe(&mut self) {
        let Some(domid) = self.domid else { return };
        let (world, plan, disks, macs) = (self.world.clone(), self.plan(), self.disks.clone(), self.macs());
        let work = async move { world.domains.describe(&plan, domid, &disks, &macs).await };
        self.describing = Some(tokio::spawn(work));
    }

    /// After a restart of the daemon: connects to the guest of a domain that went on without us.
    pub(super) async fn reattach(&mut self) {
        if let Err(failure) = self.reattach_steps().await {
            tracing::error!(pod_id = %self.record.id, pod = self.record.spec.name, %failure, "pod {} cannot be taken up again: {failure}", self.record.spec.name);
            self.failed(&failure).await;
        }
    }

    async fn reattach_steps(&mut self) -> Result<(), Failure> {
        self.domid = self.record.domid;
        let Some(domid) = self.domid else { return Err(self.domain_ended("is not known")) };
        let cancel = Cancel::default();
        self.find_images(&cancel, &super::super::jobs::Progress::default()).await?;
        let mut sinks = Vec::new();
        for index in 0..self.record.containers.len() {
            let name = self.record.containers[index].name.clone();
            // Opened anew, so that those who follow do not believe it ended.
            self.open_log(&name)?;
            self.forward_log(&name, Since::Now);
            sinks.extend(self.sinks(index));
        }
        let inputs = self.record.containers.iter().map(|c| c.stdin).filter(|stream| *stream != 0).collect();
        let within = self.world.settings.boot_timeout;
        let (world, id) = (self.world.clone(), self.record.id);
        let connected = self.while_alive(&cancel, world.domains.connect(id, domid, within)).await?;
        let transport = connected.map_err(|e| self.domain_failure(e))?;
        let (guest, mut events) = Guest::start(transport, self.record.last_event, sinks, inputs);
        let inspection = {
            let up = async {
                loop {
                    match events.recv().await {
                        Some(FromGuest::Up { hello }) => return Ok(hello),
                        Some(FromGuest::Event(_)) => {}
                        Some(FromGuest::Lost { why }) => return Err(GuestError::Lost(why)),
                        None => return Err(GuestError::Lost("it is closed".into())),
                    }
                }
            };
            let timed = tokio::time::timeout(within, up);
            let hello = self.while_alive(&cancel, timed).await?;
            let hello = hello.unwrap_or(Err(GuestError::Timeout { what: "Hello", after: within }));
            let hello = hello.map_err(|source| self.guest_failure(None, source))?;
            if !hello.configured {
                return Err(self.domain_ended("had not been told what to run when the daemon stopped"));
            }
            let answer = guest.send("Inspect", Op::Inspect(message::Inspect {}));
            match self.while_alive(&cancel, answer.within(self.world.settings.answer_timeout)).await? {
                Ok(reply::Result::Inspection(inspection)) => inspection,
                Ok(_) => return Err(self.guest_failure(None, GuestError::Nonsense("Inspect"))),
                Err(source) => return Err(self.guest_failure(None, source)),
            }
        };
        self.shared.guest_is(&guest);
        self.guest = Some(guest.clone());
        self.guest_events = Some(events);
        for exec in inspection.execs {
            // Who asked for it is gone, and so are its pipes.
            drop(guest.send("to end a command", Op::SignalExec(message::SignalExec { id: exec.id, signal: 9 })));
        }
        let in_sequence = self.in_sequence();
        for (container, spec) in self.record.containers.iter_mut().zip(&self.record.spec.containers) {
            let seen = inspection.containers.iter().find(|s| s.name == container.key());
            if container.stdin != 0 && seen.and_then(|s| s.stdio).is_none_or(|stdio| stdio.stdin == 0) {
                guest.forget_input(container.stdin);
            }
            match seen.map(|s| (s.state(), s.pid)) {
                Some((RunState::Running, pid)) => {
                    container.state = ContainerState::Running;
                    container.pid = pid;
                }
                // Its exit comes as an event, or has come.
                Some((RunState::Exited, _)) => {}
                _ if matches!(container.state, ContainerState::Exited | ContainerState::Waiting) => {}
                // It has not been asked for.
                _ if container.state == ContainerState::Created && (in_sequence || spec.role == Role::Added) => {}
                _ => {
                    let how = format!("had not started container {} when the daemon stopped", container.name);
                    return Err(self.domain_ended(&how));
                }
            }
        }
        for container in self.record.containers.iter().filter(|c| c.state == ContainerState::Exited) {
            self.end_log(container.key());
        }
        self.restore_restarts();
        for index in 0..self.record.containers.len() {
            if self.record.containers[index].state == ContainerState::Running {
                self.attend_again(index);
            }
        }
        let starting = in_sequence && self.record.state == PodState::Starting;
        let paused = matches!(&*self.sight.borrow(), Sight::Present(d) if d.paused);
        let state = match (paused, starting) {
            (true, _) => PodState::Paused,
            (false, true) => PodState::Starting,
            (false, false) => PodState::Running,
        };
        let (reason, message) = (self.record.reason.clone(), self.record.message.clone());
        self.enter(state, &reason, &message);
        self.advance().await;
        self.resume_resizing().await;
        Ok(())
    }
}

/// A request of the boot.
pub(super) struct Request {
    /// The container it is about.
    pub(super) container: Option<usize>,
    /// It starts that container.
    pub(super) starts: bool,
    /// For messages.
    pub(super) what: &'static str,
    /// The request.
    pub(super) op: Op,
    /// The streams it makes.
    pub(super) outputs: Vec<Output>,
}
