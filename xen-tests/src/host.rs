//! The machine that the lab runs on: its programs, its Debian packages, and how programs are run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::geteuid;

use crate::error::{LabError, Result};

/// `PACKAGE PROGRAM-OR-FILE` lines.
const PACKAGES: &str = include_str!("../host-packages");

/// Says what the lab is doing, on the error stream: the output belongs to the command.
pub fn say(text: &str) {
    eprintln!("lab: {text}");
}

/// The folder of the checkout: told by the script, because one target folder may serve several checkouts.
pub fn checkout() -> PathBuf {
    if let Some(told) = std::env::var_os("XEN_LAB_CHECKOUT") {
        return told.into();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Runs a program to its end; a failure shows the end of its output.
pub fn run(stage: &str, command: &mut Command) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| LabError::Start { program: command.get_program().to_string_lossy().into(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = said.lines().collect();
    let end = lines[lines.len().saturating_sub(40)..].join("\n");
    Err(LabError::Tool { program: stage.to_owned(), status: output.status, output: end })
}

/// Runs a program that speaks for itself: its output goes to the lab's error stream.
pub fn run_visibly(stage: &str, command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .map_err(|source| LabError::Start { program: command.get_program().to_string_lossy().into(), source })?;
    if status.success() {
        return Ok(());
    }
    Err(LabError::Tool { program: stage.to_owned(), status, output: String::new() })
}

/// Installs what is missing when root, else names it.
pub fn require_packages() -> Result<()> {
    let missing = missing(PACKAGES, in_path);
    if missing.is_empty() {
        return Ok(());
    }
    if !geteuid().is_root() {
        return Err(LabError::MissingPackages(missing.join(" ")));
    }
    install(&missing)
}

/// `apt-get install`, after one `apt-get update` if the lists on this machine do not have it.
pub fn install(packages: &[String]) -> Result<()> {
    say(&format!("installing {}", packages.join(" ")));
    let install = || {
        run(
            "apt-get install",
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["install", "-y", "-q", "--no-install-recommends"])
                .args(packages),
        )
    };
    if install().is_err() {
        run("apt-get update", Command::new("apt-get").args(["update", "-q"]))?;
        install()?;
    }
    Ok(())
}

fn missing(list: &str, present: impl Fn(&str) -> bool) -> Vec<String> {
    list.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, shown_by)| !present(shown_by))
        .map(|(package, _)| package.to_owned())
        .collect()
}

/// Whether a program is in the path, or where only root's path looks; or whether a file is there.
pub fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
