//! Syntax of cron schedules: five fields, or a word such as `@daily`.

use std::num::{IntErrorKind, ParseIntError};

use meta::field::quoted;

/// What is wrong with a schedule, in the words of the original's parser.
/// `is_time_zone` knows the names of time zones.
pub(super) fn check(schedule: &str, is_time_zone: impl Fn(&str) -> bool) -> Result<(), String> {
    let rest = after_zone(schedule, is_time_zone)?;
    if let Some(word) = rest.strip_prefix('@') {
        return descriptor(word, rest);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let (count, found) = (fields.len(), fields.join(" "));
        return Err(format!("expected exactly {} fields, found {count}: [{found}]", FIELDS.len()));
    }
    fields.iter().zip(&FIELDS).try_for_each(|(text, field)| field.check(text))
}

/// What stands behind the time zone a schedule may begin with.
fn after_zone(schedule: &str, is_time_zone: impl Fn(&str) -> bool) -> Result<&str, String> {
    let Some(zoned) = schedule.strip_prefix("TZ=").or_else(|| schedule.strip_prefix("CRON_TZ=")) else {
        return Ok(schedule);
    };
    // The original's parser stumbles over a zone alone and tells how.
    let Some((zone, rest)) = zoned.split_once(' ') else {
        return Err("invalid schedule format: runtime error: slice bounds out of range [:-1]".to_owned());
    };
    if !zone.is_empty() && !is_time_zone(zone) {
        return Err(format!("provided bad location {zone}: unknown time zone {zone}"));
    }
    Ok(rest.trim())
}

fn descriptor(word: &str, schedule: &str) -> Result<(), String> {
    let known = ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
    if known.contains(&word) {
        return Ok(());
    }
    match word.strip_prefix("every ") {
        Some(duration) => is_duration(duration)
            .map_err(|fault| format!("failed to parse duration {schedule}: time: {fault}")),
        None => Err(format!("unrecognized descriptor: {schedule}")),
    }
}

/// Whether text is a Go duration such as `1h30m`; if not, why not in the words of Go.
fn is_duration(text: &str) -> Result<(), String> {
    let shown = quoted(text);
    let invalid = || Err(format!("invalid duration {shown}"));
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(());
    }
    if rest.is_empty() {
        return invalid();
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let number = &rest[..digits];
        if !number.bytes().any(|b| b.is_ascii_digit()) || number.matches('.').count() > 1 {
            return invalid();
        }
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        match &rest[..unit] {
            "" => return Err(format!("missing unit in duration {shown}")),
            "ns" | "us" | "µs" | "μs" | "ms" | "s" | "m" | "h" => rest = &rest[unit..],
            other => return Err(format!("unknown unit {} in duration {shown}", quoted(other))),
        }
    }
    Ok(())
}

struct Field {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Minute, hour, day of month, month, day of week.
const FIELDS: [Field; 5] = [
    Field { min: 0, max: 59, names: &[] },
    Field { min: 0, max: 23, names: &[] },
    Field { min: 1, max: 31, names: &[] },
    Field { min: 1, max: 12, names: &MONTHS },
    Field { min: 0, max: 6, names: &DAYS },
];

impl Field {
    fn check(&self, text: &str) -> Result<(), String> {
        text.split(',').filter(|part| !part.is_empty()).try_for_each(|part| self.check_range(part))
    }

    /// One of `*`, `a`, `a-b`, each with an optional `/step`.
    fn check_range(&self, text: &str) -> Result<(), String> {
        let parts: Vec<&str> = text.split('/').collect();
        let bounds: Vec<&str> = parts[0].split('-').collect();
        let (start, end) = match bounds[..] {
            // What follows a star is not looked at.
            ["*" | "?", ..] => (self.min, self.max),
            [single] => {
                let start = self.number(single)?;
                (start, if parts.len() == 2 { self.max } else { start })
            }
            [start, end] => (self.number(start)?, self.number(end)?),
            _ => {
                self.number(bounds[0])?;
                return Err(format!("too many hyphens: {text}"));
            }
        };
        let step = match parts[..] {
            [_] => 1,
            [_, step] => number(step)?,
            _ => return Err(format!("too many slashes: {text}")),
        };
        if start < self.min {
            return Err(format!("beginning of range ({start}) below minimum ({}): {text}", self.min));
        }
        if end > self.max {
            return Err(format!("end of range ({end}) above maximum ({}): {text}", self.max));
        }
        if start > end {
            return Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}"));
        }
        if step == 0 {
            return Err(format!("step of range should be a positive number: {text}"));
        }
        Ok(())
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_ascii_lowercase();
        match self.names.iter().position(|name| *name == lower) {
            Some(index) => Ok(self.min + index as u32),
            None => number(text),
        }
    }
}

fn number(text: &str) -> Result<u32, String> {
    let failed =
        |why: &str| format!("failed to parse int from {text}: strconv.Atoi: parsing {}: {why}", quoted(text));
    let number: i64 = text.parse().map_err(|error: ParseIntError| match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => failed("value out of range"),
        _ => failed("invalid syntax"),
    })?;
    u32::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_five_fields_or_a_name() {
        for good in [
            "*/5 * * * *",
            "0 0 1-15/2 jan-mar mon,fri",
            "@hourly",
            "@every 5m",
            "@every 1h30m",
            "0 0 ? * *",
            "TZ=UTC 0 0 * * *",
            "*-9 * * * *",
        ] {
            assert_eq!(check(good, |zone| zone == "UTC"), Ok(()), "{good}");
        }
        for (bad, text) in [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("@never", "unrecognized descriptor: @never"),
            ("@every x", "failed to parse duration @every x: time: invalid duration \"x\""),
            ("@every 5", "failed to parse duration @every 5: time: missing unit in duration \"5\""),
            ("@every 5y", "failed to parse duration @every 5y: time: unknown unit \"y\" in duration \"5y\""),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("*/1/2 * * * *", "too many slashes: */1/2"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("-1 * * * *", "failed to parse int from : strconv.Atoi: parsing \"\": invalid syntax"),
            ("* * * * 7", "end of range (7) above maximum (6): 7"),
            ("TZ=UTC", "invalid schedule format: runtime error: slice bounds out of range [:-1]"),
        ] {
            assert_eq!(check(bad, |_| false), Err(text.to_owned()), "{bad}");
        }
    }
}
