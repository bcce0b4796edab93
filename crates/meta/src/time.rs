//! Times as objects hold them, and ages as tables print them. Owns no clock:
//! every time is handed in.

use jiff::{SignedDuration, Timestamp};

/// A time as `metav1.Time` is written: RFC 3339, UTC, whole seconds.
pub fn rfc3339(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time as `metav1.MicroTime` is written: RFC 3339, UTC, six digits of fraction.
pub fn rfc3339_micro(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Reads an RFC 3339 time; none if it is no such time (empty text is none).
pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// How long ago `then` (RFC 3339) was, as tables print it: `<unknown>` for no
/// time, `<invalid>` for the future.
pub fn age(then: &str, now: Timestamp) -> String {
    match parse_rfc3339(then) {
        Some(then) => human_duration(now.duration_since(then)),
        None => "<unknown>".to_owned(),
    }
}

/// A duration in two units at most, coarser the longer it is: `5s`, `2m30s`,
/// `3h5m`, `2d3h`, `45d`, `2y20d`. A second before zero counts as zero, because
/// clocks differ; anything earlier is `<invalid>`.
pub fn human_duration(duration: SignedDuration) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let seconds = duration.as_secs();
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1..0 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two_units(seconds, MINUTE, "m", 1, "s"),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two_units(seconds, HOUR, "h", MINUTE, "m"),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two_units(seconds, DAY, "d", HOUR, "h"),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two_units(seconds, YEAR, "y", DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

fn two_units(seconds: i64, big: i64, big_name: &str, small: i64, small_name: &str) -> String {
    match seconds % big / small {
        0 => format!("{}{big_name}", seconds / big),
        rest => format!("{}{big_name}{rest}{small_name}", seconds / big),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_get_coarser_as_they_get_longer() {
        const DAY: i64 = 86_400;
        for (seconds, text) in [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (150, "2m30s"),
            (600, "10m"),
            (3 * 3600 - 1, "179m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 5 * 60, "3h5m"),
            (8 * 3600 + 600, "8h"),
            (2 * DAY - 1, "47h"),
            (2 * DAY + 3 * 3600, "2d3h"),
            (8 * DAY + 3600, "8d"),
            (45 * DAY, "45d"),
            (365 * DAY + 20 * DAY, "385d"),
            (2 * 365 * DAY, "2y"),
            (2 * 365 * DAY + 20 * DAY, "2y20d"),
            (9 * 365 * DAY + 20 * DAY, "9y"),
        ] {
            assert_eq!(human_duration(SignedDuration::from_secs(seconds)), text, "{seconds}");
        }
    }

    #[test]
    fn times_are_written_in_whole_seconds_or_micros() {
        let time = parse_rfc3339("2024-02-03T04:05:06.789012+01:00").expect("a good time");
        assert_eq!(rfc3339(time), "2024-02-03T03:05:06Z");
        assert_eq!(rfc3339_micro(time), "2024-02-03T03:05:06.789012Z");
        assert_eq!(parse_rfc3339(""), None);
        assert_eq!(parse_rfc3339("2024-02-03"), None);
    }

    #[test]
    fn an_age_needs_a_time() {
        let now = parse_rfc3339("2024-01-01T00:00:30Z").expect("a good time");
        assert_eq!(age("2024-01-01T00:00:00Z", now), "30s");
        assert_eq!(age("", now), "<unknown>");
        assert_eq!(age("2025-01-01T00:00:00Z", now), "<invalid>");
    }
}
