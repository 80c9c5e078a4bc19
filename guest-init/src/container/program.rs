//! From a name to a running program: PATH, and what exactly is wrong when it does not start.

use std::ffi::CString;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::error::Error;
use crate::sys::{self, Program};

/// What programs find when nobody set a PATH, as other runtimes have it.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Where `command` may be, in order.
pub fn candidates(command: &str, env: &[String]) -> Vec<String> {
    if command.contains('/') {
        return vec![command.into()];
    }
    let path = env.iter().find_map(|e| e.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':')
        .map(|folder| if folder.is_empty() { "." } else { folder })
        .map(|f| format!("{f}/{command}"))
        .collect()
}

/// Becomes the program; returns only with the reason why not.
pub fn run(container: &str, argv: &[String], env: &[String]) -> Error {
    let command = argv.first().cloned().unwrap_or_default();
    let container = container.to_owned();
    let strings = |list: &[String]| Program::new(list.iter().map(String::as_str));
    let (Some(arguments), Some(environment)) = (strings(argv), strings(env)) else {
        return Error::Invalid { what: "argument or variable of", value: command, why: "it holds a NUL byte" };
    };
    // As execvp(3): go on after "not there", remember "not allowed".
    let mut refused = None;
    let mut last = (command.clone(), Errno::NOENT);
    for path in candidates(&command, env) {
        let Ok(c_path) = CString::new(path.as_str()) else { continue };
        let errno = sys::exec(&c_path, &arguments, &environment);
        match errno {
            Errno::NOENT | Errno::NOTDIR => {
                if let Some(interpreter) = missing_interpreter(Path::new(&path)) {
                    return Error::NoInterpreter { command, container, path, interpreter };
                }
            }
            Errno::ACCESS => refused = Some(path.clone()),
            errno => return Error::NotExecutable { command, container, path, errno },
        }
        last = (path, errno);
    }
    match refused {
        Some(path) => Error::NotExecutable { command, container, path, errno: Errno::ACCESS },
        None => Error::CommandNotFound { command, container, path: last.0, errno: last.1 },
    }
}

/// The file is there and still the kernel said that it is not: what it names is missing.
fn missing_interpreter(path: &Path) -> Option<String> {
    if !path.metadata().ok()?.is_file() {
        return None;
    }
    let mut start = [0; 4096];
    let length = File::open(path).and_then(|mut f| f.read(&mut start)).ok()?;
    Some(interpreter(&start[..length]).unwrap_or_else(|| "an interpreter".into()))
}

/// What a file beginning with `start` is run by.
fn interpreter(start: &[u8]) -> Option<String> {
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|b| *b == b'\n').next()?;
        let word = line.split(u8::is_ascii_whitespace).find(|w| !w.is_empty())?;
        return Some(Path::new(std::ffi::OsStr::from_bytes(word)).display().to_string());
    }
    elf_interpreter(start)
}

/// The path in the PT_INTERP segment of a 64-bit little-endian ELF file, when it is in the part we have.
fn elf_interpreter(start: &[u8]) -> Option<String> {
    const PT_INTERP: u64 = 3;
    if !start.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = start.get(at..at + length)?;
        Some(bytes.iter().rev().fold(0, |acc, byte| acc << 8 | u64::from(*byte)))
    };
    let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let header = usize::try_from(table.checked_add(index * size)?).ok()?;
        if header > start.len() {
            return None;
        }
        if number(header, 4)? == PT_INTERP {
            let offset = usize::try_from(number(header + 8, 8)?).ok()?;
            let bytes = start.get(offset..)?;
            let end = bytes.iter().position(|b| *b == 0)?;
            return String::from_utf8(bytes[..end].to_vec()).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests;
