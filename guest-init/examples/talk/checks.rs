//! Everything guest-init does, as named checks: `ok NAME` or `not ok NAME: why`, one a line.

use std::time::{Duration, Instant};

use xenpod_protocol::message::event::What;
use xenpod_protocol::message::{
    CreateContainer, CreateVolume, Error, ErrorKind, Exec, Exit, File, Files, GetStats, Inspect, Mount, Ping, Process,
    RemoveContainer, Resources, RunState, ScratchDirectory, SignalContainer, Stdio, Tmpfs, create_volume, mount, reply,
    request, root_fs,
};

use crate::peer::{Peer, Result, process};

mod lifecycle;
mod streams;

/// One guest, and ids nobody has used.
pub struct Checks<'a> {
    /// The guest.
    pub peer: &'a mut Peer,
    next_stream: u32,
    next_name: u32,
    failed: u32,
}

/// What a finished process left.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// Its name, and itself.
pub type Check = (&'static str, fn(&mut Checks<'_>) -> Result<()>);

/// For containers that share their process ids.
pub const SHARED: &[Check] = &[
    ("configure, with shared process ids", lifecycle::configure_shared),
    ("containers see each other's processes", lifecycle::see_each_other),
    ("a container's end is the end of all its processes", lifecycle::all_end),
    ("shutdown lets containers say goodbye", lifecycle::shutdown),
];

/// For a pod as most are.
pub const ALL: &[Check] = &[
    ("hello says what the guest is", hello),
    ("nothing is done before it is configured", not_configured),
    ("a short seed is refused", short_seed),
    ("configure, once", configure),
    ("output, error and exit code arrive", output),
    ("every process has its environment", environment),
    ("a user is looked up in the image", users),
    ("an unknown user is refused by name", unknown_user),
    ("a command that cannot run is named with the reason", bad_commands),
    ("a container sees only itself", isolation),
    ("device nodes are the usual ones", devices),
    ("capabilities and no_new_privs are what was asked for", privileges),
    ("a seccomp filter is in force", seccomp),
    ("the root can be read-only", read_only),
    ("paths are masked and read-only", masked),
    ("files of a volume, their modes, read-only", files_volume),
    ("a volume is shared, sub paths stay inside", shared_volume),
    ("the root can be on the scratch disk", scratch),
    ("too much memory is reported as such", out_of_memory),
    ("the number of processes is limited", pids),
    ("limits change while it runs", update),
    ("random numbers are there at once", random),
    ("a slow reader stops only its own writer", streams::back_pressure),
    ("no byte is lost over a restart of the daemon", streams::restart),
    ("standard input arrives whole, and its end", streams::stdin),
    ("a terminal has a size, and is one", streams::terminal),
    ("fifty short lives, all of their output", streams::short_lives),
    ("who holds the output open does not hold up the end", streams::held_open),
    ("exec runs beside, and says how it ended", lifecycle::exec),
    ("exec of a missing command fails at once", lifecycle::exec_missing),
    ("signals arrive; death by one is told", lifecycle::signals),
    ("removing kills and forgets", lifecycle::remove),
    ("inspect and stats tell the truth", lifecycle::inspect),
    ("names are taken once", lifecycle::names),
    ("shutdown lets containers say goodbye", lifecycle::shutdown),
];

/// Runs all of them. The guest is gone afterwards.
pub fn run(peer: &mut Peer, list: &[Check]) -> Result<u8> {
    let mut checks = Checks { peer, next_stream: 0, next_name: 0, failed: 0 };
    for (name, check) in list {
        let start = Instant::now();
        match check(&mut checks) {
            Ok(()) => println!("ok {name} ({} ms)", start.elapsed().as_millis()),
            Err(error) => {
                checks.failed += 1;
                println!("not ok {name}: {error}");
            }
        }
    }
    println!("{} checks, {} failed", list.len(), checks.failed);
    Ok(u8::from(checks.failed > 0))
}

