//! A running machine: one QEMU process, its control socket, its agent, its serial log.
//!
//! ```text
//! boot:  disk ------------------> (Xen, dom0) --save--> disk.qcow2 + state
//! load:  disk.qcow2 + state ----> (Xen, dom0 as they were saved)
//! ```
//! The memory is kept beside the disk, not in it, so that a saved machine is never written to again: each run writes to
//! a throw-away layer over its disk.

use std::fs::{self, File};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::channel::{Channel, Kept, Sink};
use crate::error::{LabError, Result};
use crate::host::run;
use crate::qmp::Qmp;
use crate::serial::Serial;
use crate::wire::{PORT_NAME, Start};

/// The drive that carries files in: the same size always, for a saved machine remembers it.
pub const CARRIER_SIZE: u64 = 4 << 30;

/// Which xenstored dom0 runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Xenstored {
    /// The OCaml one, Debian's choice.
    Oxenstored,
    /// The C one.
    Xenstored,
}

impl Xenstored {
    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Xenstored::Oxenstored => "oxenstored",
            Xenstored::Xenstored => "xenstored",
        }
    }
}

/// What makes one machine differ from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The machine's memory, dom0's included.
    pub mem_mib: u32,
    /// Virtual time counts instructions, one a nanosecond, and two runs agree.
    pub icount: bool,
    /// Which xenstored dom0 runs.
    pub xenstored: Xenstored,
}

impl Default for Config {
    fn default() -> Config {
        Config { mem_mib: 3072, icount: false, xenstored: Xenstored::Oxenstored }
    }
}

/// dom0's own memory; the rest is for guests.
pub const DOM0_MIB: u32 = 1024;

impl Config {
    /// All that a saved machine depends on, for its hash.
    pub fn describe(&self) -> String {
        format!("{:?}", self.command(Path::new("")))
    }

    /// The command line but for files.
    /// `svm` and `npt` give HVM guests hardware paging, without which Debian's Xen runs no PVH; virtio-rng feeds
    /// getrandom, which would starve.
    fn command(&self, kernels: &Path) -> Vec<String> {
        let file = |name: &str| kernels.join(name).display().to_string();
        let dom0 = format!(
            "{} console=hvc0 root=/dev/vda rw lab.xenstored={},{}",
            file("vmlinuz"),
            self.xenstored.name(),
            file("initrd.img")
        );
        let xen = format!(
            "console=com1 com1=115200 loglvl=all guest_loglvl=all noreboot dom0_mem={DOM0_MIB}M,max:{DOM0_MIB}M dom0_max_vcpus=1"
        );
        let mut words: Vec<String> = "-accel tcg -cpu qemu64,+svm,+npt -smp 1 -nodefaults -display none -no-reboot \
            -device virtio-rng-pci -device virtio-serial-pci -rtc base=utc"
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        words.extend(["-m".into(), self.mem_mib.to_string()]);
        words.extend(["-kernel".into(), file("xen.elf"), "-append".into(), xen, "-initrd".into(), dom0]);
        if self.icount {
            words.extend(["-icount".into(), "shift=0,sleep=off".into()]);
        }
        words
    }
}

/// Where a machine's files are.
pub struct Files<'a> {
    /// The folder with `xen.elf`, `vmlinuz` and `initrd.img`.
    pub kernels: &'a Path,
    /// The disk's layer that the machine writes to.
    pub disk: &'a Path,
    /// An archive to be seen by dom0 as `/dev/vdb`.
    pub carrier: &'a Path,
    /// A saved memory to go on from.
    pub state: Option<&'a Path>,
    /// An empty folder for sockets and the serial log.
    pub scratch: &'a Path,
}

/// A running machine; dropping it ends it.
pub struct Machine {
    qemu: Child,
    qmp: Qmp,
    channel: Channel,
    serial: Serial,
}

