//! QEMU's control socket: one JSON object a line. Only what the lab needs of it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::{LabError, Result};

/// A connection that has shaken hands.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl Qmp {
    /// Takes QEMU's greeting and leaves negotiation mode.
    pub fn new(stream: UnixStream) -> Result<Qmp> {
        stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(broken)?;
        let writer = stream.try_clone().map_err(broken)?;
        let mut qmp = Qmp { reader: BufReader::new(stream), writer };
        qmp.line()?;
        qmp.command("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Sends a command and waits for its answer; events in between are dropped.
    pub fn command(&mut self, name: &str, arguments: Value) -> Result<Value> {
        let mut line = json!({ "execute": name, "arguments": arguments }).to_string();
        line.push('\n');
        self.writer.write_all(line.as_bytes()).map_err(broken)?;
        loop {
            let mut answer = self.line()?;
            if let Some(error) = answer.get("error") {
                let text = error["desc"].as_str().unwrap_or("no reason given");
                return Err(LabError::Qemu(format!("{name}: {text}")));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Err(LabError::Qemu("it closed its control socket".into())),
            Ok(_) => serde_json::from_str(&line).map_err(|error| LabError::Qemu(format!("not JSON: {error}"))),
            Err(error) => Err(broken(error)),
        }
    }
}

fn broken(error: std::io::Error) -> LabError {
    LabError::Qemu(format!("its control socket: {error}"))
}
