//! `xenpodctl events`

use std::collections::HashMap;
use std::io::Write;
use std::process::ExitCode;

use futures_util::StreamExt;
use serde_json::json;
use xenpod_api::proxy::EventEntry;
use zbus::Variant;

use crate::cli;
use crate::client::Client;
use crate::failure::Failure;
use crate::table;

/// Events asked for at a time: an answer stays well below what a message may hold.
const PAGE: u32 = 500;

type Options = HashMap<&'static str, Variant<'static>>;

pub async fn run(client: &Client, args: cli::Events, as_json: bool) -> Result<ExitCode, Failure> {
    let filter = options(&args.filter)?;
    if !args.follow {
        print_after(client, &filter, args.since.unwrap_or(0), as_json).await?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before the list, so that nothing falls between. A signal only says that there is something to list: a lost one loses nothing.
    let mut told = client.manager.receive_event().await?;
    let mut owners = client.manager.inner().receive_owner_changed().await?;
    client.manager.subscribe().await?;
    let mut reached = match args.since {
        Some(since) => since,
        None => newest(client).await?,
    };
    loop {
        reached = print_after(client, &filter, reached, as_json).await?;
        tokio::select! {
            event = told.next() => if event.is_none() {
                return Err(Failure::Bus(zbus::Error::InputOutput(std::io::Error::other("the bus is gone").into())));
            },
            owner = owners.next() => if owner.flatten().is_some() {
                // Another daemon: it knows nothing of who listens, but goes on with the numbers.
                client.manager.subscribe().await?;
            },
        }
    }
}

/// What `--filter` says, as the daemon's options.
fn options(filters: &[String]) -> Result<Options, Failure> {
    let mut options = Options::new();
    for filter in filters {
        let (key, value) = match filter.split_once('=') {
            Some(("pod", value)) => ("pod", value),
            Some(("type", value)) => ("type", value),
            Some(("label", value)) => ("label", value),
            _ => {
                let text = format!("--filter {filter}: it must be pod=NAME, type=TYPE, label=KEY or label=KEY=VALUE");
                return Err(Failure::Usage(text));
            }
        };
        if options.insert(key, Variant::from(value.to_string())).is_some() {
            return Err(Failure::Usage(format!("--filter {key}= is given twice")));
        }
    }
    Ok(options)
}

/// The number of the last event there was.
async fn newest(client: &Client) -> Result<u64, Failure> {
    let last = Options::from([("since", Variant::from(u64::MAX - 1)), ("limit", Variant::from(1u32))]);
    Ok(client.manager.list_events(last).await?.2)
}

/// Prints what there is after a number, and returns how far that goes.
async fn print_after(client: &Client, filter: &Options, mut since: u64, as_json: bool) -> Result<u64, Failure> {
    loop {
        let mut options: Options = HashMap::from([("since", Variant::from(since)), ("limit", Variant::from(PAGE))]);
        for (key, value) in filter {
            options.insert(key, value.try_clone().map_err(Failure::Bus)?);
        }
        let (events, oldest, reached) = client.manager.list_events(options).await?;
        if since > 0 && oldest > since + 1 {
            eprintln!("xenpodctl: events {} to {} are not kept any more, or never were", since + 1, oldest - 1);
        }
        let mut out = std::io::stdout().lock();
        let written = events.iter().try_for_each(|event| {
            if as_json { writeln!(out, "{}", object(event)) } else { writeln!(out, "{}", line(event)) }
        });
        match written.and_then(|()| out.flush()) {
            Ok(()) => {}
            // The reader has seen enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
            Err(e) => return Err(Failure::Io("standard output".into(), e)),
        }
        since = reached.max(since);
        if events.len() < PAGE as usize {
            return Ok(since);
        }
    }
}

fn object((number, usec, kind, object, pod, attributes): &EventEntry) -> serde_json::Value {
    json!({
        "number": number, "time": usec, "type": kind, "object": object.as_str(), "pod": pod, "attributes": attributes,
    })
}

fn line((number, usec, kind, object, pod, attributes): &EventEntry) -> String {
    let about = if pod.is_empty() { object.as_str() } else { pod };
    let mut line = format!("{} {number} {kind} {about}", table::time(*usec));
    for (key, value) in attributes.iter().filter(|(key, _)| *key != "owner") {
        let plain = !value.is_empty() && value.chars().all(|c| c.is_ascii_graphic() && c != '"');
        line.push_str(&if plain { format!(" {key}={value}") } else { format!(" {key}={value:?}") });
    }
    line
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn event() -> EventEntry {
        let attributes = [("container", "main"), ("message", "killed for memory"), ("owner", "uid:0")];
        let attributes: BTreeMap<String, String> =
            attributes.into_iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let object = zbus::OwnedObjectPath::try_from("/org/xenpod1/pod/a/container/main").unwrap();
        (7, 1_700_000_000_123_456, "container-exited".into(), object, "web".into(), attributes)
    }

    #[test]
    fn an_event_is_a_line() {
        assert_eq!(
            line(&event()),
            "2023-11-14T22:13:20.123456Z 7 container-exited web container=main message=\"killed for memory\""
        );
        assert_eq!(
            object(&event()).to_string(),
            "{\"number\":7,\"time\":1700000000123456,\"type\":\"container-exited\",\
             \"object\":\"/org/xenpod1/pod/a/container/main\",\"pod\":\"web\",\
             \"attributes\":{\"container\":\"main\",\"message\":\"killed for memory\",\"owner\":\"uid:0\"}}"
        );
    }

    #[test]
    fn filters_are_checked() {
        let parse = |words: &[&str]| options(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let options = parse(&["pod=web", "label=app=db", "type=pod-state"]).unwrap();
        assert_eq!(options["label"], Variant::from("app=db"));
        assert_eq!(options.len(), 3);
        for bad in [&["colour=red"][..], &["web"], &["pod=a", "pod=b"]] {
            assert!(matches!(parse(bad), Err(Failure::Usage(_))), "{bad:?}");
        }
    }
}