/// Fails a check with both values.
pub fn equal<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Result<()> {
    if got == expected { Ok(()) } else { Err(format!("{what}: {got:?}, expected {expected:?}").into()) }
}

/// Fails a check with what was there.
pub fn holds(what: &str, truth: bool, got: &dyn std::fmt::Debug) -> Result<()> {
    if truth { Ok(()) } else { Err(format!("{what}: {got:?}").into()) }
}

/// `sh -c script`.
pub fn shell(script: &str) -> Process {
    Process { argv: vec!["/bin/sh".into(), "-c".into(), script.into()], ..process() }
}

impl Checks<'_> {
    /// A stream id that was never used.
    pub fn stream(&mut self) -> u32 {
        self.next_stream += 1;
        self.next_stream
    }

    /// A container name that was never used.
    pub fn name(&mut self) -> String {
        self.next_name += 1;
        format!("c{}", self.next_name)
    }

    /// Runs a container to its end and removes it.
    pub fn run(&mut self, process: Process, change: impl FnOnce(&mut CreateContainer)) -> Result<Ran> {
        let name = self.name();
        let stdio = Stdio { stdin: 0, stdout: self.stream(), stderr: self.stream() };
        self.peer.create(&name, process, stdio, change)?;
        let started = self.peer.start(&name);
        let ran = started.and_then(|()| self.wait(&name, stdio));
        self.remove(&name)?;
        ran
    }

    /// Waits for a container's end.
    pub fn wait(&mut self, name: &str, stdio: Stdio) -> Result<Ran> {
        let exit = self.peer.wait_for(|what| match what {
            What::ContainerExited(exited) if exited.name == name => exited.exit.clone(),
            _ => None,
        })?;
        for stream in [stdio.stdout, stdio.stderr].into_iter().filter(|id| *id != 0) {
            self.peer.until("end of output", |peer| peer.ended.get(&stream).map(|_| ()))?;
        }
        Ok(Ran { exit, out: self.peer.text(stdio.stdout), err: self.peer.text(stdio.stderr) })
    }

    /// Removes a container.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        self.peer.must(request::Op::RemoveContainer(RemoveContainer { name: name.into() })).map(drop)
    }

    /// Starts a container that must not start; says why not, and how soon.
    fn fails(&mut self, process: Process) -> Result<Error> {
        let name = self.name();
        let stdio = Stdio { stdin: 0, stdout: self.stream(), stderr: 0 };
        self.peer.create(&name, process, stdio, |_| {})?;
        let start = Instant::now();
        let op = request::Op::StartContainer(xenpod_protocol::message::StartContainer { name: name.clone() });
        let error = self.peer.refused(op)?;
        holds("it took too long", start.elapsed() < Duration::from_secs(1), &start.elapsed())?;
        self.remove(&name)?;
        Ok(error)
    }
}

fn hello(c: &mut Checks<'_>) -> Result<()> {
    let hello = &c.peer.hello;
    holds("kernel", hello.kernel.starts_with("6."), &hello.kernel)?;
    holds("version and protocol", !hello.version.is_empty() && hello.protocol_max == 1, hello)?;
    equal("configured", hello.configured, false)?;
    c.peer.must(request::Op::Ping(Ping {})).map(drop)
}

fn not_configured(c: &mut Checks<'_>) -> Result<()> {
    let error = c.peer.refused(request::Op::CreateContainer(CreateContainer::default()))?;
    equal("kind", error.kind(), ErrorKind::BadState)
}

fn short_seed(c: &mut Checks<'_>) -> Result<()> {
    let wanted = xenpod_protocol::message::Configure { seed: vec![1; 8], ..Default::default() };
    let error = c.peer.refused(request::Op::Configure(wanted))?;
    equal("message", error.message.as_str(), "seed \"8 bytes\": at least 32 bytes are needed")
}

