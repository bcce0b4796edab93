//! Durations as Go writes them: `3s`, `1m30s`, `1.5h`, `-10ms`.

/// Nanoseconds; none if the text is no duration or too long for 64 bits.
pub(super) fn parse(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        nanos += number * unit_nanos(unit)?;
        rest = after;
    }
    let nanos = if negative { -nanos } else { nanos };
    // Beyond this a float no longer tells neighbouring nanoseconds apart, nor would anybody wait so long.
    (nanos.abs() < 9e18).then_some(nanos.round() as i64)
}

fn unit_nanos(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" | "µs" | "μs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "m" => 60e9,
        "h" => 3600e9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(parse(text), expect, "{text:?}");
        check("3s", Some(3_000_000_000));
        check("1m30s", Some(90_000_000_000));
        check("1.5ms", Some(1_500_000));
        check("-1h", Some(-3_600_000_000_000));
        check("0", Some(0));
        for wrong in ["", "3", "s", "3 s", "1.2.3s", "-", "3d", "9999999999h"] {
            check(wrong, None);
        }
    }
}
