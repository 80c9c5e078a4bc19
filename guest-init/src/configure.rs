//! The pod's own settings: entropy, name, files in /etc, sysctls, clock, network.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rustix::time::{ClockId, Timespec};
use xenpod_protocol::message::{Configure, ResolvConf};

use crate::container::mounts::{POD_ETC, make_private};
use crate::disks::Halt;
use crate::error::Error;
use crate::{network, sys};

/// Less cannot make the kernel's generator ready (BLAKE2S_HASH_SIZE of drivers/char/random.c).
const SEED_MIN: usize = 32;

/// Does all of it. May be called again after [`Halt::Wait`].
pub fn apply(wanted: &Configure) -> Result<(), Halt> {
    entropy(&wanted.seed)?;
    rustix::system::sethostname(wanted.hostname.as_bytes())
        .map_err(Error::system("set", format!("host name {:?}", wanted.hostname)))?;
    // The one line that a console shows of a pod that is well.
    eprintln!("guest-init {}: host {}", env!("CARGO_PKG_VERSION"), wanted.hostname);
    files(wanted)?;
    if wanted.wallclock_ns != 0 {
        let (seconds, nanoseconds) = (wanted.wallclock_ns / 1_000_000_000, wanted.wallclock_ns % 1_000_000_000);
        let time = Timespec { tv_sec: seconds as i64, tv_nsec: nanoseconds as i64 };
        rustix::time::clock_settime(ClockId::Realtime, time).map_err(Error::system("set", "the clock"))?;
    }
    network::configure(&wanted.interfaces)?;
    for (name, value) in &wanted.sysctls {
        let path = sysctl_path(name)?;
        fs::write(&path, value).map_err(Error::io("set", format!("sysctl {name} to {value:?}")))?;
    }
    Ok(())
}

fn entropy(seed: &[u8]) -> Result<(), Error> {
    if seed.len() < SEED_MIN {
        let value = format!("{} bytes", seed.len());
        return Err(Error::Invalid { what: "seed", value, why: "at least 32 bytes are needed" });
    }
    let random = File::options().write(true).open("/dev/urandom").map_err(Error::io("open", "/dev/urandom"))?;
    sys::add_entropy(&random, seed).map_err(Error::system("seed", "the kernel's random number generator"))
}

fn files(wanted: &Configure) -> Result<(), Error> {
    make_private(Path::new(POD_ETC), 0o755)?;
    let hosts: String = wanted.hosts.iter().map(|line| format!("{line}\n")).collect();
    let resolv_conf = resolv_conf(&wanted.resolv_conf.clone().unwrap_or_default());
    for (name, text) in [("hosts", hosts), ("hostname", format!("{}\n", wanted.hostname)), ("resolv.conf", resolv_conf)]
    {
        let path = Path::new(POD_ETC).join(name);
        fs::write(&path, text).map_err(Error::io("write", path.display().to_string()))?;
    }
    Ok(())
}

/// The text of /etc/resolv.conf.
fn resolv_conf(wanted: &ResolvConf) -> String {
    let mut text = String::new();
    if !wanted.searches.is_empty() {
        text += &format!("search {}\n", wanted.searches.join(" "));
    }
    for server in &wanted.servers {
        text += &format!("nameserver {server}\n");
    }
    if !wanted.options.is_empty() {
        text += &format!("options {}\n", wanted.options.join(" "));
    }
    text
}

/// The file of a sysctl: `net.ipv4.ip_forward`, or with slashes where a name has dots of its own.
pub fn sysctl_path(name: &str) -> Result<PathBuf, Error> {
    let path = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    if path.split('/').any(|part| part.is_empty() || part == "..") {
        return Err(Error::Invalid { what: "sysctl", value: name.into(), why: "not a name like net.core.somaxconn" });
    }
    Ok(Path::new("/proc/sys").join(path))
}

#[cfg(test)]
mod tests;
