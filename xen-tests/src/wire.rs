//! The frames between the lab and its agent in dom0, over one virtio-serial port: `kind:u8 length:u32le payload`.
//! One command runs at a time; everything but `Start` and `Exit` may come in any order between those two.

use std::io::{self, Read, Write};

/// No frame is larger; a longer one means that the two ends have lost step.
pub const MAX_FRAME: usize = 1 << 20;

/// The name of the port, in QEMU and under `/dev/virtio-ports`.
pub const PORT_NAME: &str = "org.xenpod.lab";

/// One message, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Lab to agent: answer with `Pong` and the same number.
    Ping(u64),
    /// Agent to lab.
    Pong(u64),
    /// Lab to agent: set the wall clock, in nanoseconds since the epoch. A loaded snapshot wakes up in the past.
    Clock(u64),
    /// Lab to agent: run a command.
    Start(Start),
    /// Lab to agent: bytes for the command's standard input. None at all means its end.
    Stdin(Vec<u8>),
    /// Lab to agent: the terminal has a new size (rows, columns).
    Resize(u16, u16),
    /// Lab to agent: kill the command and its process group.
    Kill,
    /// Agent to lab.
    Stdout(Vec<u8>),
    /// Agent to lab.
    Stderr(Vec<u8>),
    /// Agent to lab: the command is over. A signal is reported as a shell does, as 128 plus its number.
    Exit(i32),
    /// Agent to lab: the command could not be started.
    Refused(String),
}

/// A command to run in dom0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// Program and arguments; never empty.
    pub argv: Vec<String>,
    /// Variables beside the agent's own.
    pub env: Vec<(String, String)>,
    /// A terminal of this many rows and columns instead of pipes.
    pub tty: Option<(u16, u16)>,
    /// Whether `Stdin` will follow; otherwise the command reads from `/dev/null`.
    pub stdin: bool,
}

impl Message {
    fn kind(&self) -> u8 {
        match self {
            Message::Ping(_) => 1,
            Message::Pong(_) => 2,
            Message::Clock(_) => 3,
            Message::Start(_) => 4,
            Message::Stdin(_) => 5,
            Message::Resize(..) => 6,
            Message::Kill => 7,
            Message::Stdout(_) => 8,
            Message::Stderr(_) => 9,
            Message::Exit(_) => 10,
            Message::Refused(_) => 11,
        }
    }

    /// Writes the message as one frame, in one call, so that frames of several threads do not mix.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut frame = vec![self.kind(), 0, 0, 0, 0];
        match self {
            Message::Ping(n) | Message::Pong(n) | Message::Clock(n) => frame.extend(n.to_le_bytes()),
            Message::Start(start) => start.encode(&mut frame),
            Message::Stdin(bytes) | Message::Stdout(bytes) | Message::Stderr(bytes) => frame.extend(bytes),
            Message::Resize(rows, columns) => {
                frame.extend(rows.to_le_bytes());
                frame.extend(columns.to_le_bytes());
            }
            Message::Kill => {}
            Message::Exit(code) => frame.extend(code.to_le_bytes()),
            Message::Refused(text) => frame.extend(text.as_bytes()),
        }
        let length = u32::try_from(frame.len() - 5).map_err(|_| lost("frame too long to send"))?;
        frame[1..5].copy_from_slice(&length.to_le_bytes());
        out.write_all(&frame)?;
        out.flush()
    }

    /// Reads one message. `UnexpectedEof` before the first byte is the orderly end of the stream.
    pub fn read(input: &mut impl Read) -> io::Result<Message> {
        let mut head = [0; 5];
        input.read_exact(&mut head)?;
        let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if length > MAX_FRAME {
            return Err(lost(&format!("frame of {length} bytes")));
        }
        let mut payload = vec![0; length];
        input.read_exact(&mut payload)?;
        Message::decode(head[0], payload)
    }

    fn decode(kind: u8, payload: Vec<u8>) -> io::Result<Message> {
        Ok(match kind {
            1 => Message::Ping(number(&payload)?),
            2 => Message::Pong(number(&payload)?),
            3 => Message::Clock(number(&payload)?),
            4 => Message::Start(Start::decode(&payload)?),
            5 => Message::Stdin(payload),
            6 => match payload[..] {
                [a, b, c, d] => Message::Resize(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])),
                _ => return Err(lost("size of terminal")),
            },
            7 => Message::Kill,
            8 => Message::Stdout(payload),
            9 => Message::Stderr(payload),
            10 => Message::Exit(i32::from_le_bytes(payload[..].try_into().map_err(|_| lost("exit status"))?)),
            11 => Message::Refused(String::from_utf8_lossy(&payload).into_owned()),
            other => return Err(lost(&format!("frame of kind {other}"))),
        })
    }
}

impl Start {
    /// `tty:u8 rows:u16 columns:u16 stdin:u8 argc:u32`, then the arguments and `KEY=VALUE`s, each ended by a NUL.
    fn encode(&self, frame: &mut Vec<u8>) {
        let (rows, columns) = self.tty.unwrap_or_default();
        frame.push(self.tty.is_some().into());
        frame.extend(rows.to_le_bytes());
        frame.extend(columns.to_le_bytes());
        frame.push(self.stdin.into());
        frame.extend((self.argv.len() as u32).to_le_bytes());
        for argument in &self.argv {
            frame.extend(argument.as_bytes());
            frame.push(0);
        }
        for (key, value) in &self.env {
            frame.extend(key.as_bytes());
            frame.push(b'=');
            frame.extend(value.as_bytes());
            frame.push(0);
        }
    }

    fn decode(payload: &[u8]) -> io::Result<Start> {
        let Some((head, text)) = payload.split_first_chunk::<10>() else {
            return Err(lost("command"));
        };
        let argc = u32::from_le_bytes([head[6], head[7], head[8], head[9]]) as usize;
        let Some(text) = text.strip_suffix(&[0]) else {
            return Err(lost("command without an end"));
        };
        let mut words = text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let argv: Vec<String> = words.by_ref().take(argc).collect();
        if argc == 0 || argv.len() < argc {
            return Err(lost("command with too few words"));
        }
        let env = words.filter_map(|pair| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect();
        let size = (u16::from_le_bytes([head[1], head[2]]), u16::from_le_bytes([head[3], head[4]]));
        Ok(Start { argv, env, tty: (head[0] != 0).then_some(size), stdin: head[5] != 0 })
    }
}

fn number(payload: &[u8]) -> io::Result<u64> {
    Ok(u64::from_le_bytes(payload.try_into().map_err(|_| lost("number"))?))
}

fn lost(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the lab's channel has lost step: unexpected {what}"))
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
