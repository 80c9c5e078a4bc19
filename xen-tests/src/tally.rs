//! What has passed and what has not, of all kinds of tests together.

use std::time::Duration;

/// The count; each verdict is printed as it comes.
#[derive(Debug, Default)]
pub struct Tally {
    passed: u64,
    failed: Vec<String>,
    failed_elsewhere: u64,
}

impl Tally {
    /// One test passed.
    pub fn passed(&mut self, name: &str, time: Duration) {
        self.passed += 1;
        println!("ok    {name} ({:.1} s)", time.as_secs_f64());
    }

    /// One test failed, for a reason that is printed.
    pub fn failed(&mut self, name: &str, reason: &str) {
        println!("FAIL  {name}: {reason}");
        self.failed.push(name.to_owned());
    }

    /// Tests that another runner ran and told of itself.
    pub fn add(&mut self, passed: u64, failed: u64) {
        self.passed += passed;
        self.failed_elsewhere += failed;
    }

    /// How many have failed so far.
    pub fn failures(&self) -> u64 {
        self.failed.len() as u64 + self.failed_elsewhere
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.passed + self.failures()
    }

    /// The last lines of a test run: the names once more, for those who read from the end, and the count alone.
    pub fn close(&self) -> String {
        let names: String = self.failed.iter().map(|name| format!("failed: {name}\n")).collect();
        format!("{names}{} passed, {} failed", self.passed, self.failures())
    }
}
