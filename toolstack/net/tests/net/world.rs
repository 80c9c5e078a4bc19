//! A dom0, pods and an outside host, each a network namespace held by a thread.

use std::future::Future;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Pid, Uid, gettid};
use uuid::Uuid;
use xenpod_net::{HostNetwork, IfName, LeasePool, Network, NetworkConfig, Plan, Port};

/// Whether namespaces can be made here; says so if not.
pub fn can_run() -> bool {
    let root = Uid::effective().is_root();
    if !root {
        eprintln!("SKIPPED: needs root to make network namespaces");
    }
    root
}

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace; it goes when this is dropped.
pub struct Ns {
    jobs: Sender<Job>,
    tid: Pid,
}

impl Ns {
    pub fn new() -> Self {
        let (jobs, queue) = channel::<Job>();
        let (ready, up) = channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            ip("link set lo up");
            ready.send(gettid()).unwrap();
            for job in queue {
                job();
            }
        });
        Self { jobs, tid: up.recv().unwrap() }
    }

    /// Run `job` in the namespace.
    pub fn call<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> R {
        let (done, result) = channel();
        self.jobs.send(Box::new(move || drop(done.send(job())))).unwrap();
        result.recv().expect("the job panicked in its namespace")
    }

    pub fn ip(&self, args: &str) {
        let args = args.to_owned();
        self.call(move || ip(&args));
    }

    /// A UDP socket bound in the namespace.
    pub fn udp(&self, at: impl Into<IpAddr>, port: u16) -> UdpSocket {
        let at = SocketAddr::new(at.into(), port);
        self.call(move || {
            let socket = UdpSocket::bind(at).unwrap_or_else(|e| panic!("bind {at}: {e}"));
            socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
            socket
        })
    }
}

/// Run `ip` in the calling thread's namespace.
pub fn ip(args: &str) {
    let out = output("ip", args);
    assert!(out.is_ok(), "ip {args}: {}", out.unwrap_err());
}

/// A program's standard output, in the calling thread's namespace.
pub fn output(program: &str, args: &str) -> Result<String, String> {
    let out = Command::new(program).args(args.split_whitespace()).output().map_err(|e| format!("{program}: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8(out.stdout).unwrap())
    } else {
        Err(String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

/// The ruleset as nft prints it, if nft is installed; says so if not.
pub fn ruleset() -> Option<String> {
    match output("nft", "list ruleset") {
        Ok(text) => Some(text),
        Err(error) => {
            eprintln!("SKIPPED the part that needs nft: {error}");
            None
        }
    }
}

/// Feed rules to nft; false if it is not installed.
pub fn nft(rules: &str) -> bool {
    use std::io::Write;
    let child = Command::new("nft").args(["-f", "-"]).stdin(std::process::Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        eprintln!("SKIPPED the part that needs nft");
        return false;
    };
    child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "nft refused {rules}");
    true
}

/// Run `check` as dom0: in a fresh namespace, on a runtime of that thread.
pub fn dom0<F: Future<Output = ()>>(check: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::Builder::new().name("dom0".into());
    let thread = thread.spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check());
    });
    if let Err(panic) = thread.unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

pub fn config() -> NetworkConfig {
    NetworkConfig { ipv6_subnet: Some("fd77:1:2::/64".parse().unwrap()), ..NetworkConfig::default() }
}

pub fn plan() -> Plan {
    config().plan("").unwrap()
}

/// The network, reconciled, and its leases.
pub struct Net {
    pub host: HostNetwork,
    pub leases: LeasePool,
    pub next: u32,
}

impl Net {
    pub async fn new() -> Self {
        Self::with(plan()).await
    }

    pub async fn with(plan: Plan) -> Self {
        let leases = LeasePool::new(&plan);
        let host = HostNetwork::open(plan).unwrap().with_link_timeout(Duration::from_secs(3));
        host.reconcile(&[]).await.unwrap();
        Self { host, leases, next: 1 }
    }

    /// A port with a lease, no interface yet.
    pub fn port(&mut self) -> Port {
        let (pod, domid) = (Uuid::new_v4(), self.next);
        self.next += 1;
        Port { pod, ifname: IfName::vif(domid, 0), lease: self.leases.allocate(pod, None).unwrap() }
    }

    /// A pod that is attached, with its own kernel stack configured as guest-init would.
    pub async fn pod(&mut self) -> Pod {
        let port = self.port();
        let pod = Pod::new(port, self.host.plan());
        self.host.attach(&pod.port).await.unwrap();
        pod
    }
}

/// A pod's namespace behind a veth whose dom0 end plays the vif.
pub struct Pod {
    pub ns: Ns,
    pub port: Port,
}

impl Pod {
    pub fn new(port: Port, plan: &Plan) -> Self {
        let ns = Ns::new();
        make_vif(&port.ifname, &ns);
        let lease = port.lease;
        for command in [
            format!("link set eth0 address {} up", lease.mac),
            format!("addr add {}/{} dev eth0", lease.v4, plan.v4.prefix_len()),
            format!("addr add {}/64 dev eth0 nodad", lease.v6),
            format!("route add default via {}", plan.gateway4),
            format!("-6 route add default via {} dev eth0", plan.gateway6),
        ] {
            ns.ip(&command);
        }
        Self { ns, port }
    }
}

/// What netback does: the interface appears in dom0, down; its other end is the guest's.
pub fn make_vif(ifname: &IfName, guest: &Ns) {
    ip(&format!("link add {ifname} type veth peer name eth0 netns {}", guest.tid));
}

/// A host on the far side of dom0's uplink: it has a route to nothing but the uplink.
pub fn outside() -> Ns {
    let ns = Ns::new();
    ip(&format!("link add up0 type veth peer name eth0 netns {}", ns.tid));
    for command in ["addr add 198.51.100.1/24 dev up0", "addr add 2001:db8:77::1/64 dev up0 nodad", "link set up0 up"] {
        ip(command);
    }
    for command in
        ["addr add 198.51.100.2/24 dev eth0", "addr add 2001:db8:77::2/64 dev eth0 nodad", "link set eth0 up"]
    {
        ns.ip(command);
    }
    ns
}

/// Send `text` and see from where it arrives; `None` if it does not.
pub fn say(from: &UdpSocket, to: &UdpSocket, text: &str) -> Option<IpAddr> {
    say_to(from, to, to.local_addr().unwrap(), text)
}

/// The same, to an address other than the one the receiver is bound to.
pub fn say_to(from: &UdpSocket, to: &UdpSocket, at: SocketAddr, text: &str) -> Option<IpAddr> {
    if from.send_to(text.as_bytes(), at).is_err() {
        return None;
    }
    let mut buf = [0; 256];
    match to.recv_from(&mut buf) {
        Ok((len, source)) => {
            assert_eq!(&buf[..len], text.as_bytes());
            Some(source.ip())
        }
        Err(_) => None,
    }
}
