//! Durations as Go writes them in a query, e.g. `1m30s`.

use std::time::Duration;

/// The text is no duration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("time: {problem} {}", meta::field::quoted(.text))]
pub struct ParseDurationError {
    text: String,
    problem: String,
}

/// Reads a duration as Go's `time.ParseDuration`; none if it is negative.
pub fn parse_go_duration(text: &str) -> Result<Option<Duration>, ParseDurationError> {
    let fail = |problem: &str| ParseDurationError { text: text.to_owned(), problem: problem.to_owned() };
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return Ok(Some(Duration::ZERO));
    }
    if rest.is_empty() {
        return Err(fail("invalid duration"));
    }
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, after) = rest.split_at(number_len);
        let number: f64 = number.parse().map_err(|_| fail("invalid duration"))?;
        let unit_len = after.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let (unit, after) = after.split_at(unit_len);
        if unit.is_empty() {
            return Err(fail("missing unit in duration"));
        }
        let unit_seconds = unit_seconds(unit)
            .ok_or_else(|| fail(&format!("unknown unit {} in duration", meta::field::quoted(unit))))?;
        seconds += number * unit_seconds;
        rest = after;
    }
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| fail("invalid duration"))?;
    Ok((!negative).then_some(duration))
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        assert_eq!(parse_go_duration("1m30s"), Ok(Some(Duration::from_secs(90))));
        assert_eq!(parse_go_duration("1.5h"), Ok(Some(Duration::from_secs(5400))));
        assert_eq!(parse_go_duration("-1s"), Ok(None));
        assert_eq!(parse_go_duration("0"), Ok(Some(Duration::ZERO)));
    }

    #[test]
    fn others_fail_with_the_texts_of_go() {
        let text = |input| parse_go_duration(input).expect_err("no duration").to_string();
        assert_eq!(text("abc"), r#"time: invalid duration "abc""#);
        assert_eq!(text("10"), r#"time: missing unit in duration "10""#);
        assert_eq!(text("1x"), r#"time: unknown unit "x" in duration "1x""#);
    }
}
