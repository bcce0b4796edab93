//! Leaves with a syntax of their own: time, bytes, quantity.
//!
//! Owns their canonical text in a value and the words of the original's
//! errors about them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, tz::Offset};
use schema::Scalar;

/// The zero time, which stands for no time.
pub const ZERO_TIME_SECONDS: i64 = -62_135_596_800;

/// Canonical text of a time: UTC, whole seconds; none for the zero time.
pub fn canonical_time(text: &str) -> Result<Option<String>, String> {
    let (seconds, _) = parse_rfc3339(text, "2006-01-02T15:04:05Z07:00", 0)?;
    Ok(time_text(seconds))
}

/// Canonical text of a micro time: UTC, six digits; none for the zero time.
pub fn canonical_micro_time(text: &str) -> Result<Option<String>, String> {
    let (seconds, nanos) = parse_rfc3339(text, "2006-01-02T15:04:05.000000Z07:00", 6)?;
    Ok(micro_time_text(seconds, nanos))
}

/// Text of a time from the epoch; none for the zero time and for times outside the years 0 to 9999.
pub fn time_text(seconds: i64) -> Option<String> {
    if seconds == ZERO_TIME_SECONDS {
        return None;
    }
    let stamp = Timestamp::from_second(seconds).ok()?;
    let civil = Offset::UTC.to_datetime(stamp);
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    ))
}

/// Text of a micro time from the epoch; fractions below a microsecond are cut.
pub fn micro_time_text(seconds: i64, nanos: i32) -> Option<String> {
    if seconds == ZERO_TIME_SECONDS && nanos == 0 {
        return None;
    }
    let mut text = time_text(seconds).or_else(|| (nanos != 0).then(|| "0001-01-01T00:00:00Z".to_owned()))?;
    text.truncate(text.len() - 1);
    Some(format!("{text}.{:06}Z", nanos.clamp(0, 999_999_999) / 1000))
}

/// Seconds and nanoseconds since the epoch of a canonical time text.
pub fn time_parts(text: &str) -> Option<(i64, i32)> {
    parse_rfc3339(text, "", 0).ok()
}

/// Reads a time in RFC 3339 as Go does with a layout that has `fraction`
/// digits behind the point; with none, any number of digits may stand there.
fn parse_rfc3339(text: &str, layout: &str, fraction: usize) -> Result<(i64, i32), String> {
    let mut scan = Scan { text, rest: text, layout };
    let year = scan.number(4, "2006")?;
    scan.expect('-', "-")?;
    let month = scan.number(2, "01")?;
    scan.expect('-', "-")?;
    let day = scan.number(2, "02")?;
    scan.expect('T', "T")?;
    let hour = scan.number(2, "15")?;
    scan.expect(':', ":")?;
    let minute = scan.number(2, "04")?;
    scan.expect(':', ":")?;
    let second = scan.number(2, "05")?;
    let nanos = scan.fraction(fraction)?;
    let offset = scan.zone()?;
    if !scan.rest.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {:?}", scan.rest));
    }
    let ranges = [
        (month, 1, 12, "month"),
        (hour, 0, 23, "hour"),
        (minute, 0, 59, "minute"),
        (second, 0, 59, "second"),
    ];
    if let Some((.., name)) = ranges.iter().find(|(n, low, high, _)| n < low || n > high) {
        return Err(format!("parsing time {text:?}: {name} out of range"));
    }
    let date = jiff::civil::Date::new(year as i16, month as i8, day as i8)
        .map_err(|_| format!("parsing time {text:?}: day out of range"))?;
    let days = i64::from(date.since(jiff::civil::date(1970, 1, 1)).map_err(|e| e.to_string())?.get_days());
    let seconds = days * 86_400 + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Ok((seconds - offset, nanos))
}

struct Scan<'a> {
    text: &'a str,
    rest: &'a str,
    layout: &'a str,
}