fn configure(c: &mut Checks<'_>) -> Result<()> {
    c.peer.configure(|wanted| {
        wanted.hostname = "pod-1".into();
        wanted.hosts = vec!["127.0.0.1 localhost".into()];
        let resolv = xenpod_protocol::message::ResolvConf { servers: vec!["10.0.0.1".into()], ..Default::default() };
        wanted.resolv_conf = Some(resolv);
        wanted.sysctls.insert("net.core.somaxconn".into(), "777".into());
    })?;
    let again = xenpod_protocol::message::Configure::default();
    equal("again", c.peer.refused(request::Op::Configure(again))?.kind(), ErrorKind::BadState)?;
    let ran = c.run(
        shell("hostname; cat /etc/hosts /etc/resolv.conf /etc/hostname /proc/sys/net/core/somaxconn; ip -o addr"),
        |_| {},
    )?;
    let expected = "pod-1\n127.0.0.1 localhost\nnameserver 10.0.0.1\npod-1\n777\n";
    holds("pod's files", ran.out.starts_with(expected), &ran)?;
    holds("loopback", ran.out.contains("inet 127.0.0.1/8"), &ran)
}

fn output(c: &mut Checks<'_>) -> Result<()> {
    let ran = c.run(shell("echo out; echo err >&2; exit 7"), |_| {})?;
    equal("output", (ran.out.as_str(), ran.err.as_str()), ("out\n", "err\n"))?;
    equal("exit", (ran.exit.code, ran.exit.signal, ran.exit.oom_killed), (7, 0, false))?;
    holds("times", ran.exit.finished_ns >= ran.exit.started_ns && ran.exit.started_ns > 0, &ran.exit)
}

fn environment(c: &mut Checks<'_>) -> Result<()> {
    let argv = vec!["env".into()];
    let ran = c.run(Process { argv, env: vec!["A=b c".into()], cwd: "/data/new".into(), ..process() }, |_| {})?;
    let expected = "A=b c\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\n";
    equal("environment", ran.out.as_str(), expected)?;
    let argv = vec!["pwd".into()];
    let ran = c.run(Process { argv, cwd: "/data/new".into(), ..process() }, |_| {})?;
    equal("directory", ran.out.as_str(), "/data/new\n")?;
    let ran =
        c.run(Process { umask: Some(0o077), ..shell("umask; ulimit -n; cat /proc/self/oom_score_adj") }, |_| {})?;
    holds("umask", ran.out.starts_with("0077\n"), &ran)?;
    let limit = xenpod_protocol::message::Rlimit { resource: 7, soft: 100, hard: 200 };
    let asked =
        Process { rlimits: vec![limit], oom_score_adj: 321, ..shell("ulimit -n; cat /proc/self/oom_score_adj; umask") };
    equal("limits", c.run(asked, |_| {})?.out.as_str(), "100\n321\n0022\n")
}

fn users(c: &mut Checks<'_>) -> Result<()> {
    let who = "id -u; id -g; id -G; echo $HOME; touch /tmp/x && stat -c %u /tmp/x; echo again > /dev/stdout";
    let ran = c.run(Process { user: "web".into(), additional_gids: vec![77], ..shell(who) }, |_| {})?;
    equal("by name", ran.out.as_str(), "33\n34\n34 40 77\n/home/web\n33\nagain\n")?;
    let ran = c.run(Process { user: "4000:logs".into(), ..shell("id -u; id -G; echo $HOME") }, |_| {})?;
    equal("by number", ran.out.as_str(), "4000\n40\n/\n")
}

fn unknown_user(c: &mut Checks<'_>) -> Result<()> {
    let error = c.fails(Process { user: "ghost".into(), ..shell("true") })?;
    equal("kind", error.kind(), ErrorKind::BadUser)?;
    holds("text", error.message.starts_with("user \"ghost\" is not in /etc/passwd of container c"), &error)
}

