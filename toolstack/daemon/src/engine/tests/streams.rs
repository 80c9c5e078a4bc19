//! Containers' own streams, commands that are left alone, and connections to ports.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use tokio::sync::oneshot;
use xenpod_api::error::ErrorName;
use xenpod_api::state::{ExitReason, PodState};

use super::super::exec::{ExecRequest, ExecSpec, Running as Started};
use super::super::pod::Ask;
use super::super::streams::{AttachRequest, ForwardRequest, ResizeRequest};
use super::super::{Failure, PodHandle};
use super::{Lab, Running, done, manifest, until};
use crate::logs::{Follow, Since};

async fn attach(pod: &PodHandle, stdin: bool) -> Result<Option<OwnedFd>, Failure> {
    let (answer, result) = oneshot::channel();
    pod.ask(Ask::Attach(AttachRequest { container: "main".into(), stdin, answer }));
    result.await.unwrap()
}

async fn forward(pod: &PodHandle, port: u16) -> Result<OwnedFd, Failure> {
    let (answer, result) = oneshot::channel();
    pod.ask(Ask::Forward(ForwardRequest { port, answer }));
    result.await.unwrap()
}

async fn resize(pod: &PodHandle, container: &str) -> Result<(), Failure> {
    let (answer, result) = oneshot::channel();
    pod.ask(Ask::ResizeTerminal(ResizeRequest { container: container.into(), rows: 50, columns: 132, answer }));
    result.await.unwrap()
}

/// A running pod of one container with these lines in its manifest.
async fn pod(r: &Running, command: &str, more: &str) -> PodHandle {
    let text = manifest("web", "Never", &[("main", "app", command)]) + more;
    let (job, pod) = r.create(text, true).await;
    assert_eq!(job.wait().await, done());
    pod
}

const STDIN: &str = "    stdin: true\n";
const ONCE: &str = "    stdin: true\n    stdinOnce: true\n";

async fn write(pipe: OwnedFd, text: &'static str) -> File {
    let write = move || {
        let mut pipe = File::from(pipe);
        pipe.write_all(text.as_bytes()).unwrap();
        pipe
    };
    tokio::task::spawn_blocking(write).await.unwrap()
}

/// What comes next in the container's log.
async fn next(log: &mut Follow) -> String {
    String::from_utf8(log.next().await.unwrap().map_or(Vec::new(), |(_, bytes)| bytes)).unwrap()
}

#[test]
fn what_is_written_to_a_container_is_read_by_it() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = pod(&r, "cat", STDIN).await;
        let mut log = Follow::new(&pod.log("main").unwrap(), Since::Now, true, false).unwrap();
        let first = write(attach(&pod, true).await.unwrap().unwrap(), "one\n").await;
        assert_eq!(next(&mut log).await, "one\n");
        // Two at a time, and neither's end is the container's.
        let second = write(attach(&pod, true).await.unwrap().unwrap(), "two\n").await;
        assert_eq!(next(&mut log).await, "two\n");
        drop((first, second));
        drop(write(attach(&pod, true).await.unwrap().unwrap(), "three\n").await);
        assert_eq!(next(&mut log).await, "three\n");
        assert_eq!(pod.status().state(), PodState::Running);
        assert!(attach(&pod, false).await.unwrap().is_none());
        r.stop(&pod).await;
        let error = attach(&pod, true).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::BadState);
        assert_eq!(error.to_string(), "pod web: cannot attach to it while it is stopped: start it first");
    });
}

#[test]
fn input_that_is_given_once_ends_with_who_gave_it() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = pod(&r, "cat", ONCE).await;
        let mut log = Follow::new(&pod.log("main").unwrap(), Since::Now, true, false).unwrap().one_run();
        drop(write(attach(&pod, true).await.unwrap().unwrap(), "all of it").await);
        let (mut all, mut more) = (String::new(), next(&mut log).await);
        while !more.is_empty() {
            all += &more;
            more = next(&mut log).await;
        }
        assert_eq!(all, "all of it");
        until(&pod, PodState::Stopped).await;
        assert_eq!(pod.status().container("main").unwrap().reason, Some(ExitReason::Completed));
    });
}

