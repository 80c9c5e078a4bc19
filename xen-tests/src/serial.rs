//! The serial log, read as it grows: where Xen and dom0's kernel say their last words.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

/// What nobody prints and lives on.
const LAST_WORDS: [&str; 5] =
    ["Panic on CPU", "Kernel panic - not syncing", "Xen BUG at", "FATAL TRAP", "Reboot disabled on cmdline"];

/// A log that is followed.
pub struct Serial {
    path: PathBuf,
    read: u64,
    partial: String,
}

impl Serial {
    /// Follows the log from its beginning; it need not exist yet.
    pub fn new(path: PathBuf) -> Serial {
        Serial { path, read: 0, partial: String::new() }
    }

    /// The line of a panic, if one has come since the last call.
    pub fn panic(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(self.read)).ok()?;
        self.read += file.read_to_end(&mut bytes).ok()? as u64;
        self.partial.push_str(&String::from_utf8_lossy(&bytes));
        let (whole, rest) = self.partial.rsplit_once('\n')?;
        let found = whole.lines().find(|line| is_last_word(line)).map(|line| line.trim().to_owned());
        self.partial = rest.to_owned();
        found
    }
}

/// A guest's kernel that panics is that guest's business: Xen marks its lines with `(dN)`.
fn is_last_word(line: &str) -> bool {
    let text = line.trim_start_matches("(XEN)").trim_start();
    let text = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or(text, |(_, rest)| rest.trim_start());
    let guest = text
        .strip_prefix("(d")
        .and_then(|rest| rest.split_once(')'))
        .is_some_and(|(number, _)| number.parse().is_ok_and(|number: u32| number > 0));
    !guest && LAST_WORDS.iter().any(|words| line.contains(words))
}

#[cfg(test)]
#[path = "serial_tests.rs"]
mod tests;
