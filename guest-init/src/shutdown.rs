//! The orderly end: SIGTERM, a grace, SIGKILL, the last events, disks written, power off.

use std::time::{Duration, Instant};

use rustix::system::RebootCommand;
use xenpod_protocol::message::ShuttingDown;
use xenpod_protocol::message::event::What;

use crate::guest::Guest;
use crate::sys;

/// The grace when it is Xen that asks (`xl shutdown`), which names none.
pub const XEN_GRACE: Duration = Duration::from_secs(10);
/// How long killed processes and their output may take to go.
const DYING: Duration = Duration::from_secs(5);
/// How long the daemon may take to note the last events.
const FAREWELL: Duration = Duration::from_secs(2);

/// A shutdown under way.
#[derive(Debug)]
pub struct Stopping {
    reboot: bool,
    /// When what still runs is killed.
    kill_at: Instant,
    killed: bool,
    /// Everything has ended; when the daemon is waited for no longer.
    leave_at: Option<Instant>,
}

impl Guest {
    /// Begins to shut down. A second call can only make it faster.
    pub(crate) fn shut_down(&mut self, reason: &str, grace: Duration, reboot: bool) {
        let kill_at = Instant::now() + grace;
        if let Some(stopping) = &mut self.stopping {
            stopping.kill_at = stopping.kill_at.min(kill_at);
            return;
        }
        self.stopping = Some(Stopping { reboot, kill_at, killed: false, leave_at: None });
        self.emit(What::ShuttingDown(ShuttingDown { reason: reason.into() }));
        for task in self.tasks.values().filter(|task| task.ended.is_none()) {
            // It may have ended just now.
            let _ = sys::kill(task.pid, libc::SIGTERM as u32);
        }
    }

    /// The next step, when it is time for it.
    pub(crate) fn continue_shutdown(&mut self) {
        let Some(stopping) = &mut self.stopping else { return };
        let now = Instant::now();
        if !self.tasks.is_empty() {
            if now < stopping.kill_at {
                return;
            }
            if !stopping.killed {
                stopping.killed = true;
                self.containers.values().for_each(|container| container.cgroup.kill());
            }
            let alive = self.tasks.values().any(|task| task.ended.is_none());
            // Output that nobody takes holds a task, but not for ever.
            let hopeless = !alive && !self.channel.session.connected();
            if now < stopping.kill_at + DYING && !hopeless {
                return;
            }
        }
        let leave_at = *stopping.leave_at.get_or_insert(now + FAREWELL);
        let reboot = stopping.reboot;
        self.channel.flush();
        if self.channel.quiet() || now >= leave_at {
            self.disks.finish();
            end(if reboot { RebootCommand::Restart } else { RebootCommand::PowerOff });
        }
    }

    /// Milliseconds to the next step.
    pub(crate) fn shutdown_timeout(&self) -> Option<u64> {
        let stopping = self.stopping.as_ref()?;
        let now = Instant::now();
        let at = match stopping.leave_at {
            Some(at) => at,
            None if self.tasks.is_empty() => now,
            None if stopping.killed => stopping.kill_at + DYING,
            None => stopping.kill_at,
        };
        Some(at.saturating_duration_since(now).as_millis() as u64 + 1)
    }
}

/// Ends the domain.
pub fn end(how: RebootCommand) -> ! {
    loop {
        if let Err(errno) = rustix::system::reboot(how) {
            eprintln!("guest-init: cannot end the domain: {errno}");
        }
        // Another processor is ending it.
        std::thread::sleep(Duration::from_secs(1));
    }
}
