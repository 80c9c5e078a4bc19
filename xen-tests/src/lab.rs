//! The saved machines and how a run gets one.
//!
//! ```text
//! dom0::disk -> booted (by configuration) -> installed (booted + package) -> furnished (installed + a script) -> one run
//! ```
//! A run may begin with any of the three, and is thrown away.

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::cache::{Cache, Entry, Inputs, Lock};
use crate::carrier::{Copy, UNPACK, pack};
use crate::channel::Sink;
use crate::dom0;
use crate::error::{LabError, Result};
use crate::host::{require_packages, say};
use crate::machine::{Config, Files, Machine, layer};
use crate::package::package;
use crate::wire::Start;

/// A stock Debian takes about 50 s under emulation on an idle machine.
const BOOT_LIMIT: Duration = Duration::from_secs(600);
const LOAD_LIMIT: Duration = Duration::from_secs(60);
const JOURNAL_LIMIT: Duration = Duration::from_secs(60);
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

/// A machine for one command or suite, and the folder that it leaves its logs in.
pub struct Lab {
    /// The machine.
    pub machine: Machine,
    scratch: PathBuf,
    base: PathBuf,
    // Last, so that the machine is gone before another lab may start one.
    _lock: Lock,
}

/// What a machine is given before it is saved for all that begin alike.
#[derive(Debug)]
pub struct Furniture {
    /// Puts it in place.
    pub script: String,
    /// What the script needs.
    pub copies: Vec<Copy>,
    /// Of all that the outcome depends on.
    pub hash: String,
}

/// A machine with the package installed and its daemon active, or the bare dom0; `copies` are in place.
pub fn open(cache: &Cache, config: &Config, bare: bool, copies: &[Copy]) -> Result<Lab> {
    open_furnished(cache, config, bare, None, copies)
}

/// Like [`open`]; the machine has been furnished as well.
pub fn open_furnished(
    cache: &Cache,
    config: &Config,
    bare: bool,
    furniture: Option<&Furniture>,
    copies: &[Copy],
) -> Result<Lab> {
    require_packages()?;
    // Before minutes are spent.
    for copy in copies {
        fs::metadata(&copy.from).map_err(LabError::file("cannot find", &copy.from))?;
    }
    let package = match bare {
        true => None,
        false => Some(package_beside_boot(cache, config)?),
    };
    let lock = cache.lock("machine")?;
    let disk = dom0::disk(cache)?;
    let booted = booted(cache, config, &disk)?;
    let mut base = match package {
        None => booted,
        Some(package) => installed(cache, config, &disk, &booted, &package)?,
    };
    if let Some(furniture) = furniture {
        base = furnished(cache, config, &disk, &base, furniture)?;
    }
    let scratch = cache.scratch()?;
    let mut machine = load(config, &disk.path, &base.path, &scratch, scratch.join("disk.qcow2"), copies)?;
    if !copies.is_empty() {
        machine.stage("unpacking the files", UNPACK, INSTALL_LIMIT)?;
    }
    Ok(Lab { machine, scratch, base: base.path, _lock: lock })
}

impl Lab {
    /// Runs a command; when it does not end well, keeps the logs and says where.
    pub fn exec(&mut self, cache: &Cache, start: Start, sink: &mut dyn Sink, limit: Option<Duration>) -> Result<i32> {
        let result = self.machine.exec(start, sink, limit);
        match &result {
            Ok(0) => {}
            Ok(_) => self.keep_logs(cache, true),
            Err(error) => self.keep_logs(cache, !error.is_fatal()),
        }
        result
    }

    /// dom0's journal is only there while dom0 is.
    pub fn keep_logs(&mut self, cache: &Cache, journal: bool) {
        let folder = match cache.failed() {
            Ok(folder) => folder,
            Err(error) => return say(&format!("no logs were kept: {error}")),
        };
        if journal {
            let script = "journalctl --boot --no-pager --output=short-precise";
            match self.machine.stage("reading the journal", script, JOURNAL_LIMIT) {
                Ok(journal) => drop(fs::write(folder.join("journal.log"), journal)),
                Err(error) => say(&format!("dom0's journal is not among the logs: {error}")),
            }
        }
        let files = [
            (&self.scratch, "serial.log", "serial.log"),
            (&self.scratch, "qemu.log", "qemu.log"),
            (&self.base, "serial.log", "boot-serial.log"),
        ];
        for (from, name, kept) in files {
            let _ = fs::copy(from.join(name), folder.join(kept));
        }
        say(&format!("logs are kept in {}", folder.display()));
    }
}

/// Makes what most runs need, so that it is made once and fails once.
pub fn prepare(cache: &Cache) -> Result<()> {
    package_beside_boot(cache, &Config::default()).map(drop)
}

