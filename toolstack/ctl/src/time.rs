//! Times on the command line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// A time between two looks: seconds, or with a unit; 100 ms to an hour.
pub fn interval(text: &str) -> Result<Duration, String> {
    let plain = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = plain.or_else(|| humantime::parse_duration(text).ok());
    let bounds = Duration::from_millis(100)..=Duration::from_secs(3600);
    time.filter(|time| bounds.contains(time))
        .ok_or_else(|| "not a time from 100ms to 1h, such as 2, 0.5 or 500ms".into())
}

#[cfg(test)]
mod tests {
    use super::{interval, since};

    #[test]
    fn intervals_have_bounds() {
        for (text, ms) in [("1", 1000), ("0.5", 500), ("500ms", 500), ("2s", 2000), ("1m", 60_000), ("1h", 3_600_000)] {
            assert_eq!(interval(text).unwrap().as_millis(), ms, "{text}");
        }
        for bad in ["0", "-1", "99ms", "2h", "NaN", "inf", "", "often"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }

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
