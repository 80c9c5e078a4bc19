//! Speaks to the guest-init of a domain, from dom0: what the daemon does, by hand.
//!
//! ```text
//! talk DOMID -- CMD...           one container from the EROFS image on xvda, its output, its exit code
//! talk DOMID --tty -- CMD...     on a terminal
//! talk DOMID --check             everything guest-init does, as named checks; the image needs a busybox in /bin
//! ```
//!
//! The domain is somebody else's business, e.g. `xl create`: a PVH guest with our kernel and boot image, and as disks the
//! image (xvda, read-only) and, for `--check`, an empty ext4 (xvdb).

mod checks;
mod peer;

use std::process::ExitCode;

use peer::{Peer, Result};
use xenpod_protocol::message::{Process, Stdio, Tty, event::What};

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
        Ok(mut peer) if has("--check") => checks::run(&mut peer),
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
    peer.configure(|_| {})?;
    let process =
        Process { argv: command.to_vec(), tty: tty.then_some(Tty { rows: 24, columns: 80 }), ..peer::process() };
    let stdio = Stdio { stdin: 0, stdout: 1, stderr: if tty { 0 } else { 2 } };
    peer.create("talk", process, stdio, |_| {})?;
    peer.start("talk")?;
    let exit = peer.wait_for(|what| match what {
        What::ContainerExited(exited) => exited.exit,
        _ => None,
    })?;
    print!("{}{}", peer.text(1), peer.text(2));
    if exit.signal != 0 {
        eprintln!("talk: killed by signal {}{}", exit.signal, if exit.oom_killed { ", out of memory" } else { "" });
    }
    if !stay {
        peer.shutdown(0)?;
    }
    Ok(exit.code as u8)
}