/// Builds the package and, at the same time, boots what it will be installed in: on a fresh machine each takes minutes, and
/// the second mostly waits for a network and one processor. The machine's lock is not held while the build goes on.
fn package_beside_boot(cache: &Cache, config: &Config) -> Result<Entry> {
    thread::scope(|scope| {
        let build = scope.spawn(|| package(cache));
        let boot = || {
            let _lock = cache.lock("machine")?;
            let disk = dom0::disk(cache)?;
            booted(cache, config, &disk)
        };
        // Here and not in a thread of its own: QEMU ends with the thread that started it.
        let booted = boot();
        let package = build.join().unwrap_or_else(|panic| resume_unwind(panic))?;
        booted.map(|_| package)
    })
}

fn booted(cache: &Cache, config: &Config, disk: &Entry) -> Result<Entry> {
    let mut inputs = Inputs::default();
    inputs.add("recipe", "1").add("disk", &disk.id).add("machine", config.describe());
    cache.entry("booted", &inputs.hash(), |draft| {
        say("booting Xen and dom0 (a minute or two)");
        let overlay = layer(&disk.path.join("disk.img"), "raw", draft.join("disk.qcow2"))?;
        let carrier = draft.join("carrier");
        pack(&[], &carrier)?;
        let files = Files { kernels: &disk.path, disk: &overlay, carrier: &carrier, state: None, scratch: draft };
        let mut machine = Machine::start(config, &files, BOOT_LIMIT).inspect_err(|_| keep_serial(cache, draft))?;
        machine.stage("booting", SETTLE, BOOT_LIMIT).inspect_err(|_| keep_serial(cache, draft))?;
        machine.save(&draft.join("state"))
    })
}

/// Everything has started, nothing has failed, and what was written is on the disk.
const SETTLE: &str = "systemctl is-system-running --wait || { systemctl --no-pager list-units --failed; exit 1; }
xl info > /dev/null
xenstore-exists /local/domain/0
systemctl is-active --quiet dbus
sync";

fn installed(cache: &Cache, config: &Config, disk: &Entry, booted: &Entry, package: &Entry) -> Result<Entry> {
    let deb = Copy { from: package.path.join("xenpod.deb"), to: "/root/xenpod.deb".into() };
    let install = Furniture { script: INSTALL.into(), copies: vec![deb], hash: package.id.clone() };
    grown(cache, "installed", "installing the package in dom0", config, (disk, booted), &install)
}

fn furnished(cache: &Cache, config: &Config, disk: &Entry, base: &Entry, furniture: &Furniture) -> Result<Entry> {
    grown(cache, "furnished", "furnishing dom0 for the suites", config, (disk, base), furniture)
}

/// A saved machine out of another: something was put in place.
fn grown(
    cache: &Cache,
    kind: &str,
    what: &'static str,
    config: &Config,
    (disk, base): (&Entry, &Entry),
    furniture: &Furniture,
) -> Result<Entry> {
    let mut inputs = Inputs::default();
    inputs.add("recipe", "2").add("base", &base.id).add("furniture", &furniture.hash);
    cache.entry(kind, &inputs.hash(), |draft| {
        say(what);
        let overlay = draft.join("disk.qcow2");
        let mut machine = load(config, &disk.path, &base.path, draft, overlay, &furniture.copies)?;
        machine.stage("unpacking the files", UNPACK, INSTALL_LIMIT)?;
        let script = format!("{}\nsync", furniture.script);
        machine.stage(what, &script, INSTALL_LIMIT).inspect_err(|_| keep_serial(cache, draft))?;
        machine.save(&draft.join("state"))
    })
}

/// dpkg and not apt: what the package depends on must be in dom0's list, there is no network to fetch it from.
const INSTALL: &str = "dpkg --install /root/xenpod.deb
rm /root/xenpod.deb
for second in $(seq 60); do systemctl is-active --quiet xenpodd && break; sleep 1; done
systemctl is-active xenpodd || { systemctl --no-pager status xenpodd; journalctl --no-pager -u xenpodd; exit 1; }";

fn load(
    config: &Config,
    kernels: &Path,
    base: &Path,
    scratch: &Path,
    overlay: PathBuf,
    copies: &[Copy],
) -> Result<Machine> {
    let overlay = layer(&base.join("disk.qcow2"), "qcow2", overlay)?;
    let carrier = scratch.join("carrier");
    pack(copies, &carrier)?;
    let state = base.join("state");
    let files = Files { kernels, disk: &overlay, carrier: &carrier, state: Some(&state), scratch };
    Machine::start(config, &files, LOAD_LIMIT)
}

fn keep_serial(cache: &Cache, draft: &Path) {
    if let Ok(folder) = cache.failed() {
        for name in ["serial.log", "qemu.log"] {
            let _ = fs::copy(draft.join(name), folder.join(name));
        }
        say(&format!("logs are kept in {}", folder.display()));
    }
}

/// A stage's limit, as an error would name it.
pub fn limit(seconds: u64) -> Result<Duration> {
    if seconds == 0 {
        return Err(LabError::Usage("a timeout of 0 s leaves no time".into()));
    }
    Ok(Duration::from_secs(seconds))
}
