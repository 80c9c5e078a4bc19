//! Runs the network's checks and prints `ok NAME` or `not ok NAME: WHY` for each; exits 1 if one failed. Arguments name
//! the checks to run, none means all. Needs root, `ip` and `bridge`; `nft` for parts of some.

#![allow(clippy::unwrap_used, reason = "a check's unwrap is an assertion")]

#[path = "../tests/net/checks/mod.rs"]
mod checks;
#[path = "../tests/net/frames.rs"]
mod frames;
#[path = "../tests/net/world.rs"]
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    if !world::can_run() {
        return ExitCode::from(2);
    }
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, _) in checks::ALL {
        if !wanted.is_empty() && !wanted.iter().any(|w| w == name) {
            continue;
        }
        match checks::run(name) {
            Ok(()) => {
                passed += 1;
                println!("ok {name}");
            }
            Err(why) => {
                failed += 1;
                println!("not ok {name}: {why}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
