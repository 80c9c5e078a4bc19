//! `xenpodctl stats`

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde_json::Value;

use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::table;
use crate::usage::{Rates, Sample, ask, parse};

pub async fn run(client: &Client, args: cli::Stats, json: bool) -> Result<ExitCode, Failure> {
    if json && args.no_stream {
        crate::json::print(&Value::Array(ask(client, &args.pods).await?));
        return Ok(ExitCode::SUCCESS);
    }
    let clear = std::io::stdout().is_terminal() && !args.no_stream;
    let mut before: HashMap<String, Sample> = HashMap::new();
    let mut ticks = tokio::time::interval(args.interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0u64.. {
        ticks.tick().await;
        let samples = ask(client, &args.pods).await?;
        if json {
            let lines: String = samples.iter().map(|s| format!("{s}\n")).collect();
            write(&lines)?;
            continue;
        }
        let samples = parse(samples);
        let old = std::mem::take(&mut before);
        let rows: Vec<Vec<String>> = samples.iter().map(|s| row(old.get(&s.id), s)).collect();
        before = samples.into_iter().map(|s| (s.id.clone(), s)).collect();
        // A share of CPU time is one of the time between two looks.
        if args.no_stream && round == 0 {
            continue;
        }
        let text = table::render(&HEADING, &rows);
        write(&if clear { format!("\x1b[H\x1b[J{text}") } else { text })?;
        if args.no_stream {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

const HEADING: [&str; 9] =
    ["NAME", "STATE", "CPU %", "MEMORY / GUEST", "MEM %", "DOMAIN", "NET IN / OUT", "DISK IN / OUT", "PIDS"];

fn row(old: Option<&Sample>, new: &Sample) -> Vec<String> {
    let rates = old.map(|old| Rates::between(old, new)).unwrap_or_default();
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let pair = |both: Option<(u64, u64)>| both.map(|(a, b)| format!("{} / {}", table::size(a), table::size(b)));
    #[allow(clippy::cast_precision_loss, reason = "a tenth of a per cent is shown")]
    let share = new.memory().filter(|(_, all)| *all > 0).map(|(used, all)| used as f64 * 100.0 / all as f64);
    vec![
        new.name.clone(),
        new.state.clone(),
        or_dash(rates.cpu.map(|p| format!("{p:.1}"))),
        or_dash(pair(new.memory())),
        or_dash(share.map(|p| format!("{p:.1}"))),
        or_dash(new.memory.as_ref().map(|m| table::size(m.domain_bytes))),
        or_dash(pair(new.network())),
        or_dash(pair(new.disk())),
        or_dash(new.pids().map(|n| n.to_string())),
    ]
}

fn write(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader has seen enough.
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|e| Failure::Io("standard output".into(), e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tests::sample;

    #[test]
    fn a_pod_is_a_row() {
        let expected = [
            "web",
            "running",
            "100.0",
            "25.0 MiB / 100.0 MiB",
            "25.0",
            "128.0 MiB",
            "2.0 MiB / 2.0 KiB",
            "2.0 MiB / 4.0 MiB",
            "3",
        ];
        assert_eq!(row(Some(&sample("web", 10, 1)), &sample("web", 11, 2)), expected);
        assert_eq!(row(None, &sample("web", 11, 2))[2], "-", "one look tells no share");
        let stopped = Sample { name: "web".into(), state: "stopped".into(), ..Sample::default() };
        assert_eq!(row(None, &stopped), ["web", "stopped", "-", "-", "-", "-", "-", "-", "-"]);
    }
}
