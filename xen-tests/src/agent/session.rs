//! One command: its process, the threads that carry its streams, and its end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::Port;
use crate::wire::{Message, Start};

/// How long output may still come from those a command left behind, counted from the last byte.
const LINGER: Duration = Duration::from_millis(300);

/// A running command.
pub struct Session {
    group: Option<Pid>,
    stdin: Option<Sender<Vec<u8>>>,
    terminal: Option<File>,
}

impl Session {
    /// Starts the command and the threads that serve it; the last of them sends `Exit`.
    pub fn start(start: Start, port: Port) -> io::Result<Session> {
        match start.tty {
            None => Session::with_pipes(&start, port),
            Some(size) => Session::with_terminal(&start, size, port),
        }
    }

    fn with_pipes(start: &Start, port: Port) -> io::Result<Session> {
        let mut command = Command::new(&start.argv[0]);
        command.args(&start.argv[1..]).process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.stdin(if start.stdin { Stdio::piped() } else { Stdio::null() });
        let mut child = spawn(command, start)?;
        let (alive, output) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            carry(stdout, port.clone(), alive.clone(), Message::Stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            carry(stderr, port.clone(), alive.clone(), Message::Stderr);
        }
        let stdin = child.stdin.take().map(feed);
        let group = Pid::from_raw(child.id() as i32);
        std::thread::spawn(move || finish(child, alive, output, port));
        Ok(Session { group, stdin, terminal: None })
    }

    fn with_terminal(start: &Start, (rows, columns): (u16, u16), port: Port) -> io::Result<Session> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = File::from(ioctl_tiocgptpeer(&master, flags)?);
        let master = File::from(master);
        tcsetwinsize(&master, window(rows, columns))?;
        // Becoming the leader of a session takes code between fork and exec, which is unsafe here and safe in setsid(1).
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(&start.argv);
        command.stdin(slave.try_clone()?).stdout(slave.try_clone()?).stderr(slave);
        let child = spawn(command, start)?;
        let (alive, output) = mpsc::channel();
        carry(master.try_clone()?, port.clone(), alive.clone(), Message::Stdout);
        let group = Pid::from_raw(child.id() as i32);
        let stdin = Some(feed(master.try_clone()?));
        std::thread::spawn(move || finish(child, alive, output, port));
        Ok(Session { group, stdin, terminal: Some(master) })
    }

    /// Queues bytes for the command; an empty chunk ends its standard input.
    pub fn stdin(&self, bytes: Vec<u8>) {
        if let Some(stdin) = &self.stdin {
            // A command that has closed its input, or is over, does not want it.
            let _ = stdin.send(bytes);
        }
    }

    /// Tells the terminal its new size.
    pub fn resize(&self, rows: u16, columns: u16) {
        if let Some(terminal) = &self.terminal
            && let Err(error) = tcsetwinsize(terminal, window(rows, columns))
        {
            eprintln!("the terminal was not resized: {error}");
        }
    }

    /// Kills the command and whatever of its process group is left.
    pub fn kill(&self) {
        if let Some(group) = self.group
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            eprintln!("the command was not killed: {error}");
        }
    }
}

fn window(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

/// The error names the program: the lab passes it on as it is.
fn spawn(mut command: Command, start: &Start) -> io::Result<Child> {
    command.envs(start.env.iter().map(|(key, value)| (key, value)));
    command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", start.argv[0])))
}

/// Sends all of a stream to the lab. Each chunk, and the end by dropping `alive`, is told to `finish`.
fn carry(mut from: impl Read + Send + 'static, port: Port, alive: Sender<()>, wrap: fn(Vec<u8>) -> Message) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        // A terminal whose last process is gone reports EIO, which is its end of file.
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            port.send(&wrap(buffer[..count].to_vec()));
            let _ = alive.send(());
        }
    });
}

/// A thread of its own, so that a command that does not read never stops the agent from hearing the lab.
fn feed(mut to: impl Write + Send + 'static) -> Sender<Vec<u8>> {
    let (sender, receiver) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        while let Ok(bytes) = receiver.recv() {
            if bytes.is_empty() || to.write_all(&bytes).and_then(|()| to.flush()).is_err() {
                break;
            }
        }
    });
    sender
}

/// Waits for the command, then for the end of its output; daemons that hold its pipes open are not waited for.
fn finish(mut child: Child, alive: Sender<()>, output: mpsc::Receiver<()>, port: Port) {
    let status = child.wait();
    drop(alive);
    while !matches!(output.recv_timeout(LINGER), Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)) {}
    port.send(&match status {
        Ok(status) => Message::Exit(as_shell(status)),
        Err(error) => Message::Refused(error.to_string()),
    });
}

fn as_shell(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255)
}
