//! Signals by name and by number.

/// The highest number (`_NSIG` of x86-64).
pub const MAX: u32 = 64;

/// The names of x86-64's signals from 1 on, without `SIG`.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];

/// The number of a signal: `15`, `TERM`, `SIGTERM`, `RTMIN+3` (which counts from 34), in either case.
#[must_use]
pub fn parse(text: &str) -> Option<u32> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return (1..=MAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(index) = NAMES.iter().position(|name| *name == short) {
        return u32::try_from(index + 1).ok();
    }
    let offset = match short.strip_prefix("RTMIN")? {
        "" => 0,
        rest => rest.strip_prefix('+')?.parse::<u32>().ok()?,
    };
    (offset <= MAX - 34).then_some(34 + offset)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("15", Some(15)),
            ("TERM", Some(15)),
            ("sigquit", Some(3)),
            ("SIGKILL", Some(9)),
            ("SYS", Some(31)),
            ("RTMIN", Some(34)),
            ("SIGRTMIN+3", Some(37)),
            ("RTMIN+30", Some(64)),
            ("RTMIN+31", None),
            ("RTMINUS", None),
            ("0", None),
            ("65", None),
            ("", None),
            ("SIG", None),
            ("NOSUCH", None),
        ] {
            assert_eq!(parse(text), number, "{text:?}");
        }
    }
}