fn bad_commands(c: &mut Checks<'_>) -> Result<()> {
    let mut fails = |command: &str| c.fails(Process { argv: vec![command.into()], ..process() });
    let error = fails("foo")?;
    equal("kind", error.kind(), ErrorKind::NotFound)?;
    let (begin, end) = ("command \"foo\" not found in container c", ": no such file or directory");
    holds("text", error.message.starts_with(begin) && error.message.ends_with(end), &error)?;
    equal("path", error.path.as_str(), "/bin/foo")?;
    let error = fails("badscript")?;
    equal("kind", error.kind(), ErrorKind::NotFound)?;
    holds("interpreter", error.message.ends_with("needs /no/such/sh, which does not exist there"), &error)?;
    equal("not executable", fails("/bin/noexec")?.kind(), ErrorKind::PermissionDenied)?;
    equal("a directory", fails("/bin")?.kind(), ErrorKind::PermissionDenied)?;
    equal("no program", fails("/bin/noise")?.kind(), ErrorKind::BadFormat)
}

fn isolation(c: &mut Checks<'_>) -> Result<()> {
    let ran = c.run(shell("echo $$; ls /proc | grep -c '^[0-9]'; cat /proc/self/cgroup; ls /; ls /run"), |_| {})?;
    let lines: Vec<&str> = ran.out.lines().collect();
    equal("its pid", lines[0], "1")?;
    holds("processes", lines[1].parse::<u32>().is_ok_and(|n| n <= 3), &ran.out)?;
    equal("its cgroup", lines[2], "0::/")?;
    holds("its root", lines.contains(&"home") && !lines.contains(&"xenpod"), &ran.out)?;
    let ran =
        c.run(shell("mount; mkdir /tmp/m && mount -t tmpfs x /tmp/m; echo 1 > /sys/fs/cgroup/cgroup.procs"), |_| {})?;
    holds("cannot mount", ran.err.contains("permission denied"), &ran.err)?;
    holds("cgroup is read-only", ran.err.contains("Read-only file system"), &ran.err)?;
    let mounted = |text: &str| ran.out.lines().any(|line| line.contains(text));
    for text in [
        "overlay on / ",
        "proc on /proc ",
        "sysfs on /sys type sysfs (ro",
        "devpts on /dev/pts ",
        "mqueue on /dev/mqueue ",
    ] {
        holds(text, mounted(text), &ran.out)?;
    }
    holds("the pod's own mounts", !ran.out.contains("erofs"), &ran.out)
}

fn devices(c: &mut Checks<'_>) -> Result<()> {
    let ran = c.run(
        shell(
            "cd /dev; ls -1; stat -c '%t:%T %a' null zero full random urandom tty; readlink fd; readlink ptmx; \
        echo x > null; head -c 3 zero | wc -c; df -k shm | tail -1 | awk '{print $2}'",
        ),
        |_| {},
    )?;
    let expected = "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n\
        1:3 666\n1:5 666\n1:7 666\n1:8 666\n1:9 666\n5:0 666\n/proc/self/fd\npts/ptmx\n3\n65536\n";
    equal("devices", ran.out.as_str(), expected)
}

fn privileges(c: &mut Checks<'_>) -> Result<()> {
    let status = "grep -E 'Cap|NoNew|Seccomp:' /proc/self/status";
    let ran = c.run(shell(status), |_| {})?;
    let expected = "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n\
        CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t0\n";
    equal("root", ran.out.as_str(), expected)?;
    // An ambient capability survives exec by an ordinary user.
    let bind = 1 << 10;
    let caps = xenpod_protocol::message::Capabilities {
        bounding: bind,
        effective: bind,
        permitted: bind,
        inheritable: bind,
        ambient: bind,
    };
    let ran = c.run(Process { user: "web".into(), capabilities: Some(caps), ..shell(status) }, |_| {})?;
    let value = "0000000000000400";
    holds("ambient", ran.out.matches(value).count() == 5, &ran.out)?;
    let ran = c.run(Process { capabilities: None, no_new_privileges: false, ..shell(status) }, |_| {})?;
    holds("none", ran.out.matches("0000000000000000").count() == 5 && ran.out.contains("NoNewPrivs:\t0"), &ran.out)
}

