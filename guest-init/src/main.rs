//! PID 1 of a pod's domain.
//!
//! ```text
//! boot: /dev -> the channel is offered -> a root of our own -> guest: the event loop
//!
//! daemon <== vchan ==> channel -> requests -> start ---clone---> container/child -> the program
//!                         ^                     |                                      |
//!                         +----- flows <- tasks +<------- pipes, exit status ----------+
//! ```
//!
//! One thread, no shell, nothing beside it in the boot image. The daemon may come and go; containers do not notice.
//! The same program is what the kernel runs to shut the domain down (`/init poweroff`, `/sbin/reboot`).

mod boot;
mod channel;
mod configure;
mod container;
mod disks;
mod error;
mod flows;
mod forwards;
mod guest;
mod network;
mod poll;
mod requests;
mod shutdown;
mod start;
mod sys;
mod tasks;
mod volumes;

use std::process::ExitCode;

use rustix::system::RebootCommand;

fn main() -> ExitCode {
    if rustix::process::getpid() != rustix::process::Pid::INIT {
        return tell_init();
    }
    // PID 1 must not end: the kernel would panic, and nobody would know why.
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("guest-init: {panic}");
        shutdown::end(RebootCommand::PowerOff);
    }));
    let Err(fatal) = run();
    eprintln!("guest-init: {fatal}");
    shutdown::end(RebootCommand::PowerOff)
}

fn run() -> Result<std::convert::Infallible, guest::Fatal> {
    boot::devices()?;
    guest::Guest::new()?.run()
}

/// Run by the kernel when Xen asks for the domain's end.
fn tell_init() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let signal = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "poweroff"] => libc::SIGPWR,
        [name] if name.ends_with("/reboot") => libc::SIGUSR1,
        _ => {
            eprintln!("guest-init: this is PID 1 of a xenpod domain; as a command it knows only `poweroff`");
            return ExitCode::from(2);
        }
    };
    match sys::kill(rustix::process::Pid::INIT, signal as u32) {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => {
            eprintln!("guest-init: cannot tell PID 1: {errno}");
            ExitCode::FAILURE
        }
    }
}
