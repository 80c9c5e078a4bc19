//! What a pod uses, as the daemon says it, and what that is a second.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::Client;
use crate::failure::Failure;
use crate::json;

/// The parts of a sample that are shown; what the daemon left out is `None`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Sample {
    pub id: String,
    pub name: String,
    pub state: String,
    pub monotonic_usec: u64,
    pub cpu: Option<Cpu>,
    pub memory: Option<Memory>,
    pub guest: Option<Guest>,
    pub containers: Option<Vec<Container>>,
    pub disks: Option<Vec<Disk>>,
    pub interfaces: Option<Vec<Interface>>,
    pub overhead: Option<Overhead>,
    pub missing: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Cpu {
    pub vcpus: Vec<Vcpu>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Vcpu {
    pub vcpu: u64,
    pub online: bool,
    pub usage_ns: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Memory {
    pub domain_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Guest {
    pub total_bytes: u64,
    pub available_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Container {
    pub name: String,
    pub cpu_ns: u64,
    pub memory_working_set_bytes: u64,
    pub memory_limit_bytes: Option<u64>,
    pub pids: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Disk {
    pub name: String,
    pub holds: String,
    pub read_bytes: u64,
    pub written_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Interface {
    pub name: String,
    pub received_bytes: u64,
    pub sent_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Overhead {
    pub xen_paging_bytes: Option<u64>,
    pub dom0_cpu_ns: Option<u64>,
}

impl Sample {
    /// Memory in use inside: the share of the guest's that cannot be had any more, and that in all.
    pub fn memory(&self) -> Option<(u64, u64)> {
        let guest = self.guest.as_ref()?;
        Some((guest.total_bytes.saturating_sub(guest.available_bytes), guest.total_bytes))
    }

    /// Received and sent by all interfaces.
    pub fn network(&self) -> Option<(u64, u64)> {
        let sum = |of: fn(&Interface) -> u64| Some(self.interfaces.as_ref()?.iter().map(of).sum());
        Some((sum(|i| i.received_bytes)?, sum(|i| i.sent_bytes)?))
    }

    /// Read from and written to all disks.
    pub fn disk(&self) -> Option<(u64, u64)> {
        let sum = |of: fn(&Disk) -> u64| Some(self.disks.as_ref()?.iter().map(of).sum());
        Some((sum(|d| d.read_bytes)?, sum(|d| d.written_bytes)?))
    }

    /// Processes of all containers.
    pub fn pids(&self) -> Option<u64> {
        Some(self.containers.as_ref()?.iter().map(|c| c.pids).sum())
    }
}

/// What changed between two samples, a second. `None` where one of them does not have it, or a counter began anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    /// Per cent of one CPU, of all vCPUs together.
    pub cpu: Option<f64>,
    /// Of each vCPU.
    pub vcpus: Vec<f64>,
    /// Of each container, by name.
    pub containers: Vec<(String, f64)>,
    /// Per cent of a CPU of dom0's.
    pub dom0: Option<f64>,
    /// Bytes received and sent.
    pub network: Option<(f64, f64)>,
    /// Bytes read and written.
    pub disk: Option<(f64, f64)>,
}

#[allow(clippy::cast_precision_loss, reason = "a tenth of a per cent is shown")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

impl Rates {
    /// From `old` to `new`, which are of the same pod.
    pub fn between(old: &Sample, new: &Sample) -> Self {
        let usec = new.monotonic_usec.saturating_sub(old.monotonic_usec);
        if usec == 0 {
            return Self::default();
        }
        let percent = |old: u64, new: u64| Some(ratio(new.checked_sub(old)?, usec * 10));
        let bytes = |old: u64, new: u64| Some(ratio(new.checked_sub(old)?, usec) * 1e6);
        let both = |old: Option<(u64, u64)>, new: Option<(u64, u64)>| {
            let (old, new) = (old?, new?);
            Some((bytes(old.0, new.0)?, bytes(old.1, new.1)?))
        };
        let cpus =
            |sample: &Sample| sample.cpu.as_ref().map(|c| c.vcpus.iter().map(|v| v.usage_ns).collect::<Vec<_>>());
        let vcpus = match (cpus(old), cpus(new)) {
            (Some(old), Some(new)) => old.iter().zip(&new).map(|(o, n)| percent(*o, *n)).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let containers = new.containers.iter().flatten().filter_map(|c| {
            let before = old.containers.iter().flatten().find(|o| o.name == c.name)?;
            Some((c.name.clone(), percent(before.cpu_ns, c.cpu_ns)?))
        });
        let dom0 = |sample: &Sample| sample.overhead.as_ref().and_then(|o| o.dom0_cpu_ns);
        Self {
            cpu: vcpus.as_ref().map(|all| all.iter().sum()),
            vcpus: vcpus.unwrap_or_default(),
            containers: containers.collect(),
            dom0: dom0(old).zip(dom0(new)).and_then(|(o, n)| percent(o, n)),
            network: both(old.network(), new.network()),
            disk: both(old.disk(), new.disk()),
        }
    }
}

/// What these pods use now, or all of the caller's: as JSON, in the daemon's order.
pub async fn ask(client: &Client, pods: &[String]) -> Result<Vec<Value>, Failure> {
    let mut options = xenpod_api::proxy::Options::new();
    if !pods.is_empty() {
        options.insert("pods", pods.to_vec().into());
    }
    let samples = client.manager.get_stats(options).await?;
    Ok(samples
        .into_iter()
        .map(|sample| {
            let mut keys: Vec<&String> = sample.keys().collect();
            keys.sort();
            let object: Map<String, Value> =
                keys.into_iter().map(|key| (key.clone(), json::value(&sample[key]))).collect();
            Value::Object(object)
        })
        .collect())
}

/// The same, as far as it is shown.
pub fn parse(samples: Vec<Value>) -> Vec<Sample> {
    samples.into_iter().filter_map(|sample| serde_json::from_value(sample).ok()).collect()
}

#[cfg(test)]
pub mod tests {
    use serde_json::json;

    use super::*;

    /// A pod that has used `n` seconds of its CPU, and `n` MiB of everything else.
    pub fn sample(name: &str, second: u64, n: u64) -> Sample {
        let value = json!({
            "id": format!("{name}-0000"), "name": name, "state": "running", "owner": "uid:0",
            "monotonic_usec": second * 1_000_000,
            "cpu": {"online": 1, "usage_ns": n * 1_000_000_000, "vcpus": [
                {"vcpu": 0, "online": true, "usage_ns": n * 1_000_000_000},
                {"vcpu": 1, "online": true, "usage_ns": 0}]},
            "memory": {"domain_bytes": 128 << 20},
            "guest": {"total_bytes": 100 << 20, "available_bytes": 75 << 20},
            "containers": [{"name": "main", "cpu_ns": n * 500_000_000, "memory_working_set_bytes": 20 << 20, "pids": 3}],
            "disks": [{"name": "xvda", "holds": "scratch", "read_bytes": n << 20, "written_bytes": n << 21}],
            "interfaces": [{"name": "eth0", "received_bytes": n << 20, "sent_bytes": n << 10}],
            "overhead": {"dom0_cpu_ns": n * 10_000_000, "xen_paging_bytes": 1 << 20},
            "missing": {},
        });
        parse(vec![value]).remove(0)
    }

    #[test]
    fn rates_are_of_the_time_between() {
        let rates = Rates::between(&sample("web", 10, 1), &sample("web", 14, 2));
        assert_eq!((rates.cpu, rates.vcpus), (Some(25.0), vec![25.0, 0.0]));
        assert_eq!(rates.containers, [("main".into(), 12.5)]);
        assert_eq!(rates.dom0, Some(0.25));
        assert_eq!(rates.network, Some((262_144.0, 256.0)));
        assert_eq!(rates.disk, Some((262_144.0, 524_288.0)));
    }

    #[test]
    fn what_is_not_known_has_no_rate() {
        let stopped: Sample = serde_json::from_value(json!({"name": "web", "monotonic_usec": 20_000_000})).unwrap();
        assert_eq!(Rates::between(&sample("web", 10, 1), &stopped), Rates::default());
        // It was started anew: its counters began at 0.
        let rates = Rates::between(&sample("web", 10, 5), &sample("web", 11, 1));
        assert_eq!((rates.cpu, rates.network), (None, None));
        assert_eq!(Rates::between(&stopped, &stopped), Rates::default());
    }
}
