//! `xenpodctl port-forward`: listens here; each connection becomes one to a port of the pod.

use std::collections::HashMap;
use std::process::ExitCode;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use xenpod_api::error::ErrorName;
use xenpod_api::proxy::PodProxy;

use crate::cli;
use crate::client::Client;
use crate::failure::Failure;

/// `REMOTE`, `LOCAL:REMOTE` or `:REMOTE`, as the local port (0 for any) and the pod's.
pub fn ports(text: &str) -> Result<(u16, u16), String> {
    let (local, remote) = match text.split_once(':') {
        Some(("", remote)) => ("0", remote),
        Some(pair) => pair,
        None => (text, text),
    };
    let port = |text: &str| text.parse::<u16>().map_err(|_| format!("{text:?} is not a port: 1 to 65535"));
    match (port(local)?, port(remote)?) {
        (_, 0) => Err("0 is not a port of a pod: 1 to 65535".into()),
        pair => Ok(pair),
    }
}

pub async fn run(client: &Client, args: cli::PortForward, as_json: bool) -> Result<ExitCode, Failure> {
    let pod = client.pod(&args.pod).await?;
    let bad_state = |message| Failure::Daemon { name: ErrorName::BadState.as_str().into(), message };
    let state = pod.state().await?;
    if state != "running" {
        return Err(bad_state(format!("pod {}: cannot forward a port of it while it is {state}", args.pod)));
    }
    let mut listeners = Vec::new();
    for (local, remote) in &args.ports {
        let failed = |e| Failure::Io(format!("cannot listen on {} port {local}", args.address), e);
        let listener = TcpListener::bind((args.address, *local)).await.map_err(failed)?;
        listeners.push((listener.local_addr().map_err(failed)?, *remote, listener));
    }
    if as_json {
        let list = listeners.iter().map(|(at, remote, _)| json!({"listening": at.to_string(), "remote": remote}));
        crate::json::print(&list.collect());
    } else {
        for (at, remote, _) in &listeners {
            println!("Forwarding from {at} to port {remote} of pod {}", args.pod);
        }
    }
    let mut serving = JoinSet::new();
    for (_, remote, listener) in listeners {
        serving.spawn(serve(listener, pod.clone(), remote));
    }
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| Failure::Io("signal handler".into(), e))?;
    tokio::select! {
        ended = pod.wait(HashMap::new()) => {
            let (state, _) = ended?;
            Err(bad_state(format!("pod {} is {state}: its ports are gone", args.pod)))
        }
        _ = interrupt.recv() => Ok(ExitCode::SUCCESS),
    }
}

async fn serve(listener: TcpListener, pod: PodProxy<'static>, remote: u16) {
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((here, _)) => drop(connections.spawn(forward(here, pod.clone(), remote))),
            // Too many files are open, for example: those that end make room.
            Err(error) => {
                eprintln!("xenpodctl: a connection was not taken: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut here: TcpStream, pod: PodProxy<'static>, remote: u16) {
    let there = match pod.port_forward(remote, HashMap::new()).await.map_err(Failure::from) {
        Ok(socket) => socket,
        Err(failure) => return eprintln!("xenpodctl: {failure}"),
    };
    let there = std::os::unix::net::UnixStream::from(std::os::fd::OwnedFd::from(there));
    // Who goes away early is no failure.
    if let Ok(mut there) = there.set_nonblocking(true).and_then(|()| UnixStream::from_std(there)) {
        let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
    }
}
