//! What `CheckHost` looks at: whether this host can run pods, and what to do where it cannot.

use std::path::Path;

use crate::config::Config;
use crate::engine::world::{DomainError, Domains};
use crate::kernels::{KernelStoreError, Kernels, Proof};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// `ok`, `warn` or `fail`.
    pub verdict: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it, or empty.
    pub remedy: String,
}

fn ok(name: &'static str, found: impl Into<String>) -> Check {
    Check { name, verdict: "ok", found: found.into(), remedy: String::new() }
}

fn fail(name: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { name, verdict: "fail", found: found.into(), remedy: remedy.into() }
}

/// The least free memory for a small pod, in MiB.
const SMALL_POD: u64 = 64;

/// Looks.
pub async fn checks(domains: &dyn Domains, kernels: &Kernels, config: &Config) -> Vec<Check> {
    let mut all = Vec::new();
    match domains.host().await {
        Ok(host) => {
            all.push(ok("xen", format!("Xen {}", host.xen_version)));
            all.push(if host.hap {
                ok("hap", "hardware-assisted paging")
            } else {
                fail(
                    "hap",
                    "none",
                    "PVH domains need EPT or NPT: enable virtualisation in the firmware, or use another machine",
                )
            });
            all.push(if host.pvh {
                ok("pvh", "PVH domains can be built")
            } else {
                fail("pvh", "PVH domains cannot be built", "this Xen offers no hvm-3.0-x86_64 with HAP: see `xl info`")
            });
            all.push(if host.xenstored.is_empty() {
                fail("xenstored", "no answer", "systemctl start xenstored, or /etc/init.d/xen start")
            } else {
                ok("xenstored", host.xenstored.clone())
            });
            let free = host.free_memory_kib / 1024;
            all.push(if free >= SMALL_POD {
                ok("memory", format!("{free} MiB free"))
            } else {
                let remedy = "give dom0 less (dom0_mem= on Xen's command line, or xl mem-set 0), or stop domains";
                Check { name: "memory", verdict: "warn", found: format!("{free} MiB free"), remedy: remedy.into() }
            });
        }
        Err(error) => {
            let remedy = "boot this machine with Xen (the package xen-system-amd64), and run xenpodd in its dom0";
            all.push(fail("xen", error.to_string(), remedy));
        }
    }
    for (device, module) in [
        ("/dev/xen/privcmd", "xen-privcmd"),
        ("/dev/xen/evtchn", "xen-evtchn"),
        ("/dev/xen/gntdev", "xen-gntdev"),
        ("/dev/loop-control", "loop"),
    ] {
        all.push(if Path::new(device).exists() {
            ok("device", device)
        } else {
            fail("device", format!("{device} is not there"), format!("modprobe {module}"))
        });
    }
    for (module, what) in [("xen_blkback", "disks"), ("xen_netback", "network"), ("bridge", "network")] {
        all.push(if Path::new("/sys/module").join(module).exists() {
            ok("module", format!("{module} ({what})"))
        } else {
            let name = module.replace('_', "-");
            fail("module", format!("{module} is not loaded ({what})"), format!("modprobe {name}"))
        });
    }
    all.push(kernel(kernels));
    all.push(if config.boot_image.exists() {
        ok("boot-image", config.boot_image.display().to_string())
    } else {
        let found = format!("{} is not there", config.boot_image.display());
        fail("boot-image", found, "install the package again, or set `boot_image` in the configuration")
    });
    let mke2fs = ["/sbin/mke2fs", "/usr/sbin/mke2fs"].iter().any(|p| Path::new(p).exists());
    all.push(if mke2fs {
        ok("mke2fs", "scratch disks can be made")
    } else {
        fail("mke2fs", "mke2fs is not there", "apt install e2fsprogs")
    });
    all
}

/// The kernel of new pods.
fn kernel(kernels: &Kernels) -> Check {
    let default = match kernels.default() {
        Ok(default) => default,
        Err(error @ KernelStoreError::NoDefault { .. }) => {
            let said = error.to_string();
            let (found, remedy) = said.rsplit_once("; ").unwrap_or((&said, ""));
            return fail("kernel", found, remedy);
        }
        Err(error) => return fail("kernel", error.to_string(), "`xenpodctl kernel ls` shows what there is"),
    };
    let found = format!("{}, Linux {}, {}", default.name, default.version, default.digest);
    let lacks: Vec<&String> = default.options.iter().filter(|(_, v)| *v != "y").map(|(name, _)| name).collect();
    let warn = |found, remedy: &str| Check { name: "kernel", verdict: "warn", found, remedy: remedy.into() };
    match default.proof {
        // Of the file that the configuration names an administrator knows what it is.
        Proof::Unchecked if !default.packaged => {
            warn(format!("{found}: its options are not known"), "import it with its configuration: --config")
        }
        _ if !lacks.is_empty() => {
            let lacks: Vec<&str> = lacks.into_iter().map(String::as_str).collect();
            let remedy = "pods may not run on it; build it with them, or make another one the default";
            warn(format!("{found}: built without {}", lacks.join(", ")), remedy)
        }
        _ => ok("kernel", found),
    }
}

/// The word and the sentence for `HostState` and `HostMessage`.
#[must_use]
pub fn host_state(
    host: &Result<crate::engine::world::HostView, DomainError>,
    kernels: &Kernels,
) -> (&'static str, String) {
    match host {
        Err(error) => ("no-xen", error.to_string()),
        Ok(host) if !host.pvh => ("degraded", "PVH domains cannot be built on this host".into()),
        Ok(host) if host.xenstored.is_empty() => ("degraded", "xenstored does not answer".into()),
        Ok(host) if !host.boot_image => ("degraded", "the boot image cannot be read".into()),
        Ok(_) => match kernels.default() {
            Ok(_) => ("ready", String::new()),
            Err(error) => ("degraded", error.to_string()),
        },
    }
}
