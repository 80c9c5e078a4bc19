//! Samples as OpenMetrics families.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use rustix::time::{ClockId, clock_gettime};
use xenpod_api::state::PodState;

use crate::engine::Engine;
use crate::engine::stats::sample::{Container, Disk, Interface, Sample};

/// All families, measured now.
pub(super) async fn text(engine: &Engine) -> Result<String, fmt::Error> {
    let pods = engine.list();
    let samples = engine.stats(&pods, true).await;
    // A start that is over has told how long it took.
    let started = |pod: &crate::engine::PodHandle| {
        let status = pod.status();
        status.phases.last().filter(|_| status.record.started_usec > 0).map(|(_, usec)| usec * 1000)
    };
    let scrape = Scrape {
        starts: pods.iter().map(started).collect(),
        jobs: engine.jobs().list().iter().filter(|job| job.status().outcome.is_none()).count() as u64,
        samples,
    };
    let mut registry = Registry::with_prefix("xenpod");
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Scrape {
    samples: Vec<Sample>,
    /// How long the last start of each took, in nanoseconds.
    starts: Vec<Option<u64>>,
    jobs: u64,
}

type Labels<'a> = Vec<(&'static str, &'a str)>;

/// In what a number is counted, and how it is written.
#[derive(Clone, Copy, PartialEq)]
enum In {
    Things,
    Bytes,
    /// Given in nanoseconds.
    Seconds,
}

/// Writes families one after the other.
struct Families<'a, 'e> {
    encoder: &'a mut DescriptorEncoder<'e>,
}

impl Families<'_, '_> {
    fn write<'v>(
        &mut self,
        (name, help): (&str, &str),
        counted: In,
        kind: MetricType,
        values: impl Iterator<Item = (Labels<'v>, u64)>,
    ) -> fmt::Result {
        let unit = match counted {
            In::Things => None,
            In::Bytes => Some(Unit::Bytes),
            In::Seconds => Some(Unit::Seconds),
        };
        let counter = matches!(kind, MetricType::Counter);
        let mut metric = self.encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
        for (labels, value) in values {
            if labels.is_empty() {
                // With them it would be given empty braces.
                number(&mut metric, counter, counted, value)?;
            } else {
                number(&mut metric.encode_family(&labels)?, counter, counted, value)?;
            }
        }
        Ok(())
    }

    fn gauge<'v>(
        &mut self,
        what: (&str, &str),
        counted: In,
        values: impl Iterator<Item = (Labels<'v>, u64)>,
    ) -> fmt::Result {
        self.write(what, counted, MetricType::Gauge, values)
    }

    fn counter<'v>(
        &mut self,
        what: (&str, &str),
        counted: In,
        values: impl Iterator<Item = (Labels<'v>, u64)>,
    ) -> fmt::Result {
        self.write(what, counted, MetricType::Counter, values)
    }
}

fn number(metric: &mut MetricEncoder<'_>, counter: bool, counted: In, value: u64) -> fmt::Result {
    // Exact to a microsecond for 270 years.
    #[allow(clippy::cast_precision_loss)]
    let seconds = value as f64 / 1e9;
    match (counter, counted) {
        (true, In::Seconds) => metric.encode_counter::<NoLabelSet, f64, f64>(&seconds, None),
        (true, _) => metric.encode_counter::<NoLabelSet, u64, f64>(&value, None),
        (false, In::Seconds) => metric.encode_gauge(&seconds),
        (false, _) => metric.encode_gauge(&i64::try_from(value).unwrap_or(i64::MAX)),
    }
}

/// The labels that everything of a pod has.
fn of(sample: &Sample) -> Labels<'_> {
    vec![("pod", &sample.name), ("id", &sample.id)]
}

fn with<'a>(sample: &'a Sample, name: &'static str, value: &'a str) -> Labels<'a> {
    let mut labels = of(sample);
    labels.push((name, value));
    labels
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families { encoder: &mut encoder };
        self.daemon(&mut families)?;
        self.pods(&mut families)?;
        self.containers(&mut families)?;
        self.devices(&mut families)
    }
}

