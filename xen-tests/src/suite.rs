//! Suites: shell scripts of tests, run in dom0. What a suite needs stands in its first comment:
//!
//! ```text
//! # lab: OPTIONS        as for `lab run`; each such line is a run of its own
//! # copy: SRC:DST       SRC below the checkout
//! # limit: SECONDS      for one test
//! # furnish: SCRIPT      of this folder; runs once, for all suites that name it, and each begins with what it left
//! ```

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;

use crate::cache::{Cache, Inputs};
use crate::carrier::Copy;
use crate::channel::Sink;
use crate::commands::Options;
use crate::error::{LabError, Result};
use crate::host::checkout;
use crate::lab::{self, Furniture};
use crate::tally::Tally;
use crate::wire::Start;

/// Where the suites are in dom0.
const FOLDER: &str = "/opt/lab/suites";

/// How long one test may take unless its suite says otherwise. Emulation is slow, and other work may share the host.
const TEST_LIMIT: u64 = 300;

/// One run of one suite.
#[derive(Debug)]
pub struct Suite {
    name: String,
    variant: String,
    options: Options,
    limit: u64,
    furnish: Option<String>,
    tests: Vec<String>,
}

#[derive(Debug, Parser)]
#[command(no_binary_name = true)]
struct Header {
    #[command(flatten)]
    options: Options,
}

/// All suites, in the order of their names, with the tests that a filter leaves.
pub fn all(filter: Option<&str>) -> Result<Vec<Suite>> {
    let mut files = files()?;
    files.retain(|file| is_suite(file));
    let mut suites = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(LabError::file("cannot read", &file))?;
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        suites.extend(parse(&name, &text)?);
    }
    if let Some(filter) = filter {
        for suite in &mut suites {
            let title = suite.title();
            suite.tests.retain(|test| full_name(&title, test).contains(filter));
        }
        suites.retain(|suite| !suite.tests.is_empty());
    }
    Ok(suites)
}

fn folder() -> PathBuf {
    checkout().join("xen-tests/suites")
}

/// All that is in the folder, in order.
fn files() -> Result<Vec<PathBuf>> {
    let folder = folder();
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(LabError::file("cannot list", &folder))?;
    files.sort();
    Ok(files)
}

/// `NN-name.sh`; the others in the folder are what suites use.
fn is_suite(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".sh") && name.starts_with(|first: char| first.is_ascii_digit())
}

fn parse(name: &str, text: &str) -> Result<Vec<Suite>> {
    let header = |key: &str| {
        let key = format!("# {key}:");
        text.lines()
            .take_while(|line| line.starts_with('#'))
            .filter_map(move |line| line.strip_prefix(&key).map(str::trim))
            .collect::<Vec<_>>()
    };
    let wrong = |what: &str, error: &dyn std::fmt::Display| LabError::Usage(format!("suite {name}: {what}: {error}"));
    let mut copies = Vec::new();
    for copy in header("copy") {
        let mut copy: Copy = copy.parse().map_err(|error: String| wrong(copy, &error))?;
        copy.from = checkout().join(copy.from);
        copies.push(copy);
    }
    let limit = match header("limit").first() {
        Some(limit) => limit.parse().map_err(|error| wrong("limit", &error))?,
        None => TEST_LIMIT,
    };
    let furnish = header("furnish").first().map(|script| (*script).to_owned());
    let tests: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_suffix("() {"))
        .filter(|name| name.starts_with("test_"))
        .map(str::to_owned)
        .collect();
    let mut variants = header("lab");
    if variants.is_empty() {
        variants.push("");
    }
    variants
        .into_iter()
        .map(|variant| {
            let mut options =
                Header::try_parse_from(variant.split_whitespace()).map_err(|error| wrong(variant, &error))?.options;
            options.copies.extend(copies.iter().cloned());
            let (name, variant) = (name.to_owned(), variant.to_owned());
            Ok(Suite { name, variant, options, limit, furnish: furnish.clone(), tests: tests.clone() })
        })
        .collect()
}

impl Suite {
    /// `10-lab`, or `10-lab[--icount]` when the machine is not the common one.
    fn title(&self) -> String {
        let told: Vec<&str> = self.variant.split_whitespace().filter(|word| *word != "--no-package").collect();
        if told.is_empty() { self.name.clone() } else { format!("{}[{}]", self.name, told.join(" ")) }
    }