#[test]
fn input_goes_on_with_the_next_daemon() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = pod(&r, "cat", STDIN).await;
        let mut log = Follow::new(&pod.log("main").unwrap(), Since::Now, true, false).unwrap();
        let _held = write(attach(&pod, true).await.unwrap().unwrap(), "one\n").await;
        assert_eq!(next(&mut log).await, "one\n");
    });
    lab.run(async |r| {
        let pod = r.engine.find("web").unwrap();
        let mut log = Follow::new(&pod.log("main").unwrap(), Since::Now, true, false).unwrap();
        let _held = write(attach(&pod, true).await.unwrap().unwrap(), "two\n").await;
        assert_eq!(next(&mut log).await, "two\n");
    });
}

#[test]
fn what_a_container_has_not_is_refused() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = pod(&r, "sleep", "").await;
        let error = attach(&pod, true).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::BadState);
        assert_eq!(
            error.to_string(),
            "container main of pod web has no standard input: its manifest does not say `stdin: true`"
        );
        let error = resize(&pod, "main").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "container main of pod web has no terminal: its manifest does not say `tty: true`"
        );
        assert_eq!(resize(&pod, "nosuch").await.unwrap_err().name(), ErrorName::NoSuchContainer);
    });
}

#[test]
fn a_terminal_gets_a_size() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = pod(&r, "cat", "    stdin: true\n    stdinOnce: true\n    tty: true\n").await;
        resize(&pod, "main").await.unwrap();
        let mut log = Follow::new(&pod.log("main").unwrap(), Since::Now, true, false).unwrap();
        // At a terminal, who leaves does not end it.
        drop(write(attach(&pod, true).await.unwrap().unwrap(), "a").await);
        assert_eq!(next(&mut log).await, "a");
        drop(write(attach(&pod, true).await.unwrap().unwrap(), "b").await);
        assert_eq!(next(&mut log).await, "b");
    });
}

async fn exec(pod: &PodHandle, command: &str) -> Started {
    let (answer, result) = oneshot::channel();
    let spec = ExecSpec { command: vec![command.into()], stdin: true, ..ExecSpec::default() };
    pod.ask(Ask::Exec(ExecRequest { container: "main".into(), by_uid: 0, spec, answer }));
    result.await.unwrap().unwrap()
}

#[test]
fn a_command_ends_with_its_input_unless_it_was_detached() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = pod(&r, "sleep", "").await;
        let ends = exec(&pod, "cat").await;
        let [stdin, stdout, _] = ends.pipes;
        drop(write(stdin, "x").await);
        assert_eq!(ends.exec.wait().await, (0, ExitReason::Completed));
        let read = || std::io::read_to_string(File::from(stdout)).unwrap();
        assert_eq!(tokio::task::spawn_blocking(read).await.unwrap(), "x", "what was written before the end is there");

        let stays = exec(&pod, "cat").await;
        stays.exec.detach();
        drop(stays.pipes);
        // All that the link was told before this has been done when this is answered.
        exec(&pod, "other").await.exec.wait().await;
        assert_eq!(stays.exec.status().ended, None);
    });
}

#[test]
fn a_port_is_reached_through_a_socket() {
    let lab = Lab::new();
    lab.run(async |r| {
        let pod = pod(&r, "sleep", "").await;
        let socket = UnixStream::from(forward(&pod, 7).await.unwrap());
        let talk = move || {
            let mut socket = socket;
            socket.write_all(b"ping").unwrap();
            socket.shutdown(std::net::Shutdown::Write).unwrap();
            let mut back = String::new();
            socket.read_to_string(&mut back).unwrap();
            back
        };
        assert_eq!(tokio::task::spawn_blocking(talk).await.unwrap(), "ping");
        let error = forward(&pod, 81).await.unwrap_err();
        assert_eq!(error.name(), ErrorName::ConnectionRefused);
        assert_eq!(error.to_string(), "pod web: cannot connect to port 81 of the pod: connection refused");
        r.stop(&pod).await;
        let error = forward(&pod, 7).await.unwrap_err();
        assert_eq!(error.to_string(), "pod web: cannot forward a port of it while it is stopped: start it first");
    });
}
