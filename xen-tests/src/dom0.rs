//! The dom0 on disk. root: a Debian system as a tar archive. disk: that, our overlay and our agent as an ext4 image,
//! with Xen, the kernel and its initial RAM disk beside it for QEMU to load.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{Cache, Entry, Inputs};
use crate::error::{LabError, Result};
use crate::host::{checkout, run, say};

/// The release that the lab's dom0 is.
const SUITE: &str = "bookworm";

/// Left out of every package: nobody reads it there, and it would be a third of the disk.
const EXCLUDED: [&str; 9] = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/lib/modules/*/kernel/sound/*",
    "/lib/modules/*/kernel/drivers/gpu/*",
    "/lib/modules/*/kernel/drivers/media/*",
    "/lib/modules/*/kernel/drivers/net/ethernet/*",
    "/lib/modules/*/kernel/drivers/net/wireless/*",
];

/// Sparse: only what is written takes room.
const DISK_SIZE: &str = "8G";

/// The disk of a dom0 that has never run.
pub fn disk(cache: &Cache) -> Result<Entry> {
    let root = root(cache)?;
    let here = checkout().join("xen-tests");
    let agent = agent()?;
    let mut inputs = Inputs::default();
    inputs.add("recipe", "2").add("root", &root.id).add("size", DISK_SIZE);
    // The agent by its sources, so that builds in different target folders share a disk.
    for source in ["dom0/overlay", "dom0/masked", "src/agent", "src/wire.rs"] {
        inputs.add_tree(&here, source)?;
    }
    cache.entry("disk", &inputs.hash(), |draft| {
        say("making dom0's disk");
        let masked = fs::read_to_string(here.join("dom0/masked")).map_err(LabError::file("cannot read", "masked"))?;
        let units: Vec<&str> = masked.lines().filter(|line| !line.starts_with('#')).collect();
        // Under fakeroot the files keep root as their owner even when the lab is not run by root.
        run(
            "making dom0's disk",
            Command::new("fakeroot")
                .args(["sh", "-euc", MAKE_DISK, "make-disk"])
                .current_dir(draft)
                .env("ROOT_TAR", root.path.join("root.tar"))
                .env("OVERLAY", here.join("dom0/overlay"))
                .env("AGENT", &agent)
                .env("MASKED", units.join(" "))
                .env("DISK_SIZE", DISK_SIZE),
        )
        .map(drop)
    })
}

const MAKE_DISK: &str = r#"
PATH=$PATH:/usr/sbin:/sbin
mkdir root
tar -C root -xf "$ROOT_TAR" --exclude='./dev/*'
cp -r --no-preserve=ownership "$OVERLAY/." root/
chmod -R u=rwX,go=rX root/etc/systemd root/etc/default root/etc/modules-load.d
install -D -m 755 "$AGENT" root/usr/local/sbin/xen-lab-agent
system=root/etc/systemd/system
mkdir -p $system/multi-user.target.wants
ln -sf ../xen-lab-agent.service $system/multi-user.target.wants/
for unit in $MASKED; do ln -sf /dev/null "$system/$unit"; done
rm -rf root/var/log/journal
gzip -dc root/boot/xen-4.17-amd64.gz > xen.elf
cp root/boot/vmlinuz-* vmlinuz
cp root/boot/initrd.img-* initrd.img
truncate -s "$DISK_SIZE" disk.img
mke2fs -q -t ext4 -L dom0 -m 0 -d root disk.img
rm -rf root
chmod 444 disk.img
"#;

fn root(cache: &Cache) -> Result<Entry> {
    let here = checkout().join("xen-tests/dom0");
    let list = fs::read_to_string(here.join("packages")).map_err(LabError::file("cannot read", "packages"))?;
    let packages: Vec<&str> =
        list.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace).collect();
    let initramfs = here.join("overlay/etc/initramfs-tools");
    let lock =
        fs::read_to_string(here.join("packages.lock")).map_err(LabError::file("cannot read", "packages.lock"))?;
    let mut inputs = Inputs::default();
    inputs.add("recipe", "2").add("lock", &lock).add("suite", SUITE).add("packages", packages.join(" "));
    inputs.add("excluded", EXCLUDED.join(" ")).add_tree(&here, "overlay/etc/initramfs-tools")?;
    cache.entry("root", &inputs.hash(), |draft| {
        let sources = sources();
        if !sources.is_empty() {
            fs::write(draft.join("sources.list"), &sources).map_err(LabError::file("cannot write", draft))?;
        }
        let install = |pins: &str| {
            fs::write(draft.join("pins"), pins).map_err(LabError::file("cannot write", draft))?;
            let mut command = Command::new("mmdebstrap");
            command.current_dir(draft).args(["--variant=minbase", "--quiet"]);
            command.arg(format!("--include={}", packages.join(",")));
            command.args(EXCLUDED.map(|pattern| format!("--dpkgopt=path-exclude={pattern}")));
            command.arg(r#"--aptopt=Acquire::Languages "none""#);
            command.arg(r#"--setup-hook=install -D -m 644 pins "$1/etc/apt/preferences.d/pins""#);
            // The kernel's package makes the initial RAM disk as it is installed: its settings must be there before.
            command.arg(format!("--essential-hook=copy-in \"{}\" /etc", initramfs.display()));
            command.arg(
                r#"--customize-hook=rm "$1/etc/apt/preferences.d/pins"; chroot "$1" dpkg-query -W > packages.txt"#,
            );
            command.args([SUITE, "root.tar"]);
            if !sources.is_empty() {
                command.arg("sources.list");
            }
            run("installing dom0's Debian", &mut command)
        };
        say("installing dom0's Debian (a minute or two)");
        // What is left of the lock in the archive may not fit together: then the newest of all does.
        if let Err(error) = install(&pins(&lock)) {
            say(&format!("{error}; trying without xen-tests/dom0/packages.lock"));
            install("")?;
        }
        let packages = draft.join("packages.txt");
        let packages = fs::read_to_string(&packages).map_err(LabError::file("cannot read", &packages))?;
        let moved = moved(&lock, &packages);
        if !moved.is_empty() {
            let list = moved.join(", ");
            say(&format!(
                "dom0 differs from xen-tests/dom0/packages.lock, whose versions are not all to be had any more: {list}"
            ));
        }
        Ok(())
    })
}

/// APT's preferences that ask for the versions of the lock, also where the archive has newer ones. A version that the archive has dropped asks for nothing.
fn pins(lock: &str) -> String {
    let stanza = |(name, version): (&str, &str)| {
        let name = name.split(':').next().unwrap_or(name);
        format!("Package: {name}\nPin: version {version}\nPin-Priority: 1001\n\n")
    };
    versions(lock).map(stanza).collect()
}

/// How what was installed differs from the lock: `NAME VERSION`, `-` for none.
fn moved(lock: &str, installed: &str) -> Vec<String> {
    let (locked, installed): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (versions(lock).collect(), versions(installed).collect());
    let names: BTreeSet<_> = locked.keys().chain(installed.keys()).collect();
    let differs = names.into_iter().filter(|name| locked.get(*name) != installed.get(*name));
    differs.map(|name| format!("{name} {}", installed.get(name).unwrap_or(&"-"))).collect()
}

/// The lines of `dpkg-query -W`: a package and its version.
fn versions(list: &str) -> impl Iterator<Item = (&str, &str)> {
    list.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('\t'))
}

/// The host's own sources of the suite, when it has them: whatever reaches them here will reach them for dom0.
fn sources() -> String {
    let format = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)";
    let targets = Command::new("apt-get")
        .args(["indextargets", "--format", format, "Created-By: Packages", "Origin: Debian"])
        .output();
    let Ok(targets) = targets else { return String::new() };
    String::from_utf8_lossy(&targets.stdout)
        .lines()
        .filter(|line| line.split(' ').nth(3).is_some_and(|release| release.starts_with(SUITE)))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Cargo builds both programs of this crate into one folder.
fn agent() -> Result<PathBuf> {
    let lab = std::env::current_exe().map_err(LabError::file("cannot find", Path::new("the lab's own program")))?;
    let agent = lab.with_file_name("xen-lab-agent");
    if !agent.is_file() {
        return Err(LabError::Usage(format!("{} is not built: run xen-tests/lab, which builds it", agent.display())));
    }
    Ok(agent)
}

#[cfg(test)]
#[path = "dom0_tests.rs"]
mod tests;
