//! The daemon's end of the channel, one thing at a time.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use xenpod_protocol::message::event::What;
use xenpod_protocol::message::{
    self, Capabilities, Configure, CreateContainer, Hello, Process, RootFs, Shutdown, StartContainer, Stdio, Tmpfs,
    reply, request, root_fs,
};
use xenpod_protocol::{Incoming, Session};
use xenpod_xen::evtchn::EvtchnDevice;
use xenpod_xen::grants::GntdevDevice;
use xenpod_xen::ids::Domid;
use xenpod_xen::vchan::{Peer as Other, Rendezvous, Vchan, VchanError};
use xenpod_xen::xenstore::blocking::Client;

/// Whatever went wrong, in words.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const STORE: &str = "/run/xenstored/socket";
/// How long the guest may take for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// What containers get, as container runtimes have it (chown, dac_override, fowner, fsetid, kill, setgid, setuid,
/// setpcap, net_bind_service, sys_chroot, mknod, audit_write, setfcap).
pub const CAPABILITIES: u64 = 0xa804_25fb;

/// The guest at the other end.
pub struct Peer {
    domid: u16,
    /// `None` only between two connections.
    vchan: Option<Vchan>,
    session: Session,
    /// What came on each stream.
    pub streams: BTreeMap<u32, Vec<u8>>,
    /// Streams that are not acknowledged, for checks of back-pressure.
    pub unread: Vec<u32>,
    /// How streams ended.
    pub ended: BTreeMap<u32, xenpod_protocol::CloseReason>,
    /// Every event, in order.
    pub events: Vec<What>,
    seen: usize,
    replies: BTreeMap<u64, Option<reply::Result>>,
    /// What it said of itself.
    pub hello: Hello,
}

/// A process that does nothing yet.
pub fn process() -> Process {
    let all = CAPABILITIES;
    let capabilities = Capabilities { bounding: all, effective: all, permitted: all, inheritable: 0, ambient: 0 };
    Process { capabilities: Some(capabilities), no_new_privileges: true, ..Process::default() }
}

impl Peer {
    /// Finds the ring in xenstore and says Hello.
    pub fn connect(domid: u16) -> Result<Self> {
        let vchan = connect(domid)?;
        let session = Session::daemon(Hello { version: "talk".into(), ..Hello::default() }, 0);
        let mut peer = Self {
            domid,
            vchan: Some(vchan),
            session,
            streams: BTreeMap::new(),
            unread: Vec::new(),
            ended: BTreeMap::new(),
            events: Vec::new(),
            seen: 0,
            replies: BTreeMap::new(),
            hello: Hello::default(),
        };
        peer.until("Hello", |peer| peer.session.connected().then_some(()))?;
        Ok(peer)
    }

    /// As after a restart of the daemon: everything is forgotten but what came.
    pub fn restart(&mut self) -> Result<()> {
        let mut session =
            Session::daemon(Hello { version: "talk".into(), ..Hello::default() }, self.events.len() as u64);
        for (stream, bytes) in self.streams.iter().filter(|(stream, _)| !self.ended.contains_key(stream)) {
            session.open_recv(*stream, bytes.len() as u64)?;
        }
        self.session = session;
        self.replies.clear();
        // The guest's port has one other end at a time.
        self.vchan = None;
        self.vchan = Some(connect(self.domid)?);
        self.until("Hello", |peer| peer.session.connected().then_some(()))
    }

    fn vchan(&mut self) -> Result<&mut Vchan> {
        self.vchan.as_mut().ok_or_else(|| "not connected".into())
    }

    fn other(&self) -> Other {
        self.vchan.as_ref().map_or(Other::Gone, Vchan::peer)
    }

