//! `lab test`: everything that can be tested, and one count.

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;

use crate::cache::Cache;
use crate::checks::{CLIPPY, FORMAT};
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
    if FORMAT.is_wanted(filter) {
        FORMAT.run().count(&mut tally)?;
    }
    match filter {
        None => checks::units(None, &mut tally)?,
        Some(filter) => {
            if let Some(name) = filter.strip_prefix("unit::") {
                checks::units(Some(name), &mut tally)?;
            }
        }
    }
    let suites = suite::all(filter)?;
    let prepared = prepare(&suites)?;
    // Beside the suites, which leave a processor idle. Not before: it would hold up cargo, which builds the package.
    let clippy = thread::scope(|scope| {
        let clippy = CLIPPY.is_wanted(filter).then(|| scope.spawn(|| CLIPPY.run()));
        // Here and not in a thread of their own: QEMU ends with the thread that started it.
        run_suites(&suites, prepared.as_ref(), &mut tally);
        clippy.map(|clippy| clippy.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    if let Some(verdict) = clippy {
        verdict.count(&mut tally)?;
    }
    if tally.total() == 0 {
        return Err(LabError::Usage(format!("no test is named like {}", filter.unwrap_or("that"))));
    }
    println!("{}", tally.close());
    Ok(ExitCode::from(u8::from(tally.failures() > 0)))
}

/// The cache, and that there is a package. Tried once: what does not build for one suite does not for the next.
struct Prepared {
    cache: Cache,
    package: bool,
}

fn prepare(suites: &[Suite]) -> Result<Option<Prepared>> {
    if suites.is_empty() {
        return Ok(None);
    }
    let cache = Cache::open()?;
    let mut package = true;
    if suites.iter().any(Suite::needs_package)
        && let Err(error) = lab::prepare(&cache)
    {
        say(&error.to_string());
        package = false;
    }
    Ok(Some(Prepared { cache, package }))
}

fn run_suites(suites: &[Suite], prepared: Option<&Prepared>, tally: &mut Tally) {
    let Some(prepared) = prepared else { return };
    for suite in suites {
        match suite.needs_package() && !prepared.package {
            true => suite.give_up("there is no package to test: see above", tally),
            false => suite.run(&prepared.cache, tally),
        }
    }
}
