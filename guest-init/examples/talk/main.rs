//! Speaks to the guest-init of a domain, from dom0: what the daemon does, by hand.
//!
//! ```text
//! talk DOMID -- CMD...           one container from the EROFS image on xvda, its output, its exit code
//! talk DOMID --tty -- CMD...     on a terminal
//! talk DOMID --check             everything guest-init does, as named checks; the image needs a busybox in /bin
//! talk DOMID --check-shared      the same for containers that share their process ids
//! talk DOMID --await-end         configures, tells the memory, and what it hears until the domain ends (`xl shutdown`)
//! ```
//!
//! The domain is somebody else's business, e.g. `xl create`: a PVH guest with our kernel and boot image, and as disks the
//! image (xvda, read-only) and, for `--check`, an empty ext4 (xvdb).

mod checks;
mod peer;

use std::process::ExitCode;
use std::time::Instant;

use peer::{Peer, Result};
use xenpod_protocol::message::{GetStats, Process, Stdio, Tty, event::What, reply, request};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (options, command) = match words.iter().position(|word| word == "--") {
        Some(at) => (&words[..at], &words[at + 1..]),
        None => (&words[..], &[][..]),
    };
    let Some(domid) = options.first().and_then(|word| word.parse().ok()) else {
        eprintln!("talk: DOMID first; see the head of its source");
        return ExitCode::from(2);
    };
    let has = |name: &str| options.iter().any(|word| word == name);
    let done = match Peer::connect(domid) {
        Ok(mut peer) if has("--check") => checks::run(&mut peer, checks::ALL),
        Ok(mut peer) if has("--check-shared") => checks::run(&mut peer, checks::SHARED),
        Ok(mut peer) if has("--await-end") => await_end(&mut peer),
        Ok(mut peer) => one_container(&mut peer, command, has("--tty"), has("--stay")),
        Err(error) => Err(error),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("talk: {error}");
            ExitCode::from(125)
        }
    }
}

fn one_container(peer: &mut Peer, command: &[String], tty: bool, stay: bool) -> Result<u8> {
    // Milliseconds of CLOCK_MONOTONIC: in a lab with a repeatable clock, 10^6 instructions.
    let begin = Instant::now();
    let mark = |what: &str| eprintln!("# {what}: {:.3} ms", begin.elapsed().as_secs_f64() * 1e3);
    eprintln!("# kernel start to Hello: {:.3} ms of the guest", peer.hello.uptime_ns as f64 / 1e6);
    peer.configure(|_| {})?;
    mark("configured");
    let process =
        Process { argv: command.to_vec(), tty: tty.then_some(Tty { rows: 24, columns: 80 }), ..peer::process() };
    let stdio = Stdio { stdin: 0, stdout: 1, stderr: if tty { 0 } else { 2 } };
    peer.create("talk", process, stdio, |_| {})?;
    mark("created");
    peer.start("talk")?;
    mark("started");
    peer.until("output", |peer| (!peer.text(1).is_empty() || peer.ended.contains_key(&1)).then_some(()))?;
    mark("first byte");
    let exit = peer.wait_for(|what| match what {
        What::ContainerExited(exited) => exited.exit.clone(),
        _ => None,
    })?;
    mark("exit");
    print!("{}{}", peer.text(1), peer.text(2));
    if exit.signal != 0 {
        eprintln!("talk: killed by signal {}{}", exit.signal, if exit.oom_killed { ", out of memory" } else { "" });
    }
    if !stay {
        peer.shutdown(0)?;
    }
    Ok(exit.code as u8)
}

/// One container that says goodbye; the end is somebody else's wish.
fn await_end(peer: &mut Peer) -> Result<u8> {
    peer.configure(|_| {})?;
    if let reply::Result::Stats(stats) = peer.must(request::Op::GetStats(GetStats {}))? {
        println!("idle: {} KiB of {} KiB available", stats.memory_available / 1024, stats.memory_total / 1024);
    }
    let script = "trap 'echo goodbye; exit 3' TERM; echo up; while :; do sleep 0.1; done";
    let argv = ["/bin/sh", "-c", script].map(String::from).to_vec();
    let stdio = Stdio { stdin: 0, stdout: 1, stderr: 0 };
    peer.create("talk", Process { argv, ..peer::process() }, stdio, |_| {})?;
    peer.start("talk")?;
    if let reply::Result::Stats(stats) = peer.must(request::Op::GetStats(GetStats {}))? {
        println!("with a shell: {} KiB available", stats.memory_available / 1024);
    }
    println!("ready");
    let reason = peer.wait_for(|what| match what {
        What::ShuttingDown(shutting) => Some(shutting.reason.clone()),
        _ => None,
    })?;
    let code = peer.wait_for(|what| match what {
        What::ContainerExited(exited) => exited.exit.as_ref().map(|exit| exit.code),
        _ => None,
    })?;
    peer.gone()?;
    println!("asked by {reason}; exit code {code}; output {:?}", peer.text(1));
    Ok(0)
}