    fn step(&mut self) -> Result<()> {
        loop {
            while let Some(incoming) = self.session.next_event()? {
                self.take(incoming)?;
            }
            self.send()?;
            let mut buffer = [0; 4096];
            match self.vchan()?.read(&mut buffer) {
                Ok(count) => {
                    let mut at = 0;
                    while at < count {
                        at += self.session.feed(&buffer[at..count]);
                        while let Some(incoming) = self.session.next_event()? {
                            self.take(incoming)?;
                        }
                    }
                }
                Err(VchanError::WouldBlock) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn send(&mut self) -> Result<()> {
        loop {
            let output = self.session.output();
            let Some(vchan) = self.vchan.as_mut().filter(|_| !output.is_empty()) else { return Ok(()) };
            match vchan.write(output) {
                Ok(count) => self.session.advance_output(count),
                Err(VchanError::WouldBlock) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, incoming: Incoming) -> Result<()> {
        match incoming {
            Incoming::Connected { hello, .. } => self.hello = hello,
            Incoming::Reply { id, result } => drop(self.replies.insert(id, result)),
            Incoming::Event(event) => {
                self.session.ack_event(event.sequence)?;
                self.events.extend(event.what);
            }
            Incoming::Data { stream, offset, bytes } => {
                let end = offset + bytes.len() as u64;
                self.streams.entry(stream).or_default().extend(bytes);
                if !self.unread.contains(&stream) {
                    self.session.ack(stream, end)?;
                }
            }
            Incoming::Ended { stream, reason, .. } => drop(self.ended.insert(stream, reason)),
            _ => {}
        }
        Ok(())
    }

    /// Goes on until `done` has something.
    pub fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            self.step()?;
            if let Some(value) = done(self) {
                // What it did may have made something to send.
                self.send()?;
                return Ok(value);
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("no {what} within {} s", PATIENCE.as_secs()).into());
            }
            if self.other() == Other::Gone {
                return Err(format!("the guest went away; {what} did not come").into());
            }
            self.vchan()?.wait(Some(Duration::from_millis(500)))?;
        }
    }

    /// Just listens for a while.
    pub fn listen(&mut self, time: Duration) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < time {
            self.step()?;
            self.vchan()?.wait(Some(Duration::from_millis(20)))?;
        }
        Ok(())
    }

    /// Asks, and waits for the answer.
    pub fn ask(&mut self, op: request::Op) -> Result<reply::Result> {
        let id = self.session.request(op)?;
        let result = self.until("reply", |peer| peer.replies.remove(&id))?;
        result.ok_or_else(|| "a reply of a newer protocol".into())
    }

    /// Asks for something that must be done.
    pub fn must(&mut self, op: request::Op) -> Result<reply::Result> {
        match self.ask(op)? {
            reply::Result::Error(error) => Err(format!("refused: {} ({:?})", error.message, error.kind()).into()),
            result => Ok(result),
        }
    }

    /// Asks for something that must be refused.
    pub fn refused(&mut self, op: request::Op) -> Result<message::Error> {
        match self.ask(op)? {
            reply::Result::Error(error) => Ok(error),
            result => Err(format!("not refused: {result:?}").into()),
        }
    }

    /// The next event that `pick` wants, of those not looked at yet.
    pub fn wait_for<T>(&mut self, mut pick: impl FnMut(&What) -> Option<T>) -> Result<T> {
        self.until("event", |peer| {
            while let Some(what) = peer.events.get(peer.seen) {
                peer.seen += 1;
                if let Some(value) = pick(what) {
                    return Some(value);
                }
            }
            None
        })
    }

    /// The pod's settings, with entropy from dom0's pool.
    pub fn configure(&mut self, change: impl FnOnce(&mut Configure)) -> Result<()> {
        let mut seed = vec![0; 64];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut seed)?;
        let mut wanted = Configure { seed, hostname: "talk".into(), ..Configure::default() };
        change(&mut wanted);
        self.must(request::Op::Configure(wanted)).map(drop)
    }

