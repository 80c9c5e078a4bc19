//! What a cgroup's files say of what it uses.

use std::fs;
use std::path::Path;

use xenpod_protocol::message::ContainerStats;

use super::field;

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap_or_default()
}

/// A file of one number; `None` for `max`, and when it is not there.
fn number(folder: &Path, file: &str) -> Option<u64> {
    read(folder, file).trim().parse().ok()
}

/// `memory.current` without the inactive file pages, as kubelet has it.
pub(super) fn working_set(folder: &Path) -> Option<u64> {
    let current = number(folder, "memory.current")?;
    Some(current.saturating_sub(field(&read(folder, "memory.stat"), "inactive_file")?))
}

/// What the cgroup in this folder uses.
pub(super) fn of(folder: &Path, name: &str) -> ContainerStats {
    let cpu = read(folder, "cpu.stat");
    let ns = |name: &str| field(&cpu, name).map(|usec| usec.saturating_mul(1000));
    let io = read(folder, "io.stat");
    ContainerStats {
        name: name.into(),
        cpu_ns: ns("usage_usec").unwrap_or(0),
        memory_bytes: number(folder, "memory.current").unwrap_or(0),
        memory_working_set: working_set(folder).unwrap_or(0),
        pids: number(folder, "pids.current").unwrap_or(0),
        memory_peak: number(folder, "memory.peak"),
        memory_max: number(folder, "memory.max"),
        oom_kills: field(&read(folder, "memory.events"), "oom_kill"),
        cpu_user_ns: ns("user_usec"),
        cpu_system_ns: ns("system_usec"),
        cpu_periods: field(&cpu, "nr_periods"),
        cpu_throttled_periods: field(&cpu, "nr_throttled"),
        cpu_throttled_ns: ns("throttled_usec"),
        pids_max: number(folder, "pids.max"),
        io_read_bytes: io_sum(folder, &io, "rbytes"),
        io_write_bytes: io_sum(folder, &io, "wbytes"),
        io_reads: io_sum(folder, &io, "rios"),
        io_writes: io_sum(folder, &io, "wios"),
    }
}

/// The sum of one key over the devices of `io.stat`. One that was not used has no line, which is 0.
fn io_sum(folder: &Path, text: &str, key: &str) -> Option<u64> {
    if text.is_empty() && !folder.join("io.stat").exists() {
        return None;
    }
    let value = |word: &str| word.strip_prefix(key)?.strip_prefix('=')?.parse::<u64>().ok();
    Some(text.split_whitespace().filter_map(value).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [(&str, &str); 9] = [
        ("memory.current", "10485760\n"),
        ("memory.peak", "20971520\n"),
        ("memory.max", "max\n"),
        ("memory.stat", "anon 4096\ninactive_anon 1\ninactive_file 1048576\nactive_file 2\n"),
        ("memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 1\n"),
        (
            "cpu.stat",
            "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 5\nnr_throttled 4\nthrottled_usec 7\n",
        ),
        ("pids.current", "3\n"),
        ("pids.max", "64\n"),
        (
            "io.stat",
            "202:0 rbytes=100 wbytes=0 rios=2 wios=0 dbytes=0 dios=0\n202:16 rbytes=1 wbytes=4096 rios=1 wios=1\n",
        ),
    ];

    fn folder(files: &[(&str, &str)]) -> std::path::PathBuf {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("guest-init-stats-{}-{next}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        files.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
        folder
    }

    #[test]
    fn what_the_kernel_says_is_told() {
        let folder = folder(&FILES);
        let said = of(&folder, "web");
        fs::remove_dir_all(&folder).unwrap();
        let expected = ContainerStats {
            name: "web".into(),
            cpu_ns: 3_000_000,
            memory_bytes: 10 << 20,
            memory_working_set: 9 << 20,
            pids: 3,
            memory_peak: Some(20 << 20),
            memory_max: None,
            oom_kills: Some(2),
            cpu_user_ns: Some(2_000_000),
            cpu_system_ns: Some(1_000_000),
            cpu_periods: Some(5),
            cpu_throttled_periods: Some(4),
            cpu_throttled_ns: Some(7000),
            pids_max: Some(64),
            io_read_bytes: Some(101),
            io_write_bytes: Some(4096),
            io_reads: Some(3),
            io_writes: Some(1),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn what_it_does_not_say_is_left_out() {
        let folder = folder(&[("cpu.stat", "usage_usec 1\n"), ("io.stat", "")]);
        let said = of(&folder, "web");
        assert_eq!((said.cpu_ns, said.cpu_user_ns, said.cpu_throttled_ns), (1000, None, None));
        assert_eq!((said.memory_peak, said.oom_kills, said.pids_max), (None, None, None));
        assert_eq!(said.io_write_bytes, Some(0), "no device was used");
        fs::remove_file(folder.join("io.stat")).unwrap();
        assert_eq!((of(&folder, "web").io_write_bytes, working_set(&folder)), (None, None));
        fs::remove_dir_all(&folder).unwrap();
    }
}
