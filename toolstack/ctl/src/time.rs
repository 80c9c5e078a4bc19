//! Times on the command line.

use std::time::{SystemTime, UNIX_EPOCH};

/// A time in the past, as `10m`, `1h30m` or `2026-01-02T03:04:05Z`, in microseconds since the epoch.
pub fn since(text: &str) -> Result<u64, String> {
    let time = match humantime::parse_duration(text) {
        Ok(ago) => SystemTime::now().checked_sub(ago),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    };
    let micros = time.and_then(|t| u64::try_from(t.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok());
    micros.ok_or_else(|| {
        "neither a time ago, such as 90s or 1h30m, nor a time in UTC, such as 2026-01-02T03:04:05Z".into()
    })
}

#[cfg(test)]
mod tests {
    use super::since;

    #[test]
    fn times_ago_and_times_in_words() {
        assert_eq!(since("2026-01-02T03:04:05Z"), Ok(1_767_323_045_000_000));
        assert_eq!(since("2026-01-02 03:04:05.5"), Ok(1_767_323_045_500_000));
        let (hour, two) = (since("1h").unwrap(), since("2h").unwrap());
        assert!((3_599_000_000..=3_601_000_000).contains(&(hour - two)), "{hour} {two}");
        for bad in ["", "yesterday", "5", "-1h", "2026-13-01T00:00:00Z", "999999999y"] {
            assert!(since(bad).unwrap_err().starts_with("neither"), "{bad}");
        }
    }
}