impl Machine {
    /// Starts QEMU; with a saved state the machine runs on from there, else it boots. Returns when the agent answers.
    pub fn start(config: &Config, files: &Files, patience: Duration) -> Result<Machine> {
        let log = files.scratch.join("serial.log");
        let complaints = files.scratch.join("qemu.log");
        let qemu_log = File::create(&complaints).map_err(LabError::file("cannot make", &complaints))?;
        let drive = |path: &Path, rest: &str| format!("file={},if=virtio,{rest}", path.display());
        // setpriv: no QEMU outlives a lab that was killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]).args(config.command(files.kernels));
        command.args(["-drive", &drive(files.disk, "format=qcow2,cache=unsafe,discard=unmap")]);
        command.args(["-drive", &drive(files.carrier, "format=raw,readonly=on")]);
        command.args(["-serial", "file:serial.log", "-qmp", "unix:qmp.sock,server=on,wait=off"]);
        command.args(["-chardev", "socket,id=agent,path=agent.sock,server=on,wait=off"]);
        command.args(["-device", &format!("virtserialport,chardev=agent,name={PORT_NAME}")]);
        if let Some(state) = files.state {
            command.args(["-incoming", &format!("exec:cat '{}'", state.display())]);
        }
        command.current_dir(files.scratch).stdin(Stdio::null()).stdout(Stdio::null()).stderr(qemu_log);
        let mut qemu =
            command.spawn().map_err(|source| LabError::Start { program: "qemu-system-x86_64".into(), source })?;
        let connected = connect(files.scratch, &mut qemu, &complaints);
        let (qmp, channel) = match connected {
            Ok(ends) => ends,
            Err(error) => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                return Err(error);
            }
        };
        let mut machine = Machine { qemu, qmp, channel, serial: Serial::new(log) };
        if files.state.is_some() {
            machine.resume()?;
        }
        let Machine { qemu, channel, serial, .. } = &mut machine;
        channel.wait(patience, || alive(qemu, serial))?;
        machine.channel.set_clock()?;
        Ok(machine)
    }

    /// A saved machine was stopped when it was saved, and says so.
    fn resume(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let status = self.qmp.command("query-status", json!({}))?;
            match status["status"].as_str() {
                Some("inmigrate") if Instant::now() < end => std::thread::sleep(Duration::from_millis(20)),
                Some("running") => return Ok(()),
                Some("paused" | "postmigrate" | "prelaunch") => return self.qmp.command("cont", json!({})).map(drop),
                other => return Err(LabError::Qemu(format!("the saved machine was not loaded: {other:?}"))),
            }
        }
    }

    /// Runs a command in dom0.
    pub fn exec(&mut self, start: Start, sink: &mut dyn Sink, limit: Option<Duration>) -> Result<i32> {
        self.exec_with(start, sink, limit, || ())
    }

    /// The same; `started` is called once the command is on its way.
    pub fn exec_with(
        &mut self,
        start: Start,
        sink: &mut dyn Sink,
        limit: Option<Duration>,
        started: impl FnOnce(),
    ) -> Result<i32> {
        let Machine { qemu, channel, serial, .. } = self;
        channel.run(start, sink, limit, started, || alive(qemu, serial))
    }

    /// Runs a shell script in dom0 that is a stage of the lab's own work; it must succeed. Returns its output.
    pub fn stage(&mut self, what: &'static str, script: &str, limit: Duration) -> Result<String> {
        let mut kept = Kept::default();
        let argv = ["bash", "-euo", "pipefail", "-c", script].map(str::to_owned).to_vec();
        let start = Start { argv, env: Vec::new(), tty: None, stdin: false };
        let status = self.exec(start, &mut kept, Some(limit))?;
        if status == 0 {
            return Ok(String::from_utf8_lossy(&kept.out).into_owned());
        }
        kept.out.extend(kept.err);
        Err(LabError::Stage { what, status, output: String::from_utf8_lossy(&kept.out).into_owned() })
    }

    /// The agent's port, for a terminal.
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Stops the machine, writes its memory to `state`, and ends it. Its disk is then as the memory believes it to be.
    pub fn save(mut self, state: &Path) -> Result<()> {
        self.qmp.command("stop", json!({}))?;
        // Memory that does not change needs no second pass: as fast as the disk takes it.
        self.qmp.command("migrate-set-parameters", json!({ "max-bandwidth": 10_u64 << 30 }))?;
        self.qmp.command("migrate", json!({ "uri": format!("exec:cat > '{}'", state.display()) }))?;
        let end = Instant::now() + Duration::from_secs(300);
        loop {
            let status = self.qmp.command("query-migrate", json!({}))?;
            match status["status"].as_str() {
                Some("completed") => break,
                Some("failed" | "cancelled") => {
                    return Err(LabError::Qemu(format!("the machine was not saved: {}", status["error-desc"])));
                }
                _ if Instant::now() > end => return Err(LabError::Timeout(300)),
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        self.qmp.command("quit", json!({}))?;
        self.qemu.wait().map_err(LabError::file("cannot wait for", "qemu"))?;
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Nothing in it is worth an orderly end: its disk is thrown away.
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Says why, if the machine is not well.
fn alive(qemu: &mut Child, serial: &mut Serial) -> Result<()> {
    if let Some(line) = serial.panic() {
        return Err(LabError::Crashed(line));
    }
    match qemu.try_wait() {
        Ok(Some(status)) => Err(LabError::Gone(status)),
        _ => Ok(()),
    }
}

fn connect(scratch: &Path, qemu: &mut Child, complaints: &Path) -> Result<(Qmp, Channel)> {
    let qmp = Qmp::new(socket(&scratch.join("qmp.sock"), qemu, complaints)?)?;
    let agent = socket(&scratch.join("agent.sock"), qemu, complaints)?;
    let channel = Channel::new(agent).map_err(LabError::file("cannot use", scratch.join("agent.sock")))?;
    Ok((qmp, channel))
}

fn socket(path: &Path, qemu: &mut Child, complaints: &Path) -> Result<UnixStream> {
    for _ in 0..300 {
        if let Ok(stream) = UnixStream::connect(path) {
            return Ok(stream);
        }
        if let Ok(Some(status)) = qemu.try_wait() {
            let said = fs::read_to_string(complaints).unwrap_or_default();
            return Err(LabError::Qemu(format!("it ended at once ({status}): {}", said.trim())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(LabError::Qemu(format!("it did not open {}", path.display())))
}

/// A new, empty layer over a disk.
pub fn layer(backing: &Path, format: &str, path: PathBuf) -> Result<PathBuf> {
    run(
        "qemu-img create",
        Command::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]).arg(backing).arg(&path),
    )?;
    Ok(path)
}
