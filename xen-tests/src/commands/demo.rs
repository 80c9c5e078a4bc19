//! `lab demo`: from the checkout to a page served by a pod, and back to nothing.

use std::process::ExitCode;
use std::time::Duration;

use crate::cache::Cache;
use crate::carrier::Copy;
use crate::channel::Through;
use crate::error::Result;
use crate::host::checkout;
use crate::lab;
use crate::machine::Config;
use crate::wire::Start;

const LIMIT: Duration = Duration::from_secs(600);

/// Builds everything, runs the example pod on real Xen and shows it
#[derive(Debug, clap::Args)]
pub struct Demo {}

/// The status is the demo's: 0 when every step of it did what it shows.
pub fn run(_: Demo) -> Result<ExitCode> {
    let cache = Cache::open()?;
    let tests = checkout().join("xen-tests");
    let copies = [("demo", "/opt/lab/demo"), ("suites", "/opt/lab/suites")]
        .map(|(from, to)| Copy { from: tests.join(from), to: to.into() });
    let mut lab = lab::open(&cache, &Config::default(), false, &copies)?;
    let start = Start { argv: vec!["/opt/lab/demo/demo.sh".into()], env: Vec::new(), tty: None, stdin: false };
    let status = lab.exec(&cache, start, &mut Through, Some(LIMIT))?;
    Ok(ExitCode::from(status as u8))
}
