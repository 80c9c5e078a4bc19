//! Exec, signals, removal, the end.

use std::time::{Duration, Instant};

use xenpod_protocol::message::event::What;
use xenpod_protocol::message::{ErrorKind, Process, RunState, SignalExec, Stdio, request};

use super::{Checks, equal, exec as exec_op, holds, inspection, is, shell, signal, stats};
use crate::peer::{Result, process};

/// A container that sleeps.
fn sleeper(c: &mut Checks<'_>) -> Result<(String, Stdio)> {
    let name = c.name();
    let stdio = Stdio { stdin: 0, stdout: c.stream(), stderr: 0 };
    c.peer.create(
        &name,
        shell("trap 'echo term; exit 3' TERM; echo up; while :; do sleep 0.05; done"),
        stdio,
        |_| {},
    )?;
    c.peer.start(&name)?;
    c.peer.until("up", |peer| (peer.text(stdio.stdout) == "up\n").then_some(()))?;
    Ok((name, stdio))
}

pub fn exec(c: &mut Checks<'_>) -> Result<()> {
    let (name, stdio) = sleeper(c)?;
    let streams = Stdio { stdin: c.stream(), stdout: c.stream(), stderr: c.stream() };
    c.peer.open(&streams)?;
    let script =
        "cat; hostname; cat /proc/self/cgroup; cat /proc/1/cmdline | tr '\\0' ' ' | cut -c1-10; echo oops >&2; exit 9";
    c.peer.must(exec_op("e1", &name, Process { user: "web".into(), ..shell(script) }, streams))?;
    c.peer.write_all(streams.stdin, b"typed\n", true)?;
    let exit = c.peer.wait_for(|what| match what {
        What::ExecExited(exited) if exited.id == "e1" => exited.exit.clone(),
        _ => None,
    })?;
    c.peer.until("end", |peer| peer.ended.get(&streams.stdout).map(|_| ()))?;
    equal("exit", exit.code, 9)?;
    equal("output", c.peer.text(streams.stdout).as_str(), "typed\npod-1\n0::/\n/bin/sh -c\n")?;
    c.peer.until("error", |peer| (peer.text(streams.stderr) == "oops\n").then_some(()))?;

    // One that goes on until it is told otherwise; one that dies with its container.
    let none = Stdio::default();
    c.peer.must(exec_op("e2", &name, shell("sleep 1000"), none))?;
    c.peer.must(exec_op("e3", &name, shell("sleep 1000"), none))?;
    equal("taken", c.peer.refused(exec_op("e3", &name, shell("true"), none))?.kind(), ErrorKind::Exists)?;
    c.peer.must(request::Op::SignalExec(SignalExec { id: "e2".into(), signal: 15 }))?;
    let mut ended = |id: &str| {
        c.peer.wait_for(|what| match what {
            What::ExecExited(exited) if exited.id == id => exited.exit.clone(),
            _ => None,
        })
    };
    equal("signalled", ended("e2")?.signal, 15)?;
    signal(c, &name, 15, false)?;
    let ran = c.wait(&name, stdio)?;
    equal("the container", (ran.out.as_str(), ran.exit.code), ("up\nterm\n", 3))?;
    let e3 = c.peer.events.iter().any(|what| matches!(what, What::ExecExited(e) if e.id == "e3"));
    if !e3 {
        c.peer.wait_for(|what| matches!(what, What::ExecExited(e) if e.id == "e3").then_some(()))?;
    }
    equal("gone", c.peer.refused(exec_op("e4", &name, shell("true"), none))?.kind(), ErrorKind::BadState)?;
    c.remove(&name)
}

pub fn exec_missing(c: &mut Checks<'_>) -> Result<()> {
    let (name, _) = sleeper(c)?;
    let start = Instant::now();
    let missing = Process { argv: vec!["nope".into()], ..process() };
    let error = c.peer.refused(exec_op("m1", &name, missing, Stdio::default()))?;
    holds("soon", start.elapsed() < Duration::from_secs(1), &start.elapsed())?;
    let expected = format!("command \"nope\" not found in container {name}: no such file or directory");
    equal("message", (error.message.as_str(), error.kind()), (expected.as_str(), ErrorKind::NotFound))?;
    let nowhere = Process { cwd: "/no/such".into(), ..shell("pwd") };
    let error = c.peer.refused(exec_op("m2", &name, nowhere, Stdio::default()))?;
    let expected = format!("working directory \"/no/such\" in container {name}: no such file or directory");
    equal("directory", error.message, expected)?;
    equal(
        "container",
        c.peer.refused(exec_op("m3", "ghost", shell("true"), Stdio::default()))?.kind(),
        ErrorKind::NoSuch,
    )?;
    c.remove(&name)
}

