//! Probes and hooks.

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Report;
use crate::spec::{Action, HttpGet, Lifecycle, PortSpec, ProbeSpec, Probes};

/// The longest time that is taken in seconds: a day. Longer ones are slips of the pen.
const MAX_SECONDS: i64 = 86_400;
/// The most headers of a request.
const MAX_HEADERS: usize = 64;
/// What a probe can do.
const PROBES: &str = "exec, httpGet and tcpSocket";
/// What a hook can do.
const HOOKS: &str = "exec, httpGet and sleep";

/// The three probes of the container at `path`.
pub(super) fn probes(c: &core::Container, path: &str, ports: &[PortSpec], report: &mut Report<'_>) -> Probes {
    let mut one = |given: &Option<core::Probe>, key: &str| {
        given.as_ref().and_then(|p| probe(p, &format!("{path}.{key}"), key, ports, report))
    };
    Probes {
        startup: one(&c.startup_probe, "startupProbe"),
        liveness: one(&c.liveness_probe, "livenessProbe"),
        readiness: one(&c.readiness_probe, "readinessProbe"),
    }
}

fn probe(p: &core::Probe, at: &str, kind: &str, ports: &[PortSpec], report: &mut Report<'_>) -> Option<ProbeSpec> {
    let mut number = |value: Option<i64>, key: &str, least: i64, default: u32| match value {
        None => default,
        // Kubernetes takes 0 for "not given" where 0 makes no sense.
        Some(0) if least > 0 => default,
        Some(v) if (least..=MAX_SECONDS).contains(&v) => u32::try_from(v).unwrap_or(default),
        Some(v) => {
            report.invalid(format!("{at}.{key}"), format!("is {v}; it must be {least} to {MAX_SECONDS}"));
            default
        }
    };
    let initial_delay_seconds = number(p.initial_delay_seconds.map(i64::from), "initialDelaySeconds", 0, 0);
    let period_seconds = number(p.period_seconds.map(i64::from), "periodSeconds", 1, 10);
    let timeout_seconds = number(p.timeout_seconds.map(i64::from), "timeoutSeconds", 1, 1);
    let success_threshold = number(p.success_threshold.map(i64::from), "successThreshold", 1, 1);
    let failure_threshold = number(p.failure_threshold.map(i64::from), "failureThreshold", 1, 3);
    let grace_seconds =
        p.termination_grace_period_seconds.map(|v| number(Some(v), "terminationGracePeriodSeconds", 1, 1));
    if kind != "readinessProbe" && success_threshold != 1 {
        report.invalid(format!("{at}.successThreshold"), "must be 1: the first success is enough here");
    }
    if kind == "readinessProbe" && grace_seconds.is_some() {
        let text = "has no meaning here: a readiness probe ends nothing";
        report.invalid(format!("{at}.terminationGracePeriodSeconds"), text);
    }
    let tcp = p.tcp_socket.as_ref().map(|t| &t.port);
    let action = action(p.exec.as_ref(), p.http_get.as_ref(), tcp, None, (at, PROBES), ports, report)?;
    Some(ProbeSpec {
        action,
        initial_delay_seconds,
        period_seconds,
        timeout_seconds,
        success_threshold,
        failure_threshold,
        grace_seconds,
    })
}

/// The hooks of the container at `path`.
pub(super) fn lifecycle(c: &core::Container, path: &str, ports: &[PortSpec], report: &mut Report<'_>) -> Lifecycle {
    let Some(given) = &c.lifecycle else { return Lifecycle::default() };
    let mut one = |handler: &Option<core::LifecycleHandler>, key: &str| {
        let handler = handler.as_ref()?;
        let at = format!("{path}.lifecycle.{key}");
        let sleep = handler.sleep.as_ref().map(|s| s.seconds);
        // tcpSocket has been refused by the table of supported fields; Kubernetes itself does not act on it.
        action(handler.exec.as_ref(), handler.http_get.as_ref(), None, sleep, (&at, HOOKS), ports, report)
    };
    Lifecycle { post_start: one(&given.post_start, "postStart"), pre_stop: one(&given.pre_stop, "preStop") }
}

