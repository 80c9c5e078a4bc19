//! Serves OCI layouts as a registry: for demonstrations and tests.
//!
//! `xenpod-test-registry ADDRESS:PORT REPOSITORY=LAYOUT_DIR...` prints `listening on ADDRESS:PORT` once it does. Port
//! 0 takes a free one. HTTP only, read-only, no authentication: bind it to loopback or to a network of its own.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use xenpod_images::testing::Registry;

const USAGE: &str = "usage: xenpod-test-registry ADDRESS:PORT REPOSITORY=LAYOUT_DIR...";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xenpod-test-registry: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address: SocketAddr = args.next().ok_or(USAGE)?.parse().map_err(|e| format!("{e}; {USAGE}"))?;
    let mut repositories = BTreeMap::new();
    for arg in args {
        let (repository, dir) = arg.split_once('=').ok_or(USAGE)?;
        let dir = PathBuf::from(dir);
        if !dir.join("index.json").is_file() {
            return Err(format!("{} is no OCI layout: it has no index.json", dir.display()).into());
        }
        repositories.insert(repository.to_owned(), dir);
    }
    if repositories.is_empty() {
        return Err(USAGE.into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let registry = Registry::serve(address, repositories, None).await?;
        println!("listening on {}", registry.address());
        registry.wait().await;
        Ok(())
    })
}
