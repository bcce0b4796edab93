//! Syntax of cron schedules: five fields, or a word such as `@daily`.

/// What is wrong with a schedule, in the words of the original's parser.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    if let Some(word) = schedule.strip_prefix('@') {
        return descriptor(word, schedule);
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly {} fields, found {}: {fields:?}", FIELDS.len(), fields.len())
            .replace(", \"", " \"")
            .replace('"', ""));
    }
    fields.iter().zip(&FIELDS).try_for_each(|(text, field)| field.check(text))
}

fn descriptor(word: &str, schedule: &str) -> Result<(), String> {
    let known = ["yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly"];
    if known.contains(&word) {
        return Ok(());
    }
    match word.strip_prefix("every ") {
        Some(duration) if is_duration(duration) => Ok(()),
        Some(duration) => {
            Err(format!("failed to parse duration {schedule}: time: invalid duration {duration:?}"))
        }
        None => Err(format!("unrecognized descriptor: {schedule}")),
    }
}

/// True for Go durations such as `1h30m`.
fn is_duration(text: &str) -> bool {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        if !rest[..digits].bytes().any(|b| b.is_ascii_digit()) {
            return false;
        }
        rest = &rest[digits..];
        let units = ["ns", "us", "µs", "ms", "s", "m", "h"];
        match units.iter().filter_map(|unit| rest.strip_prefix(unit)).min_by_key(|rest| rest.len()) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
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
        if parts.len() > 2 {
            return Err(format!("too many slashes: {text}"));
        }
        let bounds: Vec<&str> = parts[0].split('-').collect();
        if bounds.len() > 2 {
            return Err(format!("too many hyphens: {text}"));
        }
        let (start, end) = match bounds[..] {
            ["*" | "?"] => (self.min, self.max),
            [single] => {
                let start = self.number(single)?;
                (start, if parts.len() == 2 { self.max } else { start })
            }
            [start, end] => (self.number(start)?, self.number(end)?),
            _ => return Err(format!("too many hyphens: {text}")),
        };
        let step = parts.get(1).map_or(Ok(1), |step| number(step))?;
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
        |why: &str| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}");
    let number: i64 = text.parse().map_err(|_| failed("invalid syntax"))?;
    u32::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_have_five_fields_or_a_name() {
        for good in
            ["*/5 * * * *", "0 0 1-15/2 jan-mar mon,fri", "@hourly", "@every 5m", "@every 1h30m", "0 0 ? * *"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, text) in [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("@never", "unrecognized descriptor: @never"),
        ] {
            assert_eq!(check(bad), Err(text.to_owned()), "{bad}");
        }
    }
}
