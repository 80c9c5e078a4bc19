//! The Debian package of the workspace: kernel, boot image, daemon and command line, put together by `cargo deb`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{Cache, Entry, Inputs};
use crate::error::{LabError, Result};
use crate::host::{checkout, in_path, run, run_visibly, say};

/// All that goes into the package, below the checkout.
const SOURCES: [&str; 10] = [
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "toolstack",
    "guest-init",
    "pvh-boot/build",
    "pvh-boot/pack",
    "pvh-boot/config",
    "pvh-boot/patches",
    "systemd",
];

/// The one that the package's metadata is written for.
const CARGO_DEB: &str = "3.8.0";

/// guest-init runs where there is no loader for shared libraries.
const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// The package, in the entry's `xenpod.deb`.
pub fn package(cache: &Cache) -> Result<Entry> {
    let checkout = checkout();
    let manifest = checkout.join("toolstack/daemon/Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(LabError::file("cannot read", &manifest))?;
    if !text.contains("[package.metadata.deb]") {
        return Err(LabError::NoPackage(format!("{} describes none", manifest.display())));
    }
    let _lock = cache.lock("package")?;
    let mut inputs = Inputs::default();
    inputs.add("recipe", "2").add("cargo-deb", CARGO_DEB);
    for source in SOURCES {
        inputs.add_tree(&checkout, source)?;
    }
    cache.entry("package", &inputs.hash(), |draft| {
        say("building the package");
        // Where the package's metadata expects them, whatever the target folder is.
        let boot = checkout.join("pvh-boot/out");
        run_visibly("building the kernel", Command::new(checkout.join("pvh-boot/build")).arg(&boot))?;
        let (init, image) = (guest_init(&checkout)?, boot.join("boot.img"));
        run_visibly("packing the boot image", Command::new(checkout.join("pvh-boot/pack")).arg(init).arg(image))?;
        run_visibly(
            "building the daemon",
            cargo(&checkout).args(["build", "--release", "-p", "xenpodd", "-p", "xenpodctl"]),
        )?;
        manuals(&boot)?;
        let deb = draft.join("xenpod.deb");
        let mut command = Command::new(cargo_deb(cache)?);
        command.current_dir(&checkout).args(["deb", "--no-build", "-p", "xenpodd", "--output"]).arg(&deb);
        run("cargo deb", &mut command).map(drop)
    })
}

/// The manual pages, and the completions of the command line, as it describes itself.
fn manuals(out: &Path) -> Result<()> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| checkout().join("target"), PathBuf::from);
    let program = target.join("release/xenpodctl");
    let man = out.join("man");
    // A page of what is no more would be packaged as well.
    if man.exists() {
        fs::remove_dir_all(&man).map_err(LabError::file("cannot remove", &man))?;
    }
    let sources = checkout().join("systemd");
    run("xenpodctl manpages", Command::new(&program).arg("manpages").arg("--sources").arg(sources).arg(man))?;
    let completions = out.join("completions");
    fs::create_dir_all(&completions).map_err(LabError::file("cannot make", &completions))?;
    for (shell, name) in [("bash", "xenpodctl"), ("zsh", "_xenpodctl"), ("fish", "xenpodctl.fish")] {
        let said = run("xenpodctl completions", Command::new(&program).args(["completions", shell]))?;
        let file = completions.join(name);
        fs::write(&file, said.stdout).map_err(LabError::file("cannot write", &file))?;
    }
    Ok(())
}

/// Returns the program's path.
fn guest_init(checkout: &Path) -> Result<PathBuf> {
    let output = run(
        "building guest-init",
        cargo(checkout)
            .args(["build", "-p", "guest-init", "--profile", "guest", "--target", GUEST_TARGET])
            .args(["--message-format", "json-render-diagnostics"])
            .env("RUSTFLAGS", "-C target-feature=+crt-static"),
    )?;
    let messages = String::from_utf8_lossy(&output.stdout);
    let built = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .next_back();
    built.ok_or_else(|| LabError::NoPackage("cargo built guest-init and did not say where".into()))
}

/// The program of `cargo deb`: the one at hand if it is ours, else one of our own, built once.
fn cargo_deb(cache: &Cache) -> Result<PathBuf> {
    let at_hand = || Command::new("cargo-deb").arg("--version").output().ok();
    if in_path("cargo-deb") && at_hand().is_some_and(|said| String::from_utf8_lossy(&said.stdout).contains(CARGO_DEB)) {
        return Ok("cargo-deb".into());
    }
    let folder = cache.root().join("tools").join(format!("cargo-deb-{CARGO_DEB}"));
    let program = folder.join("bin/cargo-deb");
    if !program.is_file() {
        say("building cargo-deb (once)");
        let mut command = Command::new("cargo");
        command.args(["install", "cargo-deb", "--locked", "--quiet", "--version", CARGO_DEB, "--root"]).arg(&folder);
        run_visibly("building cargo-deb", &mut command)?;
    }
    Ok(program)
}

fn cargo(checkout: &Path) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(checkout).arg("--quiet");
    command
}