impl Scan<'_> {
    fn fail(&self, element: &str) -> String {
        let Scan { text, rest, layout } = self;
        format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}")
    }

    fn number(&mut self, digits: usize, element: &str) -> Result<i32, String> {
        let number = self.rest.get(..digits).filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let number = number.ok_or_else(|| self.fail(element))?;
        self.rest = &self.rest[digits..];
        number.parse().map_err(|_| self.fail(element))
    }

    fn expect(&mut self, c: char, element: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(c).ok_or_else(|| self.fail(element))?;
        Ok(())
    }

    fn fraction(&mut self, digits: usize) -> Result<i32, String> {
        let after = self.rest.strip_prefix(['.', ',']);
        let found = after.map_or("", |after| {
            &after[..after.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(after.len())]
        });
        if digits > 0 && (found.len() != digits || !self.rest.starts_with('.')) {
            return Err(self.fail(&format!(".{}", "0".repeat(digits))));
        }
        if found.is_empty() {
            return Ok(0);
        }
        self.rest = &self.rest[1 + found.len()..];
        let nine: String = found.chars().chain("000000000".chars()).take(9).collect();
        nine.parse().map_err(|_| self.fail("fraction"))
    }

    /// The offset from UTC in seconds.
    fn zone(&mut self) -> Result<i64, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let bytes = self.rest.as_bytes();
        let [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2, ..] = bytes else { return Err(self.fail("Z07:00")) };
        let two = |tens: u8, ones: u8| match (tens, ones) {
            (b'0'..=b'9', b'0'..=b'9') => Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0')),
            _ => None,
        };
        let (Some(hours), Some(minutes)) = (two(*h1, *h2), two(*m1, *m2)) else {
            return Err(self.fail("Z07:00"));
        };
        if hours > 24 || minutes > 60 {
            return Err(format!("parsing time {:?}: time zone offset hour out of range", self.text));
        }
        self.rest = &self.rest[6..];
        let offset = hours * 3600 + minutes * 60;
        Ok(if *sign == b'-' { -offset } else { offset })
    }
}

/// Canonical base64 of base64 text. Line breaks are allowed, as in Go.
pub fn canonical_base64(text: &str) -> Result<String, String> {
    if !text.contains(['\n', '\r']) && STANDARD.decode(text).is_ok() {
        return Ok(text.to_owned());
    }
    decode_base64(text).map(|bytes| STANDARD.encode(bytes))
}

/// The bytes of base64 text.
pub fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    let illegal = |at: usize| format!("illegal base64 data at input byte {at}");
    let clean: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    STANDARD.decode(&clean).map_err(|error| match error {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => {
            illegal(at)
        }
        base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
            illegal(go_padding_position(&clean))
        }
    })
}

/// Where Go notices that the padding is wrong: at the start of the last
/// quantum when it is cut short.
fn go_padding_position(clean: &str) -> usize {
    let data = clean.bytes().position(|b| b == b'=').unwrap_or(clean.len());
    if data == clean.len() { data - data % 4 } else { clean.len() }
}

/// Base64 of bytes.
pub fn encode_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The Go type of a leaf, as its error texts name it.
pub fn go_name(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::String => "string",
        Scalar::Int32 => "int32",
        Scalar::Int64 => "int64",
        Scalar::Float64 => "float64",
        Scalar::Bool => "bool",
        Scalar::Bytes => "[]uint8",
        Scalar::Time => "v1.Time",
        Scalar::MicroTime => "v1.MicroTime",
        Scalar::Quantity => "resource.Quantity",
        Scalar::IntOrString => "intstr.IntOrString",
        Scalar::RawExtension => "runtime.RawExtension",
        Scalar::FieldsV1 => "v1.FieldsV1",
        Scalar::Json | Scalar::JsonSchemaOr => "v1.JSON",
        Scalar::Object => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_in_seconds() {
        let time = |text: &str| canonical_time(text).map(Option::unwrap_or_default);
        assert_eq!(time("2024-01-02T03:04:05Z").as_deref(), Ok("2024-01-02T03:04:05Z"));
        assert_eq!(time("2024-01-02T03:04:05.999+02:00").as_deref(), Ok("2024-01-02T01:04:05Z"));
        assert_eq!(time("0001-01-01T00:00:00Z").as_deref(), Ok(""));
        assert_eq!(time("1969-12-31T23:59:59Z").as_deref(), Ok("1969-12-31T23:59:59Z"));
        assert_eq!(
            time("yesterday").err().as_deref(),
            Some(
                r#"parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as "2006""#
            )
        );
        assert_eq!(
            time("2024-13-02T03:04:05Z").err().as_deref(),
            Some(r#"parsing time "2024-13-02T03:04:05Z": month out of range"#)
        );
    }

    #[test]
    fn micro_times_need_six_digits() {
        let text = "2024-01-02T03:04:05.000001Z";
        assert_eq!(canonical_micro_time(text), Ok(Some(text.to_owned())));
        let short = canonical_micro_time("2024-01-02T03:04:05.5Z");
        assert!(short.is_err_and(|error| error.ends_with(r#"cannot parse ".5Z" as ".000000""#)));
        let none = canonical_micro_time("2024-01-02T03:04:05Z");
        assert!(none.is_err_and(|error| error.ends_with(r#"cannot parse "Z" as ".000000""#)));
    }

    #[test]
    fn illegal_base64_is_told_by_its_byte() {
        assert_eq!(canonical_base64("YQ=="), Ok("YQ==".into()));
        assert_eq!(canonical_base64("YW\nJj"), Ok("YWJj".into()));
        assert_eq!(canonical_base64("???"), Err("illegal base64 data at input byte 0".into()));
        assert_eq!(canonical_base64("YWJ"), Err("illegal base64 data at input byte 0".into()));
    }
}