    /// A container of the image on xvda, writing to memory.
    pub fn create(
        &mut self,
        name: &str,
        process: Process,
        stdio: Stdio,
        change: impl FnOnce(&mut CreateContainer),
    ) -> Result<()> {
        for stream in [stdio.stdout, stdio.stderr].into_iter().filter(|id| *id != 0) {
            self.session.open_recv(stream, 0)?;
        }
        if stdio.stdin != 0 {
            self.session.open_send(stdio.stdin)?;
        }
        let upper = Some(root_fs::Upper::Tmpfs(Tmpfs { size: 4 << 20, mode: 0 }));
        let rootfs = RootFs { image_disk: "xvda".into(), upper, read_only: false };
        let mut wanted = CreateContainer {
            name: name.into(),
            rootfs: Some(rootfs),
            process: Some(process),
            stdio: Some(stdio),
            pod_etc_files: true,
            ..CreateContainer::default()
        };
        change(&mut wanted);
        self.must(request::Op::CreateContainer(wanted)).map(drop)
    }

    /// Starts it.
    pub fn start(&mut self, name: &str) -> Result<()> {
        self.must(request::Op::StartContainer(StartContainer { name: name.into() })).map(drop)
    }

    /// Opens streams for an exec.
    pub fn open(&mut self, stdio: &Stdio) -> Result<()> {
        for stream in [stdio.stdout, stdio.stderr].into_iter().filter(|id| *id != 0) {
            self.session.open_recv(stream, 0)?;
        }
        if stdio.stdin != 0 {
            self.session.open_send(stdio.stdin)?;
        }
        Ok(())
    }

    /// Acknowledges all that came on a stream that was not read.
    pub fn read_again(&mut self, stream: u32) -> Result<()> {
        self.unread.retain(|id| *id != stream);
        let length = self.streams.get(&stream).map_or(0, Vec::len);
        self.session.ack(stream, length as u64)?;
        Ok(())
    }

    /// Writes all of `bytes` to a stream, and ends it.
    pub fn write_all(&mut self, stream: u32, bytes: &[u8], end: bool) -> Result<()> {
        let mut at = 0;
        self.until("room in a stream", |peer| {
            at += peer.session.write(stream, &bytes[at..]).unwrap_or(0);
            (at == bytes.len()).then_some(())
        })?;
        if end {
            self.session.close(stream, xenpod_protocol::CloseReason::End)?;
        }
        self.step()
    }

    /// What came on a stream, as text.
    pub fn text(&self, stream: u32) -> String {
        String::from_utf8_lossy(self.streams.get(&stream).map_or(&[], Vec::as_slice)).into_owned()
    }

    /// Asks the guest to end, and waits until it has.
    pub fn shutdown(&mut self, grace_ms: u64) -> Result<()> {
        self.must(request::Op::Shutdown(Shutdown { grace_ms }))?;
        self.gone()
    }

    /// Waits until the domain has ended.
    pub fn gone(&mut self) -> Result<()> {
        let mut store = Client::new(UnixStream::connect(STORE)?);
        let path = format!("/local/domain/{}/data", self.domid);
        let start = Instant::now();
        // The ring outlives the domain as long as we have it mapped: xenstore knows.
        while store.read(&path).is_ok() {
            if start.elapsed() > PATIENCE {
                return Err(format!("the domain is still there after {} s", PATIENCE.as_secs()).into());
            }
            self.step()?;
            self.vchan()?.wait(Some(Duration::from_millis(20)))?;
        }
        Ok(())
    }
}

fn connect(domid: u16) -> Result<Vchan> {
    let mut store = Client::new(UnixStream::connect(STORE)?);
    let mut number = |name: &str| -> Result<u32> {
        let value = store.read(&format!("/local/domain/{domid}/data/xenpod/{name}"))?;
        Ok(String::from_utf8(value)?.parse()?)
    };
    let start = Instant::now();
    let event_channel = loop {
        match number("event-channel") {
            Ok(port) => break port,
            Err(error) if start.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let rendezvous = Rendezvous { ring_ref: number("ring-ref")?, event_channel };
    Ok(Vchan::connect(&GntdevDevice, &EvtchnDevice, Domid(domid), rendezvous)?)
}