pub fn signals(c: &mut Checks<'_>) -> Result<()> {
    let (name, stdio) = sleeper(c)?;
    let op = xenpod_protocol::message::SignalContainer { name: name.clone(), signal: 65, all: false };
    equal("number", c.peer.refused(request::Op::SignalContainer(op))?.kind(), ErrorKind::Invalid)?;
    signal(c, &name, 9, false)?;
    let ran = c.wait(&name, stdio)?;
    equal("killed", (ran.exit.signal, ran.exit.code, ran.exit.oom_killed), (9, 0, false))?;
    let op = xenpod_protocol::message::SignalContainer { name: name.clone(), signal: 15, all: false };
    equal("over", c.peer.refused(request::Op::SignalContainer(op))?.kind(), ErrorKind::BadState)?;
    c.remove(&name)?;
    let (name, stdio) = sleeper(c)?;
    signal(c, &name, 9, true)?;
    equal("all killed", c.wait(&name, stdio)?.exit.signal, 9)?;
    c.remove(&name)
}

pub fn remove(c: &mut Checks<'_>) -> Result<()> {
    let (name, _) = sleeper(c)?;
    c.remove(&name)?;
    let inspection = inspection(c)?;
    holds("forgotten", inspection.containers.is_empty() && inspection.execs.is_empty(), &inspection)?;
    let op = request::Op::RemoveContainer(xenpod_protocol::message::RemoveContainer { name });
    equal("again", c.peer.refused(op)?.kind(), ErrorKind::NoSuch)
}

pub fn inspect(c: &mut Checks<'_>) -> Result<()> {
    let (name, stdio) = sleeper(c)?;
    holds("running", is(&inspection(c)?, &name, RunState::Running), &name)?;
    let before = stats(c)?;
    c.peer.listen(Duration::from_millis(300))?;
    let after = stats(c)?;
    let find = |s: &xenpod_protocol::message::Stats| s.containers.iter().find(|c| c.name == name).cloned();
    let (Some(first), Some(second)) = (find(&before), find(&after)) else { return Err("no such container".into()) };
    holds("cpu time grows", second.cpu_ns > first.cpu_ns && first.cpu_ns > 0, &(first.cpu_ns, second.cpu_ns))?;
    holds("memory", second.memory_bytes > 0 && second.memory_working_set <= second.memory_bytes, &second)?;
    holds("processes", second.pids >= 1, &second)?;
    holds("domain", after.memory_available < after.memory_total && after.memory_available > 0, &after)?;
    println!("# {} KiB of {} KiB available", after.memory_available / 1024, after.memory_total / 1024);
    signal(c, &name, 15, false)?;
    c.wait(&name, stdio)?;
    let inspection = inspection(c)?;
    holds("exited", is(&inspection, &name, RunState::Exited), &inspection)?;
    equal("its code", inspection.containers[0].exit.clone().map(|exit| exit.code), Some(3))?;
    c.remove(&name)
}

pub fn names(c: &mut Checks<'_>) -> Result<()> {
    let (name, _) = sleeper(c)?;
    let wanted = xenpod_protocol::message::CreateContainer { name: name.clone(), ..Default::default() };
    equal("taken", c.peer.refused(request::Op::CreateContainer(wanted))?.kind(), ErrorKind::Exists)?;
    let wanted = xenpod_protocol::message::CreateContainer { name: "../x".into(), ..Default::default() };
    equal("a path", c.peer.refused(request::Op::CreateContainer(wanted))?.kind(), ErrorKind::Invalid)?;
    c.remove(&name)
}

pub fn shutdown(c: &mut Checks<'_>) -> Result<()> {
    let (name, stdio) = sleeper(c)?;
    let start = Instant::now();
    c.peer.shutdown(5000)?;
    let exit = c.peer.events.iter().find_map(|what| match what {
        What::ContainerExited(exited) if exited.name == name => exited.exit.clone(),
        _ => None,
    });
    equal("exit code", exit.map(|exit| exit.code), Some(3))?;
    equal("last words", c.peer.text(stdio.stdout).as_str(), "up\nterm\n")?;
    holds("no waiting for nothing", start.elapsed() < Duration::from_secs(4), &start.elapsed())?;
    let told = c.peer.events.iter().any(|what| matches!(what, What::ShuttingDown(s) if s.reason == "daemon"));
    holds("told", told, &c.peer.events.len())
}

pub fn configure_shared(c: &mut Checks<'_>) -> Result<()> {
    c.peer.configure(|wanted| wanted.share_process_namespace = true)
}

pub fn see_each_other(c: &mut Checks<'_>) -> Result<()> {
    let (name, _) = sleeper(c)?;
    let ran = c.run(shell("echo $$; ps | grep -c 'echo [u]p'; kill -0 2 && echo reached"), |_| {})?;
    let lines: Vec<&str> = ran.out.lines().collect();
    holds("not the first", lines.first().and_then(|pid| pid.parse::<u32>().ok()) > Some(1), &ran)?;
    equal("the other", &lines[1..], &["1", "reached"])?;
    c.remove(&name)
}

pub fn all_end(c: &mut Checks<'_>) -> Result<()> {
    let ran = c.run(shell("sleep 1000 & sleep 1001 & echo fine"), |_| {})?;
    equal("output", (ran.out.as_str(), ran.exit.code), ("fine\n", 0))?;
    c.peer.listen(Duration::from_millis(300))?;
    // 1 is the holder of the namespace; orphans were collected by it.
    let ran = c.run(shell("ls -d /proc/[0-9]* | wc -l; ps | grep -c '[s]leep 100'"), |_| {})?;
    holds("nothing is left", ran.out.ends_with("\n0\n"), &ran)
}