fn seccomp(c: &mut Checks<'_>) -> Result<()> {
    // ld [nr]; jeq mkdir(83) ? errno(EPERM) : allow
    let program: [(u16, u8, u8, u32); 4] =
        [(0x20, 0, 0, 0), (0x15, 0, 1, 83), (0x06, 0, 0, 0x0005_0001), (0x06, 0, 0, 0x7fff_0000)];
    let seccomp: Vec<u8> = program
        .iter()
        .flat_map(|(code, jt, jf, k)| [&code.to_le_bytes()[..], &[*jt, *jf], &k.to_le_bytes()].concat())
        .collect();
    for no_new_privileges in [true, false] {
        let asked = Process {
            seccomp: seccomp.clone(),
            no_new_privileges,
            ..shell("mkdir /tmp/d; grep Seccomp: /proc/self/status")
        };
        let ran = c.run(asked, |_| {})?;
        holds("refused", ran.err.contains("Operation not permitted"), &ran)?;
        equal("mode", ran.out.as_str(), "Seccomp:\t2\n")?;
    }
    let error = c.fails(Process { seccomp: vec![1; 7], ..shell("true") })?;
    holds("nonsense", error.message.contains("seccomp filter"), &error)
}

fn read_only(c: &mut Checks<'_>) -> Result<()> {
    let ran = c.run(shell("touch /x; touch /scratch/x && echo fine"), |wanted| {
        if let Some(rootfs) = &mut wanted.rootfs {
            rootfs.read_only = true;
        }
        let tmpfs = Some(mount::Source::Tmpfs(Tmpfs { size: 1 << 20, mode: 0 }));
        wanted.mounts.push(Mount { source: tmpfs, target: "/scratch".into(), ..Mount::default() });
    })?;
    holds("root", ran.err.contains("Read-only file system"), &ran)?;
    equal("tmpfs", ran.out.as_str(), "fine\n")
}

fn masked(c: &mut Checks<'_>) -> Result<()> {
    let ran = c.run(
        shell("wc -c < /proc/keys; ls /proc/irq /sys/block | wc -l; echo 1 > /proc/sys/vm/swappiness"),
        |wanted| {
            wanted.masked_paths = ["/proc/keys", "/proc/irq", "/sys/block", "/no/such"].map(String::from).to_vec();
            wanted.readonly_paths = ["/proc/sys", "/no/such"].map(String::from).to_vec();
        },
    )?;
    holds("masked", ran.out.ends_with("3\n"), &ran)?;
    holds("read-only", ran.err.contains("Read-only file system"), &ran)
}

fn volume(name: &str, source: create_volume::Source) -> request::Op {
    request::Op::CreateVolume(CreateVolume { name: name.into(), source: Some(source), ..CreateVolume::default() })
}

/// A mount of a volume.
fn of(name: &str, target: &str, sub_path: &str, read_only: bool) -> Mount {
    let source = Some(mount::Source::Volume(name.into()));
    Mount { source, target: target.into(), sub_path: sub_path.into(), read_only }
}

