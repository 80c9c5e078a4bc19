//! `lab test`: everything that can be tested, and one count.

use std::process::ExitCode;

use crate::cache::Cache;
use crate::error::{LabError, Result};
use crate::host::{require_packages, say};
use crate::suite::Suite;
use crate::tally::Tally;
use crate::{checks, lab, suite};

/// Runs lints, unit tests and the suites on real Xen
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Only tests whose name contains this: lint::fmt, lint::clippy, unit::NAME, SUITE::NAME
    filter: Option<String>,
}

/// Ends with the count alone on a line; the status is 0 when nothing failed.
pub fn run(arguments: Test) -> Result<ExitCode> {
    let filter = arguments.filter.as_deref();
    require_packages()?;
    let mut tally = Tally::default();
    checks::lints(filter, &mut tally)?;
    match filter {
        None => checks::units(None, &mut tally)?,
        Some(filter) => {
            if let Some(name) = filter.strip_prefix("unit::") {
                checks::units(Some(name), &mut tally)?;
            }
        }
    }
    let suites = suite::all(filter)?;
    if !suites.is_empty() {
        run_suites(&suites, &mut tally)?;
    }
    if tally.total() == 0 {
        return Err(LabError::Usage(format!("no test is named like {}", filter.unwrap_or("that"))));
    }
    println!("{}", tally.close());
    Ok(ExitCode::from(u8::from(tally.failures() > 0)))
}

fn run_suites(suites: &[Suite], tally: &mut Tally) -> Result<()> {
    let cache = Cache::open()?;
    // Tried once: what does not build for one suite does not for the next.
    let prepared = match suites.iter().any(Suite::needs_package) {
        true => lab::prepare(&cache),
        false => Ok(()),
    };
    if let Err(error) = &prepared {
        say(&error.to_string());
    }
    for suite in suites {
        match &prepared {
            Err(_) if suite.needs_package() => suite.give_up("there is no package to test: see above", tally),
            _ => suite.run(&cache, tally),
        }
    }
    Ok(())
}
