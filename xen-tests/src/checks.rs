//! The tests that need no Xen: formatting, lints, unit tests.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::error::{LabError, Result};
use crate::host::{checkout, say};
use crate::tally::Tally;

/// A lint: one test.
#[derive(Debug, Clone, Copy)]
pub struct Lint {
    name: &'static str,
    arguments: &'static [&'static str],
}

/// Formatting: a second.
pub const FORMAT: Lint = Lint { name: "lint::fmt", arguments: &["fmt", "--all", "--check"] };

/// Lints: minutes, all of them computing.
pub const CLIPPY: Lint = Lint {
    name: "lint::clippy",
    arguments: &["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"],
};

impl Lint {
    /// Whether a filter leaves it.
    pub fn is_wanted(self, filter: Option<&str>) -> bool {
        filter.is_none_or(|filter| self.name.contains(filter))
    }

    /// Runs it, out of the way of what else is running; its output comes when it is over.
    pub fn run(self) -> Verdict {
        say(&format!("cargo {}", self.arguments.join(" ")));
        let began = Instant::now();
        let mut command = Command::new("nice");
        command.args(["-n", "19", "cargo"]).args(self.arguments);
        let output = at_home(&mut command).stdin(Stdio::null()).output();
        Verdict { name: self.name, time: began.elapsed(), output }
    }
}

/// How a lint ended.
#[derive(Debug)]
pub struct Verdict {
    name: &'static str,
    time: Duration,
    output: std::io::Result<Output>,
}

impl Verdict {
    /// Tells it, and counts it.
    pub fn count(self, tally: &mut Tally) -> Result<()> {
        let output = self.output.map_err(not_started)?;
        eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        match output.status.success() {
            true => tally.passed(self.name, self.time),
            false => tally.failed(self.name, "see above"),
        }
        Ok(())
    }
}

/// The unit tests, by nextest when it is there.
pub fn units(filter: Option<&str>, tally: &mut Tally) -> Result<()> {
    let nextest = cargo(&["nextest", "--version"]).output().is_ok_and(|output| output.status.success());
    let mut command = if nextest {
        let mut command = cargo(&["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests", "pass"]);
        command.args(["--status-level", "fail", "--final-status-level", "fail", "--hide-progress-bar"]);
        command
    } else {
        cargo(&["test", "--workspace", "--no-fail-fast", "--quiet"])
    };
    command.args(filter);
    say(if nextest { "unit tests, by cargo nextest" } else { "unit tests, by cargo test" });
    // One pipe for both streams keeps their order: nextest reports on one of them, cargo test on the other.
    let (output, input) = std::io::pipe().map_err(not_started)?;
    command.stdin(Stdio::null()).stdout(input.try_clone().map_err(not_started)?).stderr(input);
    let mut child = command.spawn().map_err(not_started)?;
    // Its ends of the pipe must go, or it never ends.
    drop(command);
    let (passed, failed) = follow(output);
    let status = child.wait().map_err(not_started)?;
    tally.add(passed, failed);
    if !status.success() && failed == 0 {
        tally.failed("unit", "the unit tests could not be built or run: see above");
    }
    Ok(())
}

/// Passes the output on, and counts.
fn follow(output: impl Read) -> (u64, u64) {
    let (mut passed, mut failed) = (0, 0);
    for line in BufReader::new(output).lines().map_while(|line| line.ok()) {
        let (more, less) = count(&line);
        passed += more;
        failed += less;
        // Its own closing line would look like ours.
        eprintln!("{line}");
    }
    (passed, failed)
}

/// The figures of a closing line: `Summary [1.2s] 8 tests run: 7 passed, 1 failed, 0 skipped` of nextest,
/// `test result: ok. 7 passed; 0 failed; ...` of each program under cargo test.
fn count(line: &str) -> (u64, u64) {
    let rest = match line.trim_start() {
        line if line.starts_with("Summary [") => line.split_once(": ").map(|(_, rest)| rest),
        line => line.strip_prefix("test result: ").and_then(|line| line.split_once(". ")).map(|(_, rest)| rest),
    };
    let figure = |kind: &str| {
        rest?.split([',', ';']).find_map(|part| {
            let mut words = part.split_whitespace();
            let number = words.next()?.parse().ok()?;
            (words.next()? == kind).then_some(number)
        })
    };
    (figure("passed").unwrap_or(0), figure("failed").unwrap_or(0))
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    at_home(command.args(arguments));
    command
}

fn at_home(command: &mut Command) -> &mut Command {
    command.current_dir(checkout()).env("CARGO_TERM_COLOR", "never")
}

fn not_started(source: std::io::Error) -> LabError {
    LabError::Start { program: "cargo".into(), source }
}

#[cfg(test)]
#[path = "checks_tests.rs"]
mod tests;