fn files_volume(c: &mut Checks<'_>) -> Result<()> {
    let file = |path: &str, data: &str, mode| File {
        path: path.into(),
        data: data.into(),
        mode,
        uid: 33,
        gid: 34,
        append: false,
    };
    let files = vec![file("a", "alpha\n", 0o400), file("deep/b", "beta\n", 0o644)];
    c.peer.must(volume("cfg", create_volume::Source::Files(Files { files, ..Files::default() })))?;
    let more = File { path: "deep/b".into(), data: b"gamma\n".to_vec(), append: true, ..File::default() };
    c.peer.must(request::Op::WriteFiles(xenpod_protocol::message::WriteFiles {
        volume: "cfg".into(),
        files: vec![more],
    }))?;
    let script = "cd /cfg; stat -c '%n %a %u %g' a deep/b; cat a deep/b /one; echo x > a";
    let ran = c.run(Process { user: "web".into(), ..shell(script) }, |wanted| {
        wanted.mounts = vec![of("cfg", "/cfg", "", true), of("cfg", "/one", "a", true)];
    })?;
    equal("content", ran.out.as_str(), "a 400 33 34\ndeep/b 644 33 34\nalpha\nbeta\ngamma\nalpha\n")?;
    holds("read-only", ran.err.contains("Read-only file system"), &ran.err)?;
    let out = vec![file("../x", "", 0o600)];
    let op = request::Op::WriteFiles(xenpod_protocol::message::WriteFiles { volume: "cfg".into(), files: out });
    equal("outside", c.peer.refused(op)?.kind(), ErrorKind::Invalid)?;
    c.peer.must(request::Op::RemoveVolume(xenpod_protocol::message::RemoveVolume { name: "cfg".into() })).map(drop)
}

fn shared_volume(c: &mut Checks<'_>) -> Result<()> {
    c.peer.must(volume("v", create_volume::Source::Tmpfs(Tmpfs { size: 1 << 20, mode: 0 })))?;
    let write = "echo shared > /v/f; mkdir /v/sub; ln -s / /v/out; ln -s /etc /v/sub/abs; stat -c %a /v";
    let ran = c.run(shell(write), |wanted| wanted.mounts = vec![of("v", "/v", "", false)])?;
    equal("mode", ran.out.as_str(), "777\n")?;
    let ran = c.run(shell("cat /w/f; ls -A /s /new"), |wanted| {
        wanted.mounts = vec![of("v", "/w", "", true), of("v", "/s", "sub", false), of("v", "/new", "made/here", false)];
    })?;
    equal("seen", ran.out.as_str(), "shared\n/new:\n\n/s:\nabs\n")?;
    for path in ["out", "../..", "out/etc", "sub/abs"] {
        let name = c.name();
        let stdio = Stdio { stdin: 0, stdout: c.stream(), stderr: 0 };
        c.peer.create(&name, shell("ls /e"), stdio, |wanted| wanted.mounts = vec![of("v", "/e", path, false)])?;
        let op = request::Op::StartContainer(xenpod_protocol::message::StartContainer { name: name.clone() });
        equal(path, c.peer.refused(op)?.kind(), ErrorKind::MountFailed)?;
        c.remove(&name)?;
    }
    let size = c.run(shell("dd if=/dev/zero of=/v/big bs=1k count=2000 2>&1 | tail -3"), |wanted| {
        wanted.mounts = vec![of("v", "/v", "", false)];
    })?;
    holds("size", size.out.contains("No space left"), &size)
}

fn scratch(c: &mut Checks<'_>) -> Result<()> {
    let ran = c.run(
        shell("dd if=/dev/zero of=/big bs=64k count=100 2>/dev/null && ls -l /big | awk '{print $5}'; df / | tail -1"),
        |wanted| {
            if let Some(rootfs) = &mut wanted.rootfs {
                let place = ScratchDirectory { disk: "xvdb".into(), directory: "one".into() };
                rootfs.upper = Some(root_fs::Upper::Scratch(place));
            }
        },
    )?;
    holds("more than memory holds", ran.out.starts_with("6553600\n"), &ran)?;
    let absent = request::Op::CreateVolume(CreateVolume {
        name: "none".into(),
        source: Some(create_volume::Source::Scratch(ScratchDirectory { disk: "xvdz".into(), directory: "d".into() })),
        ..CreateVolume::default()
    });
    let error = c.peer.refused(absent)?;
    equal("absent", error.message.as_str(), "disk xvdz did not appear within 10 s")
}

