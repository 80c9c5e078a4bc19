//! Reading what a guest wrote.
//!
//! A guest owns its frontend directories, `data`, `control` and `error`: whatever stands there may be missing, huge, or
//! meant to do harm. Nothing of it is used but through these functions, which accept one spelling and a range, and show no
//! more of a bad value than fits a log line.

use super::error::{Error, Result};

/// The longest value that is looked at (a guest's own limit is 2 KiB, oxenstored `quota-maxsize`).
pub const VALUE_MAX: usize = 256;

/// A number in decimal: no sign, no blank, no leading zero, within `range`.
///
/// # Errors
/// [`Error::BadValue`], naming the node.
pub fn number(path: &str, value: &[u8], range: std::ops::RangeInclusive<u64>) -> Result<u64> {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.is_empty() && text.len() <= 20);
    let number = text
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && (*text == "0" || !text.starts_with('0')))
        .and_then(|text| text.parse().ok());
    match number {
        Some(number) if range.contains(&number) => Ok(number),
        Some(number) => bad(path, format!("{number} is not within {}..={}", range.start(), range.end())),
        None => bad(path, format!("{} is no number", shown(value))),
    }
}

/// A grant reference.
///
/// # Errors
/// [`Error::BadValue`] when it is no number of 32 bits.
pub fn grant_ref(path: &str, value: &[u8]) -> Result<u32> {
    number(path, value, 0..=u64::from(u32::MAX)).map(|number| number as u32)
}

/// An event channel port of a domain with at most `ports` of them. Port 0 is never valid.
///
/// # Errors
/// [`Error::BadValue`] when it is no such port.
pub fn port(path: &str, value: &[u8], ports: u32) -> Result<u32> {
    number(path, value, 1..=u64::from(ports.saturating_sub(1))).map(|number| number as u32)
}

/// Printable ASCII of at most [`VALUE_MAX`] bytes, such as an error that a frontend reports.
///
/// # Errors
/// [`Error::BadValue`] when it is anything else.
pub fn text<'a>(path: &str, value: &'a [u8]) -> Result<&'a str> {
    if value.len() > VALUE_MAX {
        return bad(path, format!("{} bytes, at most {VALUE_MAX} are read", value.len()));
    }
    match std::str::from_utf8(value) {
        Ok(text) if text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) => Ok(text),
        _ => bad(path, format!("{} is not printable ASCII", shown(value))),
    }
}

/// The state of one end of a device (`xen/include/public/io/xenbus.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum State {
    /// No state.
    Unknown = 0,
    /// Just made by the toolstack.
    Initialising = 1,
    /// The backend is ready, and waits for the frontend or for a hotplug script.
    InitWait = 2,
    /// The frontend has offered its rings.
    Initialised = 3,
    /// In use.
    Connected = 4,
    /// Being taken down.
    Closing = 5,
    /// Down.
    Closed = 6,
    /// Being reconfigured (PCI).
    Reconfiguring = 7,
    /// Reconfigured (PCI).
    Reconfigured = 8,
}

impl State {
    /// The number as the store holds it.
    pub fn as_str(self) -> &'static str {
        ["0", "1", "2", "3", "4", "5", "6", "7", "8"][self as usize]
    }
}

/// The state in a `state` node.
///
/// # Errors
/// [`Error::BadValue`] when it is no number of 0 to 8.
pub fn state(path: &str, value: &[u8]) -> Result<State> {
    Ok(match number(path, value, 0..=8)? {
        1 => State::Initialising,
        2 => State::InitWait,
        3 => State::Initialised,
        4 => State::Connected,
        5 => State::Closing,
        6 => State::Closed,
        7 => State::Reconfiguring,
        8 => State::Reconfigured,
        _ => State::Unknown,
    })
}

fn bad<T>(path: &str, reason: String) -> Result<T> {
    Err(Error::BadValue { path: path.to_owned(), reason })
}

fn shown(value: &[u8]) -> String {
    let head = value[..value.len().min(32)].escape_ascii();
    if value.len() > 32 { format!("\"{head}\"...") } else { format!("\"{head}\"") }
}

#[cfg(test)]
#[path = "guest_tests.rs"]
mod tests;
