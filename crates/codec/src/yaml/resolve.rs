//! What a plain scalar means in YAML 1.1, as the original's parser sees it.
//!
//! Owns the table of special words and the number forms. The writer asks it,
//! too: what would mean something else must be quoted.

/// The meaning of a plain scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resolved<'t> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Read as text, but written in quotes.
    Timestamp,
    /// `<<`.
    Merge,
    String(&'t str),
}

/// Resolves a plain scalar.
pub fn resolve(text: &str) -> Resolved<'_> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Resolved::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Resolved::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        "<<" => return Resolved::Merge,
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' if is_float(text) => float(text),
        b'+' | b'-' | b'0'..=b'9' if is_timestamp(text) => Resolved::Timestamp,
        b'+' | b'-' | b'0'..=b'9' => number(text).unwrap_or(Resolved::String(text)),
        _ => Resolved::String(text),
    }
}

fn number(text: &str) -> Option<Resolved<'static>> {
    let plain = text.replace('_', "");
    if let Some(n) = integer(&plain) {
        return Some(n);
    }
    if !is_float(&plain) {
        return None;
    }
    plain.parse().ok().filter(|n: &f64| n.is_finite()).map(Resolved::Float)
}

fn float(text: &str) -> Resolved<'_> {
    text.parse().map_or(Resolved::String(text), Resolved::Float)
}

/// Decimal, `0x`, `0o`, `0b`, or octal behind a bare zero.
fn integer(plain: &str) -> Option<Resolved<'static>> {
    let (negative, digits) = match plain.as_bytes() {
        [b'-', ..] => (true, &plain[1..]),
        [b'+', ..] => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    let signed = if negative { 0_i64.checked_sub_unsigned(magnitude) } else { i64::try_from(magnitude).ok() };
    match signed {
        Some(n) => Some(Resolved::Int(n)),
        // An unsigned number beyond 63 bits has no integer in JSON values.
        None if !negative => Some(Resolved::Float(magnitude as f64)),
        None => None,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_is_good = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_is_good = exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    mantissa_is_good && exponent_is_good
}

/// `2006-1-2`, alone or with a time behind `T` (zone required) or a space (no zone).
fn is_timestamp(text: &str) -> bool {
    let Some((year, rest)) = text.split_once('-') else { return false };
    if year.len() != 4 || !year.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let Some((month, rest)) = rest.split_once('-') else { return false };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (day, time) = rest.split_at(end);
    let number = |text: &str| if (1..=2).contains(&text.len()) { text.parse::<i8>().ok() } else { None };
    let (Ok(year), Some(month), Some(day)) = (year.parse(), number(month), number(day)) else { return false };
    if jiff::civil::Date::new(year, month, day).is_err() {
        return false;
    }
    match time.as_bytes() {
        [] => true,
        [b'T' | b't', ..] => clock(&time[1..]).is_some_and(is_zone),
        [b' ', ..] => clock(&time[1..]).is_some_and(str::is_empty),
        _ => false,
    }
}

/// What stands behind a time of day.
fn clock(text: &str) -> Option<&str> {
    let mut rest = text;
    for (i, max) in [23, 59, 59].into_iter().enumerate() {
        if i > 0 {
            rest = rest.strip_prefix(':')?;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number = &rest[..end];
        if !(1..=2).contains(&number.len()) || number.parse::<u8>().ok()? > max {
            return None;
        }
        rest = &rest[end..];
    }
    if let Some(fraction) = rest.strip_prefix('.') {
        rest = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    Some(rest)
}

fn is_zone(text: &str) -> bool {
    match text.as_bytes() {
        [b'Z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_recognized() {
        for text in [
            "2001-01-01",
            "2001-1-1",
            "2001-01-01T01:01:01Z",
            "2001-01-01t1:1:1.5+01:00",
            "2001-01-01 01:01:01",
        ] {
            assert_eq!(resolve(text), Resolved::Timestamp, "{text}");
        }
        for text in
            ["2001-13-01", "2001-01-01T01:01:01", "20010-01-01", "2001-01-01x", "2001-01-01 01:01:01Z"]
        {
            assert_eq!(resolve(text), Resolved::String(text), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_a_number_is_text() {
        for text in ["1.2.3", "0x", "0b2", "-", "+", ".", "1e", "--1", "1-2", "_1"] {
            assert_eq!(resolve(text), Resolved::String(text), "{text}");
        }
    }
}