impl Scrape {
    fn daemon(&self, families: &mut Families<'_, '_>) -> fmt::Result {
        let version = ("daemon_build", "The daemon's version", env!("CARGO_PKG_VERSION"));
        let one = std::iter::once((vec![("version", version.2)], 1));
        families.gauge((version.0, version.1), In::Things, one)?;
        let states = PodState::ALL.iter().map(|state| {
            let count = self.samples.iter().filter(|s| s.state == state.as_str()).count();
            (vec![("state", state.as_str())], count as u64)
        });
        families.gauge(("pods", "Pods, by state"), In::Things, states)?;
        let plain = |value: u64| std::iter::once((Vec::new(), value));
        families.gauge(("jobs", "Jobs at work"), In::Things, plain(self.jobs))?;
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let used = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0);
        families.counter(("daemon_cpu", "CPU time of the daemon"), In::Seconds, plain(used))?;
        // Its second number is what is resident, in pages.
        let memory = std::fs::read_to_string("/proc/self/statm").ok();
        let pages = memory.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
        let resident = pages.map(|pages| pages * rustix::param::page_size() as u64);
        let resident = resident.map(|bytes| (Vec::new(), bytes)).into_iter();
        families.gauge(("daemon_resident_memory", "Memory of the daemon that is resident"), In::Bytes, resident)
    }

    /// Of each pod that has it, the number.
    fn each<'a>(&'a self, number: impl Fn(&'a Sample) -> Option<u64>) -> impl Iterator<Item = (Labels<'a>, u64)> {
        self.samples.iter().filter_map(move |s| Some((of(s), number(s)?)))
    }

    fn pods(&self, families: &mut Families<'_, '_>) -> fmt::Result {
        let states = self.samples.iter().map(|s| {
            let mut labels = with(s, "owner", &s.owner);
            labels.push(("state", s.state));
            (labels, 1)
        });
        families.gauge(("pod_state", "1 for the state that the pod is in"), In::Things, states)?;
        let help = "1 when the guest has said what it uses, 0 when it has not";
        families.gauge(("pod_guest_answered", help), In::Things, self.each(|s| Some(s.guest.is_some().into())))?;
        let starts = self.samples.iter().zip(&self.starts).filter_map(|(s, ns)| Some((of(s), (*ns)?)));
        families.gauge(("pod_start_duration", "From the request to the end of the last start"), In::Seconds, starts)?;
        let numbers: Vec<Vec<(String, u64)>> = self.samples.iter().map(vcpus).collect();
        let cpus = self.samples.iter().zip(&numbers);
        let cpus = cpus.flat_map(|(s, all)| all.iter().map(move |(vcpu, ns)| (with(s, "vcpu", vcpu), *ns)));
        families.counter(("pod_cpu", "CPU time of the domain's vCPUs"), In::Seconds, cpus)?;
        let memory = self.each(|s| Some(s.memory.as_ref()?.domain_bytes));
        families.gauge(("pod_memory", "Memory that the domain owns"), In::Bytes, memory)?;
        let most = self.each(|s| Some(s.memory.as_ref()?.max_bytes));
        families.gauge(("pod_memory_max", "Memory that the domain may own"), In::Bytes, most)?;
        let total = self.each(|s| Some(s.guest.as_ref()?.total_bytes));
        families.gauge(("pod_guest_memory", "Memory that the guest's kernel has to give"), In::Bytes, total)?;
        let free = self.each(|s| Some(s.guest.as_ref()?.available_bytes));
        families.gauge(("pod_guest_memory_available", "What of it can be had"), In::Bytes, free)?;
        let held = self.each(|s| s.guest.as_ref()?.working_set_bytes);
        let help = "Memory of all containers without inactive file pages";
        families.gauge(("pod_memory_working_set", help), In::Bytes, held)?;
        let xen = self.each(|s| s.overhead.as_ref()?.xen_paging_bytes);
        let help = "Memory that Xen holds for the domain's page tables, beyond the domain's own";
        families.gauge(("pod_overhead_xen_paging", help), In::Bytes, xen)?;
        let dom0 = self.each(|s| s.overhead.as_ref()?.dom0_cpu_ns);
        let help = "CPU time of dom0's kernel threads that serve the pod's devices alone";
        families.counter(("pod_overhead_dom0_cpu", help), In::Seconds, dom0)?;
        let disks = self.each(|s| Some(s.storage.as_ref()?.disks_bytes));
        families.gauge(("pod_storage_disks", "Written blocks of the pod's own disks"), In::Bytes, disks)?;
        let logs = self.each(|s| Some(s.storage.as_ref()?.logs_bytes));
        families.gauge(("pod_storage_logs", "Logs of the pod's containers"), In::Bytes, logs)
    }

    fn containers(&self, families: &mut Families<'_, '_>) -> fmt::Result {
        let each = |number: fn(&Container) -> Option<u64>| {
            let all = self.samples.iter().flat_map(|s| s.containers.iter().flatten().map(move |c| (s, c)));
            all.filter_map(move |(s, c)| Some((with(s, "container", &c.name), number(c)?)))
        };
        let cpu = each(|c| Some(c.cpu_ns));
        families.counter(("container_cpu", "CPU time of the container"), In::Seconds, cpu)?;
        let held_back = each(|c| c.cpu_throttled_ns);
        families.counter(
            ("container_cpu_throttled", "Time that its CPU limit held it back"),
            In::Seconds,
            held_back,
        )?;
        let memory = each(|c| Some(c.memory_bytes));
        families.gauge(("container_memory", "Memory of the container, file pages included"), In::Bytes, memory)?;
        let help = "Memory of the container without inactive file pages";
        let working = each(|c| Some(c.memory_working_set_bytes));
        families.gauge(("container_memory_working_set", help), In::Bytes, working)?;
        let peak = each(|c| c.memory_peak_bytes);
        families.gauge(("container_memory_peak", "The most memory it ever held"), In::Bytes, peak)?;
        let limit = each(|c| c.memory_limit_bytes);
        families.gauge(("container_memory_limit", "Memory that it may hold"), In::Bytes, limit)?;
        let kills = each(|c| c.oom_kills);
        families.counter(("container_oom_kills", "Processes of it that were killed for memory"), In::Things, kills)?;
        families.gauge(("container_pids", "Its processes and threads"), In::Things, each(|c| Some(c.pids)))?;
        let read = each(|c| c.read_bytes);
        families.counter(("container_disk_read", "What it read from disks"), In::Bytes, read)?;
        let written = each(|c| c.written_bytes);
        families.counter(("container_disk_written", "What it wrote to disks"), In::Bytes, written)
    }

    fn devices(&self, families: &mut Families<'_, '_>) -> fmt::Result {
        let disks = |number: fn(&Disk) -> u64| {
            let all = self.samples.iter().flat_map(|s| s.disks.iter().flatten().map(move |d| (s, d)));
            all.map(move |(s, d)| (with(s, "disk", &d.name), number(d)))
        };
        families.counter(("pod_disk_reads", "Requests to read"), In::Things, disks(|d| d.reads))?;
        families.counter(("pod_disk_writes", "Requests to write"), In::Things, disks(|d| d.writes))?;
        families.counter(("pod_disk_flushes", "Requests to flush"), In::Things, disks(|d| d.flushes))?;
        families.counter(("pod_disk_read", "Read from the disk"), In::Bytes, disks(|d| d.read_bytes))?;
        families.counter(("pod_disk_written", "Written to the disk"), In::Bytes, disks(|d| d.written_bytes))?;
        let nets = |number: fn(&Interface) -> u64| {
            let all = self.samples.iter().flat_map(|s| s.interfaces.iter().flatten().map(move |i| (s, i)));
            all.map(move |(s, i)| (with(s, "interface", &i.name), number(i)))
        };
        let received = ["pod_network_received", "pod_network_received_packets", "pod_network_received_dropped"];
        families.counter((received[0], "Received by the pod"), In::Bytes, nets(|i| i.received_bytes))?;
        families.counter((received[1], "Packets to the pod"), In::Things, nets(|i| i.received_packets))?;
        families.counter(
            (received[2], "Packets to the pod that were dropped"),
            In::Things,
            nets(|i| i.received_dropped),
        )?;
        let sent = ["pod_network_sent", "pod_network_sent_packets", "pod_network_sent_dropped"];
        families.counter((sent[0], "Sent by the pod"), In::Bytes, nets(|i| i.sent_bytes))?;
        families.counter((sent[1], "Packets from the pod"), In::Things, nets(|i| i.sent_packets))?;
        families.counter((sent[2], "Packets from the pod that were dropped"), In::Things, nets(|i| i.sent_dropped))
    }
}

/// Number and time of each vCPU.
fn vcpus(sample: &Sample) -> Vec<(String, u64)> {
    let all = sample.cpu.iter().flat_map(|cpu| &cpu.vcpus);
    all.map(|v| (v.vcpu.to_string(), v.usage_ns)).collect()
}
