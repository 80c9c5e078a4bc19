//! `lab bench`: speed and memory, ours beside xl's, on the clock that is the same in every run.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::carrier::Copy;
use crate::channel::Kept;
use crate::error::{LabError, Result};
use crate::host::{checkout, say};
use crate::lab;
use crate::machine::{Config, Xenstored};
use crate::wire::Start;

/// Two hundred domains are made, one after the other.
const LIMIT: Duration = Duration::from_secs(1800);

/// Measures speed and memory, ours beside xl's
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// Write the figures here as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How often each thing is measured; the figure is the median
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// Which xenstored dom0 runs
    #[arg(long, value_enum, default_value_t = Xenstored::Oxenstored)]
    xenstored: Xenstored,
    /// xl alone, in the bare dom0: a kernel and a boot image to measure it with
    #[arg(long, hide = true, num_args = 2, value_names = ["VMLINUX", "BOOT_IMAGE"])]
    xl_only: Option<Vec<PathBuf>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Table {
    figures: Vec<Figure>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Figure {
    name: String,
    unit: String,
    ours: Option<f64>,
    xl: Option<f64>,
    target: Option<f64>,
    runs: u32,
}

/// Prints the table. A missed target is shown, not punished: that is for tests.
pub fn run(arguments: Bench) -> Result<ExitCode> {
    let cache = Cache::open()?;
    let config = Config { icount: true, xenstored: arguments.xenstored, ..Config::default() };
    let tests = checkout().join("xen-tests");
    let mut copies = vec![
        Copy { from: tests.join("bench"), to: "/opt/lab/bench".into() },
        Copy { from: tests.join("suites"), to: "/opt/lab/suites".into() },
    ];
    let mut env = vec![("RUNS".to_owned(), arguments.runs.to_string())];
    if let Some(files) = &arguments.xl_only {
        for (file, (name, path)) in files.iter().zip([("KERNEL", "/root/vmlinux"), ("BOOT_IMAGE", "/root/boot.img")]) {
            copies.push(Copy { from: file.clone(), to: path.into() });
            env.push((name.into(), path.into()));
        }
    }
    let mut lab = lab::open(&cache, &config, arguments.xl_only.is_some(), &copies)?;
    say("measuring");
    let mut kept = Kept::default();
    let start = Start { argv: vec!["/opt/lab/bench/driver.py".into()], env, tty: None, stdin: false };
    let status = lab.exec(&cache, start, &mut kept, Some(LIMIT))?;
    let output = String::from_utf8_lossy(&kept.out).into_owned();
    let said = String::from_utf8_lossy(&kept.err).into_owned();
    let failed = |output: String| LabError::Stage { what: "the benchmark", status, output };
    if status != 0 {
        return Err(failed(output + &said));
    }
    let last = output.lines().last().unwrap_or_default();
    let table: Table = serde_json::from_str(last).map_err(|error| failed(format!("{error}\n{output}{said}")))?;
    print!("{}", render(&table));
    if let Some(path) = arguments.json {
        let text = serde_json::to_string_pretty(&table).unwrap_or_default() + "\n";
        fs::write(&path, text).map_err(LabError::file("cannot write", path))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn render(table: &Table) -> String {
    let cell = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let mut text = format!("{:<26}{:>10}{:>10}{:>10}  {:<5}{:>5}\n", "", "ours", "xl", "target", "unit", "runs");
    for figure in &table.figures {
        let missed = matches!((figure.ours, figure.target), (Some(ours), Some(target)) if ours > target);
        text.push_str(&format!(
            "{:<26}{:>10}{:>10}{:>10}  {:<5}{:>5}{}\n",
            figure.name,
            cell(figure.ours),
            cell(figure.xl),
            cell(figure.target),
            figure.unit,
            figure.runs,
            if missed { "  missed" } else { "" }
        ));
    }
    text
}

#[cfg(test)]
#[path = "bench_tests.rs"]
mod tests;