fn action(
    exec: Option<&core::ExecAction>,
    http: Option<&core::HTTPGetAction>,
    tcp: Option<&IntOrString>,
    sleep: Option<i64>,
    (at, choice): (&str, &str),
    ports: &[PortSpec],
    report: &mut Report<'_>,
) -> Option<Action> {
    let given = [exec.is_some(), http.is_some(), tcp.is_some(), sleep.is_some()];
    match given.iter().filter(|g| **g).count() {
        0 => {
            // Something else that is not supported has been reported by its name.
            if !report.has(at) {
                report.invalid(at, format!("does not say what to do: give one of {choice}"));
            }
            return None;
        }
        1 => {}
        _ => {
            report.invalid(at, "says more than one thing to do");
            return None;
        }
    }
    if let Some(exec) = exec {
        let command = exec.command.clone().unwrap_or_default();
        if command.is_empty() {
            report.invalid(format!("{at}.exec.command"), "is missing; name a program");
        }
        for (i, word) in command.iter().enumerate() {
            super::container::string(&format!("{at}.exec.command[{i}]"), word, report);
        }
        return Some(Action::Exec(command));
    }
    if let Some(http) = http {
        let at = format!("{at}.httpGet");
        let https = match http.scheme.as_deref() {
            None | Some("HTTP" | "") => false,
            Some("HTTPS") => true,
            Some(other) => {
                report.invalid(format!("{at}.scheme"), format!("{other:?} is neither HTTP nor HTTPS"));
                false
            }
        };
        let path = http.path.clone().unwrap_or_default();
        if path.chars().any(|c| c.is_control() || c == ' ') || path.len() > 4096 {
            report.invalid(format!("{at}.path"), format!("{path:?} is not a path: no spaces, at most 4096 bytes"));
        }
        let headers = headers(http, &at, report);
        let port = port(&http.port, &format!("{at}.port"), ports, report);
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        return Some(Action::Http(HttpGet { https, port, path, headers }));
    }
    if let Some(tcp) = tcp {
        return Some(Action::Tcp(port(tcp, &format!("{at}.tcpSocket.port"), ports, report)));
    }
    let seconds = sleep.unwrap_or_default();
    if !(0..=MAX_SECONDS).contains(&seconds) {
        report.invalid(format!("{at}.sleep.seconds"), format!("is {seconds}; it must be 0 to {MAX_SECONDS}"));
    }
    Some(Action::Sleep(u32::try_from(seconds).unwrap_or_default()))
}

fn headers(http: &core::HTTPGetAction, at: &str, report: &mut Report<'_>) -> Vec<(String, String)> {
    let given = http.http_headers.as_deref().unwrap_or_default();
    if given.len() > MAX_HEADERS {
        report.invalid(format!("{at}.httpHeaders"), format!("has {} entries; the limit is {MAX_HEADERS}", given.len()));
    }
    // RFC 9110: a token, and visible characters with spaces between.
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    for (i, header) in given.iter().enumerate() {
        if header.name.is_empty() || !header.name.bytes().all(token) {
            report.invalid(format!("{at}.httpHeaders[{i}].name"), format!("{:?} is not a header", header.name));
        }
        if header.value.chars().any(char::is_control) || header.value.len() > 4096 {
            report.invalid(format!("{at}.httpHeaders[{i}].value"), "is not the value of a header");
        }
    }
    given.iter().map(|h| (h.name.clone(), h.value.clone())).collect()
}

/// A number, or the name of a port of the container.
fn port(given: &IntOrString, at: &str, ports: &[PortSpec], report: &mut Report<'_>) -> u16 {
    let number = match given {
        IntOrString::Int(number) => u16::try_from(*number).ok().filter(|n| *n > 0),
        IntOrString::String(text) => match ports.iter().find(|p| p.name.as_ref() == Some(text)) {
            Some(port) => Some(port.port),
            None => text.parse().ok().filter(|n| *n > 0),
        },
    };
    number.unwrap_or_else(|| {
        let text = match given {
            IntOrString::Int(number) => format!("{number} is not a port"),
            IntOrString::String(text) => format!("{text:?} is not the name of one of the container's ports"),
        };
        report.invalid(at, text);
        1
    })
}
