//! What the view shows: each pod's last sample, its rates and their history; which pod is chosen and how they are sorted.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::usage::{Rates, Sample};

/// Looks that are remembered: as many as a wide screen has columns.
const KEPT: usize = 240;

/// By what the pods are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Cpu,
    Memory,
    Network,
    Disk,
    Name,
}

impl Sort {
    pub fn word(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Network => "network",
            Self::Disk => "disk",
            Self::Name => "name",
        }
    }
}

/// One pod.
#[derive(Debug, Default)]
pub struct Pod {
    pub now: Sample,
    pub rates: Rates,
    /// Per mille of all its vCPUs.
    pub cpu: VecDeque<u64>,
    /// Bytes a second, both ways.
    pub network: VecDeque<u64>,
    pub disk: VecDeque<u64>,
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are not negative, and small")]
fn whole(number: f64) -> u64 {
    number as u64
}

fn keep(history: &mut VecDeque<u64>, value: u64) {
    if history.len() == KEPT {
        history.pop_front();
    }
    history.push_back(value);
}

impl Pod {
    fn take(&mut self, now: Sample) {
        self.rates = Rates::between(&self.now, &now);
        self.now = now;
        // What is not known draws as nothing.
        let both = |rate: Option<(f64, f64)>| rate.map_or(0, |(a, b)| whole(a + b));
        #[allow(clippy::cast_precision_loss, reason = "a domain has 128 vCPUs at most")]
        let vcpus = self.rates.vcpus.len().max(1) as f64;
        keep(&mut self.cpu, whole(self.rates.cpu.unwrap_or(0.0) * 10.0 / vcpus));
        keep(&mut self.network, both(self.rates.network));
        keep(&mut self.disk, both(self.rates.disk));
    }
}

/// Everything.
#[derive(Debug)]
pub struct Model {
    pub interval: Duration,
    pods: HashMap<String, Pod>,
    chosen: String,
    pub sort: Sort,
    pub detail: bool,
    pub paused: bool,
    /// Why the last look failed.
    pub trouble: Option<String>,
}

impl Model {
    pub fn new(interval: Duration) -> Self {
        let (pods, chosen) = (HashMap::new(), String::new());
        Self { interval, pods, chosen, sort: Sort::Cpu, detail: false, paused: false, trouble: None }
    }

    /// Takes in what all pods use now. Those that are not among them are gone.
    pub fn take(&mut self, samples: Vec<Sample>) {
        self.trouble = None;
        let mut old = std::mem::take(&mut self.pods);
        for sample in samples {
            let mut pod = old.remove(&sample.id).unwrap_or_default();
            let id = sample.id.clone();
            pod.take(sample);
            self.pods.insert(id, pod);
        }
        if !self.pods.contains_key(&self.chosen) {
            self.chosen = self.sorted().first().map(|pod| pod.now.id.clone()).unwrap_or_default();
        }
    }

    /// The pods in the order of the view.
    pub fn sorted(&self) -> Vec<&Pod> {
        let mut all: Vec<&Pod> = self.pods.values().collect();
        let both = |rate: Option<(f64, f64)>| rate.map_or(0.0, |(a, b)| a + b);
        all.sort_by(|a, b| {
            let most = match self.sort {
                Sort::Cpu => b.rates.cpu.unwrap_or(0.0).total_cmp(&a.rates.cpu.unwrap_or(0.0)),
                Sort::Memory => b.now.memory().cmp(&a.now.memory()),
                Sort::Network => both(b.rates.network).total_cmp(&both(a.rates.network)),
                Sort::Disk => both(b.rates.disk).total_cmp(&both(a.rates.disk)),
                Sort::Name => std::cmp::Ordering::Equal,
            };
            most.then_with(|| a.now.name.cmp(&b.now.name))
        });
        all
    }

    /// Where the chosen one is among them.
    pub fn position(&self) -> Option<usize> {
        self.sorted().iter().position(|pod| pod.now.id == self.chosen)
    }

    pub fn chosen(&self) -> Option<&Pod> {
        self.pods.get(&self.chosen)
    }

    /// Chooses another, so many rows down.
    pub fn step(&mut self, rows: isize) {
        let sorted = self.sorted();
        let last = sorted.len().saturating_sub(1);
        let to = self.position().unwrap_or(0).saturating_add_signed(rows).min(last);
        self.chosen = sorted.get(to).map(|pod| pod.now.id.clone()).unwrap_or_default();
    }

    pub fn sort_next(&mut self) {
        self.sort = match self.sort {
            Sort::Cpu => Sort::Memory,
            Sort::Memory => Sort::Network,
            Sort::Network => Sort::Disk,
            Sort::Disk => Sort::Name,
            Sort::Name => Sort::Cpu,
        };
    }

    /// Pods, and those that run.
    pub fn counts(&self) -> (usize, usize) {
        (self.pods.len(), self.pods.values().filter(|p| p.now.state == "running").count())
    }
}
