//! Which threads of dom0's kernel work for which domain, and what CPU time they have used.
//!
//! blkback has one for each ring of a disk, `5.xvda-0`; netback two for each queue of an interface, `vif5.0-q0-guest-rx` and
//! `vif5.0-q0-dealloc`. They are found by a look through /proc, which is remembered.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// After this, what was found is looked for again: a disk may have come.
const OLD: Duration = Duration::from_secs(10);

/// kthreadd: every thread of the kernel is its child, and nothing else is.
const KTHREADD: &str = "2";

/// What was found.
pub(super) struct Threads {
    proc: PathBuf,
    found: HashMap<u16, Vec<String>>,
    looked: Option<Instant>,
    /// Domains that had none.
    without: HashSet<u16>,
}

impl Threads {
    pub(super) fn new(proc: &Path) -> Self {
        Self { proc: proc.into(), found: HashMap::new(), looked: None, without: HashSet::new() }
    }

    /// Makes sure that the threads of these domains are known.
    pub(super) fn look(&mut self, domids: &[u16]) {
        let fresh = self.looked.is_some_and(|at| at.elapsed() < OLD);
        let known = |domid: &u16| self.found.contains_key(domid) || self.without.contains(domid);
        if domids.is_empty() || fresh && domids.iter().all(known) {
            return;
        }
        if !fresh {
            self.without.clear();
        }
        self.found.clear();
        self.looked = Some(Instant::now());
        for entry in std::fs::read_dir(&self.proc).into_iter().flatten().flatten() {
            let Some(pid) =
                entry.file_name().to_str().filter(|n| n.bytes().all(|b| b.is_ascii_digit())).map(String::from)
            else {
                continue;
            };
            if let Some(domid) = self.domain_of(&pid) {
                self.found.entry(domid).or_default().push(pid);
            }
        }
        // They were looked for.
        self.without.extend(domids.iter().filter(|domid| !self.found.contains_key(domid)));
    }

    /// The domain that this thread works for.
    fn domain_of(&self, pid: &str) -> Option<u16> {
        let stat = std::fs::read_to_string(self.proc.join(pid).join("stat")).ok()?;
        // `PID (NAME) STATE PARENT ...`: any process may call itself anything.
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(") ")?;
        (rest.split(' ').nth(1)? == KTHREADD).then(|| domain_in(name)).flatten()
    }

    /// CPU time in nanoseconds of a domain's threads that are there, and how many these are. `None` when the kernel does not tell.
    pub(super) fn of(&self, domid: u16) -> Option<(u64, u64)> {
        let Some(pids) = self.found.get(&domid) else { return Some((0, 0)) };
        // Numbers are used again: only what still works for the domain counts.
        let live: Vec<&String> = pids.iter().filter(|pid| self.domain_of(pid) == Some(domid)).collect();
        let times: Option<Vec<u64>> = live.iter().map(|pid| self.time(pid)).collect();
        Some((times?.iter().sum(), live.len() as u64))
    }

    /// The first number of schedstat is the time on a CPU.
    fn time(&self, pid: &str) -> Option<u64> {
        let text = std::fs::read_to_string(self.proc.join(pid).join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    }
}

/// The domain in the name of a backend's thread.
fn domain_in(name: &str) -> Option<u16> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(rest) = name.strip_prefix("vif") {
        let (domid, rest) = rest.split_once('.')?;
        let (index, rest) = rest.split_once("-q")?;
        let (queue, work) = rest.split_once('-')?;
        // Kernels before 5.17 cut names off after 15 characters.
        let known = !work.is_empty() && ["guest-rx", "dealloc"].iter().any(|known| known.starts_with(work));
        let netback = digits(index) && digits(queue) && known;
        return netback.then(|| domid.parse().ok()).flatten();
    }
    let (domid, rest) = name.split_once('.')?;
    let (disk, ring) = rest.strip_prefix("xvd")?.rsplit_once('-')?;
    let blkback = digits(domid) && digits(ring) && disk.bytes().all(|b| b.is_ascii_lowercase());
    blkback.then(|| domid.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_threads_are_known_by_their_names() {
        for (name, domid) in [
            ("5.xvda-0", Some(5)),
            ("12.xvdaa-3", Some(12)),
            ("vif5.0-q0-guest-rx", Some(5)),
            ("vif7.0-q1-dealloc", Some(7)),
            ("vif12.0-q0-gues", Some(12)),
            ("vif7.0", None),
            ("vif7.0-q1-other", None),
            ("70000.xvda-0", None),
            ("xenbus", None),
            ("5.sda-0", None),
            ("kworker/0:1", None),
        ] {
            assert_eq!(domain_in(name), domid, "{name}");
        }
    }
}
