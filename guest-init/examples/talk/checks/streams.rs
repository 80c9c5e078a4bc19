//! Output, input, terminals.

use std::time::Duration;

use xenpod_protocol::message::{ResizeTty, Stdio, Tty, request, resize_tty};

use super::{Checks, equal, holds, shell};
use crate::peer::Result;

/// 0 to n-1, one a line.
fn numbers(n: u32) -> String {
    (1..=n).map(|i| format!("{i}\n")).collect()
}

pub fn back_pressure(c: &mut Checks<'_>) -> Result<()> {
    let name = c.name();
    let stdio = Stdio { stdin: 0, stdout: c.stream(), stderr: c.stream() };
    c.peer.unread.push(stdio.stdout);
    c.peer.create(&name, shell("seq 1 100000; echo done >&2"), stdio, |_| {})?;
    c.peer.start(&name)?;
    let other = c.run(shell("seq 1 30000"), |_| {})?;
    equal("another container", other.out, numbers(30000))?;
    c.peer.listen(Duration::from_millis(300))?;
    equal("its writer waits", c.peer.text(stdio.stderr).as_str(), "")?;
    let length = c.peer.text(stdio.stdout).len();
    equal("what came is a window", length, xenpod_protocol::session::WINDOW)?;
    c.peer.read_again(stdio.stdout)?;
    let ran = c.wait(&name, stdio)?;
    equal("then all of it", (ran.out.len(), ran.err.as_str()), (numbers(100_000).len(), "done\n"))?;
    equal("in order", ran.out, numbers(100_000))?;
    c.remove(&name)
}

pub fn restart(c: &mut Checks<'_>) -> Result<()> {
    let name = c.name();
    let stdio = Stdio { stdin: 0, stdout: c.stream(), stderr: 0 };
    c.peer.create(&name, shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done; exit 5"), stdio, |_| {})?;
    c.peer.start(&name)?;
    for _ in 0..3 {
        let before = c.peer.text(stdio.stdout).len();
        c.peer.until("more output", |peer| (peer.text(stdio.stdout).len() > before + 5000).then_some(()))?;
        c.peer.restart()?;
        equal("hello", c.peer.hello.configured, true)?;
    }
    let ran = c.wait(&name, stdio)?;
    equal("exit", ran.exit.code, 5)?;
    equal("all of it, once", ran.out, numbers(20_000))?;
    c.remove(&name)
}

pub fn stdin(c: &mut Checks<'_>) -> Result<()> {
    let name = c.name();
    let stdio = Stdio { stdin: c.stream(), stdout: c.stream(), stderr: 0 };
    c.peer.create(&name, shell("sleep 0.2; md5sum; echo $?"), stdio, |_| {})?;
    let bytes = numbers(60_000);
    // More than a window: what does not fit waits until it is started.
    c.peer.start(&name)?;
    c.peer.write_all(stdio.stdin, bytes.as_bytes(), true)?;
    let ran = c.wait(&name, stdio)?;
    c.remove(&name)?;
    // md5 of `seq 1 60000`, by coreutils.
    equal("digest", ran.out.as_str(), &format!("{SEQ_60000}  -\n0\n"))?;

    // Before there is a process, and to one that does not read it.
    let name = c.name();
    let stdio = Stdio { stdin: c.stream(), stdout: c.stream(), stderr: 0 };
    c.peer.create(&name, shell("read a; echo $a"), stdio, |_| {})?;
    c.peer.write_all(stdio.stdin, b"early\nnever read\n", false)?;
    c.peer.start(&name)?;
    let ran = c.wait(&name, stdio)?;
    equal("early", ran.out.as_str(), "early\n")?;
    c.remove(&name)
}

/// `seq 1 60000 | md5sum`
const SEQ_60000: &str = "32e8d2bbb8984bd14d9ad0ccf2a33ea5";

pub fn terminal(c: &mut Checks<'_>) -> Result<()> {
    let name = c.name();
    let stdio = Stdio { stdin: c.stream(), stdout: c.stream(), stderr: 0 };
    let mut process =
        shell("tty; stty size; echo $TERM; ls -l /dev/console | cut -c1; read a; stty size; echo got $a; cat");
    process.tty = Some(Tty { rows: 33, columns: 77 });
    c.peer.create(&name, process, stdio, |_| {})?;
    c.peer.start(&name)?;
    c.peer.until("first lines", |peer| peer.text(stdio.stdout).contains("xterm\r\nc\r\n").then_some(()))?;
    let size = Some(Tty { rows: 10, columns: 20 });
    let resize = ResizeTty { of: Some(resize_tty::Of::Container(name.clone())), size };
    c.peer.must(request::Op::ResizeTty(resize))?;
    c.peer.write_all(stdio.stdin, b"line\nmore\n", true)?;
    let ran = c.wait(&name, stdio)?;
    c.remove(&name)?;
    holds("first", ran.out.starts_with("/dev/pts/0\r\n33 77\r\nxterm\r\n"), &ran.out)?;
    holds("resized", ran.out.contains("10 20\r\ngot line\r\n"), &ran.out)?;
    holds("end of input ends it", ran.exit.code == 0 && ran.out.ends_with("more\r\n"), &ran)
}

pub fn short_lives(c: &mut Checks<'_>) -> Result<()> {
    for i in 0..50 {
        let ran = c.run(shell(&format!("echo {i}; echo e{i} >&2; exit {i}")), |_| {})?;
        let expected = (format!("{i}\n"), format!("e{i}\n"), i);
        equal("output", (ran.out, ran.err, ran.exit.code), expected)?;
    }
    Ok(())
}

pub fn held_open(c: &mut Checks<'_>) -> Result<()> {
    let ran = c.run(shell("sleep 1000 & echo gone"), |_| {})?;
    equal("output", (ran.out.as_str(), ran.exit.code), ("gone\n", 0))
}