fn out_of_memory(c: &mut Checks<'_>) -> Result<()> {
    let ran = c.run(shell("sleep 0.1 & tail /dev/zero; echo survived"), |wanted| {
        wanted.resources = Some(Resources { memory_max: 6 << 20, ..Resources::default() });
    })?;
    equal("exit", (ran.exit.signal, ran.exit.oom_killed, ran.out.as_str()), (9, true, ""))?;
    holds("event", c.peer.events.iter().any(|what| matches!(what, What::OutOfMemory(_))), &c.peer.events.len())
}

fn pids(c: &mut Checks<'_>) -> Result<()> {
    let script = "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait; cat /sys/fs/cgroup/pids.max";
    let ran = c.run(shell(script), |wanted| {
        wanted.resources =
            Some(Resources { pids_max: 5, cpu_weight: 50, cpu_quota_us: 50_000, ..Resources::default() });
    })?;
    holds("refused", ran.err.contains("fork"), &ran)
}

fn update(c: &mut Checks<'_>) -> Result<()> {
    let name = c.name();
    let stdio = Stdio { stdin: 0, stdout: c.stream(), stderr: 0 };
    let script = "cat /sys/fs/cgroup/memory.max; while grep -q max /sys/fs/cgroup/memory.max; do sleep 0.05; done; \
        cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu.weight /sys/fs/cgroup/memory.oom.group";
    c.peer.create(&name, shell(script), stdio, |_| {})?;
    c.peer.start(&name)?;
    c.peer.until("first line", |peer| (peer.text(stdio.stdout) == "max\n").then_some(()))?;
    let resources = Resources { memory_max: 8 << 20, cpu_quota_us: 20_000, cpu_weight: 7, ..Resources::default() };
    let op = xenpod_protocol::message::UpdateResources { container: name.clone(), resources: Some(resources) };
    c.peer.must(request::Op::UpdateResources(op))?;
    let ran = c.wait(&name, stdio)?;
    c.remove(&name)?;
    equal("limits", ran.out.as_str(), "max\n8388608\n20000 100000\n7\n1\n")
}

fn random(c: &mut Checks<'_>) -> Result<()> {
    let start = Instant::now();
    let ran = c.run(shell("head -c 16 /dev/random | wc -c; cat /proc/sys/kernel/random/entropy_avail"), |_| {})?;
    equal("bytes", ran.out.as_str(), "16\n256\n")?;
    holds("soon", start.elapsed() < Duration::from_secs(5), &start.elapsed())
}

/// What Inspect says.
pub fn inspection(c: &mut Checks<'_>) -> Result<xenpod_protocol::message::Inspection> {
    match c.peer.must(request::Op::Inspect(Inspect {}))? {
        reply::Result::Inspection(inspection) => Ok(inspection),
        other => Err(format!("{other:?}").into()),
    }
}

/// What GetStats says.
pub fn stats(c: &mut Checks<'_>) -> Result<xenpod_protocol::message::Stats> {
    match c.peer.must(request::Op::GetStats(GetStats {}))? {
        reply::Result::Stats(stats) => Ok(stats),
        other => Err(format!("{other:?}").into()),
    }
}

/// Sends a signal to a container.
pub fn signal(c: &mut Checks<'_>, name: &str, signal: u32, all: bool) -> Result<()> {
    let op = SignalContainer { name: name.into(), signal, all };
    c.peer.must(request::Op::SignalContainer(op)).map(drop)
}

/// A request for an exec.
pub fn exec(id: &str, container: &str, process: Process, stdio: Stdio) -> request::Op {
    let process = Some(process);
    request::Op::Exec(Exec { id: id.into(), container: container.into(), process, stdio: Some(stdio) })
}

/// Whether a container is in that state.
pub fn is(inspection: &xenpod_protocol::message::Inspection, name: &str, state: RunState) -> bool {
    inspection.containers.iter().any(|c| c.name == name && c.state() == state)
}
