//! Where a pod is to run: there is one host, and what asks for another is refused.

use k8s_openapi::api::core::v1 as core;

use super::Report;
use crate::manifest::fields::SCHEDULER;

/// What is so of the host: the labels that every node has, with the only value that xenpod is built for.
const HOST: [(&str, &str); 2] = [("kubernetes.io/os", "linux"), ("kubernetes.io/arch", "amd64")];

pub(super) fn check(spec: &core::PodSpec, report: &mut Report<'_>) {
    let others: Vec<&str> = spec
        .node_selector
        .iter()
        .flatten()
        .filter(|(key, value)| !HOST.contains(&(key.as_str(), value.as_str())))
        .map(|(key, _)| key.as_str())
        .collect();
    if !others.is_empty() {
        let so: Vec<String> = HOST.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        let text = format!("is not supported beyond {}; remove {}: {SCHEDULER}", so.join(" and "), others.join(", "));
        report.unsupported("spec.nodeSelector", text);
    }
    for (i, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        if constraint.when_unsatisfiable.is_empty() {
            let at = format!("spec.topologySpreadConstraints[{i}].whenUnsatisfiable");
            report.invalid(at, "is missing; only ScheduleAnyway is supported");
        }
    }
}
