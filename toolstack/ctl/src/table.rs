//! Text in columns.

/// The rows under their heading, columns as wide as their widest cell, three spaces between them.
pub fn render(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count());
        cells.chain([heading[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
        format!("{}\n", padded.join("   ").trim_end())
    };
    let mut out = line(&mut heading.iter().copied());
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

/// A size for people: `17.2 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // Precision past a tenth is not shown, so the rounding of the conversion does not matter.
    #[allow(clippy::cast_precision_loss)]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A time (microseconds since the epoch), as RFC 3339 has it.
pub fn time(usec: u64) -> String {
    let at = std::time::UNIX_EPOCH + std::time::Duration::from_micros(usec);
    humantime::format_rfc3339_micros(at).to_string()
}

/// How long ago a time (microseconds since the epoch) was: `3m`, `2h`, `5d`.
pub fn age(then_us: u64, now_us: u64) -> String {
    if then_us == 0 {
        return "-".into();
    }
    match now_us.saturating_sub(then_us) / 1_000_000 {
        s @ 0..=119 => format!("{s}s"),
        s @ 120..=7199 => format!("{}m", s / 60),
        s @ 7200..=172_799 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["web-1".into(), "running".into()], vec!["b".into(), "x".into()]];
        assert_eq!(render(&["NAME", "STATE"], &rows), "NAME    STATE\nweb-1   running\nb       x\n");
    }

    #[test]
    fn sizes_and_ages_are_short() {
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(18_000_000), "17.2 MiB");
        assert_eq!(age(0, 5), "-");
        assert_eq!(age(1, 90_000_001), "90s");
        assert_eq!(age(1, 7_200_000_001), "2h");
    }
}