    /// Whether its dom0 has our package.
    pub fn needs_package(&self) -> bool {
        !self.options.no_package
    }

    /// Tells each test as failed, for one reason.
    pub fn give_up(&self, reason: &str, tally: &mut Tally) {
        for test in &self.tests {
            tally.failed(&full_name(&self.title(), test), reason);
        }
    }

    /// Runs the tests in a machine of their own. What the lab itself cannot do is told as a failure of each test left.
    pub fn run(&self, cache: &Cache, tally: &mut Tally) {
        let mut report = Report { title: self.title(), left: self.tests.clone(), line: Vec::new(), tally };
        if let Err(error) = self.run_in_machine(cache, &mut report) {
            let left = std::mem::take(&mut report.left);
            for test in left {
                report.tally.failed(&full_name(&report.title, &test), &error.to_string());
            }
        }
    }

    fn run_in_machine(&self, cache: &Cache, report: &mut Report) -> Result<()> {
        let config = self.options.config()?;
        let mut copies = vec![Copy { from: folder(), to: FOLDER.into() }];
        copies.extend(self.options.copies.iter().cloned());
        let furniture = self.furnish.as_deref().map(furniture).transpose()?;
        let mut lab = lab::open_furnished(cache, &config, self.options.no_package, furniture.as_ref(), &copies)?;
        let mut argv = vec![format!("{FOLDER}/runner.sh"), self.name.clone(), self.limit.to_string()];
        argv.extend(self.tests.iter().cloned());
        let failures = report.tally.failures();
        let limit = Duration::from_secs(self.limit * (self.tests.len() as u64 + 1));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let env = vec![("LAB_HOST_TIME".into(), now.to_string())];
        let start = Start { argv, env, tty: None, stdin: false };
        let status = lab.exec(cache, start, report, Some(limit))?;
        if status != 0 {
            return Err(LabError::Stage { what: "the suite's runner", status, output: String::new() });
        }
        if report.tally.failures() > failures {
            lab.keep_logs(cache, true);
        }
        match report.left.is_empty() {
            true => Ok(()),
            false => Err(LabError::Usage("the suite's setup failed".into())),
        }
    }
}

/// What that script puts in place. It may use any file of the folder that is not a suite.
fn furniture(script: &str) -> Result<Furniture> {
    let folder = folder();
    let mut inputs = Inputs::default();
    inputs.add("script", script);
    for file in files()?.iter().filter(|file| !is_suite(file)) {
        inputs.add_tree(&folder, &file.file_name().unwrap_or_default().to_string_lossy())?;
    }
    let copies = vec![Copy { from: folder, to: FOLDER.into() }];
    Ok(Furniture { script: format!("{FOLDER}/{script}"), copies, hash: inputs.hash() })
}

fn full_name(title: &str, test: &str) -> String {
    format!("{title}::{}", test.strip_prefix("test_").unwrap_or(test))
}

/// Reads the runner's lines as they come.
struct Report<'a> {
    title: String,
    left: Vec<String>,
    line: Vec<u8>,
    tally: &'a mut Tally,
}

impl Report<'_> {
    fn take(&mut self, line: &str) {
        let Some(verdict) = line.strip_prefix("@@ ") else {
            println!("{line}");
            return;
        };
        let mut words = verdict.split(' ');
        let (verdict, test, time) = (words.next(), words.next().unwrap_or_default(), words.next());
        let name = full_name(&self.title, test);
        self.left.retain(|left| left != test);
        let time = Duration::from_millis(time.and_then(|time| time.parse().ok()).unwrap_or(0));
        match (verdict, test) {
            // It is no test, but what it fails is told.
            (Some("pass"), "setup") => {}
            (Some("pass"), _) => self.tally.passed(&name, time),
            _ => self.tally.failed(&name, "see above"),
        }
    }
}

impl Sink for Report<'_> {
    fn stdout(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.line.extend(bytes);
        while let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.line.drain(..=end).collect();
            self.take(String::from_utf8_lossy(&line).trim_end());
        }
        Ok(())
    }

    fn stderr(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::stderr().write_all(bytes)
    }
}

#[cfg(test)]
#[path = "suite_tests.rs"]
mod tests;
