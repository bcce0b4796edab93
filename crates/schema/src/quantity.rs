//! Quantities: fixed-point numbers with the suffixes of resources (`100m`,
//! `1Gi`, `2e3`).
//!
//! Owns parsing, the canonical text that the original stores and compares,
//! order and addition. A quantity in a [`crate::Value`] is its canonical text.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A number `amount * 10^scale` and the style it is written in.
#[derive(Clone, Debug)]
pub struct Quantity {
    amount: i128,
    scale: i32,
    format: Format,
    /// The text it was read from, where that counts as canonical.
    text: Option<Box<str>>,
}

/// The style a quantity is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `n u m k M G T P E`.
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`.
    BinarySi,
    /// `e3`.
    DecimalExponent,
}

/// Why a text is not a quantity, in the words of the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a number with a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The suffix is none of the known ones.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// Amounts below a billionth are rounded up to it.
const NANO: i32 = -9;
/// Digits of an amount that are kept; more would not leave room to multiply.
const DIGITS_MAX: usize = 37;
/// The largest binary quantity: more is cut to it.
const BINARY_MAX: i128 = i64::MAX as i128;
const DECIMAL_SUFFIXES: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// Reads a quantity.
    pub fn parse(text: &str) -> Result<Quantity, ParseError> {
        if text.is_empty() {
            return Err(ParseError::Format);
        }
        let parts = Parts::split(text)?;
        let (format, exponent) = interpret_suffix(parts.suffix)?;
        let (digits, cut) = parse_digits(parts.integer, parts.fraction);
        let fraction_digits = i32::try_from(parts.fraction.len()).unwrap_or(i32::MAX);
        let mut quantity = match format {
            Format::BinarySi => binary(digits, exponent, cut.saturating_sub(fraction_digits)),
            _ => Quantity {
                amount: digits,
                scale: exponent.saturating_sub(fraction_digits).saturating_add(cut),
                format,
                text: None,
            },
        };
        quantity.round_to_nano();
        if parts.negative {
            quantity.amount = -quantity.amount;
        }
        if parts.counts_as_canonical(format, exponent) || text == "0" {
            quantity.text = Some(text.into());
        }
        Ok(quantity)
    }

    /// A whole number, written with decimal suffixes.
    pub const fn from_int(n: i64) -> Quantity {
        Quantity { amount: n as i128, scale: 0, format: Format::DecimalSi, text: None }
    }

    /// A number of thousandths, written with decimal suffixes.
    pub const fn from_milli(n: i64) -> Quantity {
        Quantity { amount: n as i128, scale: -3, format: Format::DecimalSi, text: None }
    }

    /// True for zero.
    pub fn is_zero(&self) -> bool {
        self.amount == 0
    }

    /// True below zero.
    pub fn is_negative(&self) -> bool {
        self.amount < 0
    }

    /// The value in whole units, rounded away from zero, cut to what fits.
    pub fn as_i64(&self) -> i64 {
        saturate(self.scaled(0).0)
    }

    /// The value in thousandths, rounded away from zero, cut to what fits.
    pub fn milli_value(&self) -> i64 {
        saturate(self.scaled(-3).0)
    }

    /// The sum. A zero on the left takes over the style of `other`.
    pub fn add(&self, other: &Quantity) -> Quantity {
        let scale = self.scale.min(other.scale);
        let amount = self.scaled(scale).0.saturating_add(other.scaled(scale).0);
        let format = if self.is_zero() { other.format } else { self.format };
        Quantity { amount, scale, format, text: None }
    }

    /// The difference. A zero on the left takes over the style of `other`.
    pub fn sub(&self, other: &Quantity) -> Quantity {
        self.add(&Quantity { amount: other.amount.saturating_neg(), text: None, ..*other })
    }

    /// The amount at a scale, rounded away from zero, and whether that was exact.
    fn scaled(&self, scale: i32) -> (i128, bool) {
        let shift = self.scale.saturating_sub(scale);
        if self.amount == 0 || shift == 0 {
            return (self.amount, true);
        }
        let power = pow10(shift.unsigned_abs());
        if shift > 0 {
            let scaled = power.and_then(|power| self.amount.checked_mul(power));
            // Beyond 128 bits the value is only compared and cut.
            return (
                scaled.unwrap_or(if self.amount < 0 { -i128::MAX } else { i128::MAX }),
                scaled.is_some(),
            );
        }
        let Some(power) = power else { return (self.amount.signum(), false) };
        let (quotient, rest) = (self.amount / power, self.amount % power);
        (if rest == 0 { quotient } else { quotient + self.amount.signum() }, rest == 0)
    }

    fn round_to_nano(&mut self) {
        if self.amount == 0 {
            self.scale = 0;
        } else if self.scale < NANO {
            self.amount = self.scaled(NANO).0;
            self.scale = NANO;
        }
    }

    fn decimal_text(&self, f: &mut fmt::Formatter<'_>, format: Format) -> fmt::Result {
        let (mut amount, mut exponent) = (self.amount, self.scale);
        while amount % 10 == 0 {
            amount /= 10;
            exponent = exponent.saturating_add(1);
        }
        while exponent.rem_euclid(3) != 0 {
            amount = amount.saturating_mul(10);
            exponent -= 1;
        }
        let suffix = DECIMAL_SUFFIXES.iter().find(|(_, power)| *power == exponent);
        match suffix {
            Some((suffix, _)) if format == Format::DecimalSi || exponent == 0 => {
                write!(f, "{amount}{suffix}")
            }
            _ => write!(f, "{amount}e{exponent}"),
        }
    }
}

impl fmt::Display for Quantity {
    /// The canonical text: no fraction, the largest suffix without loss.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.amount == 0 {
            return f.write_str("0");
        }
        if self.format != Format::BinarySi {
            return self.decimal_text(f, self.format);
        }
        let (mut amount, exact) = self.scaled(0);
        if !exact || amount.unsigned_abs() < 1024 {
            return self.decimal_text(f, Format::DecimalSi);
        }
        let mut power = 0;
        while amount % 1024 == 0 && power + 1 < BINARY_SUFFIXES.len() {
            amount /= 1024;
            power += 1;
        }
        write!(f, "{amount}{}", BINARY_SUFFIXES[power])
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    /// By value: `1000m` equals `1`.
    fn cmp(&self, other: &Quantity) -> Ordering {
        let scale = self.scale.min(other.scale);
        self.scaled(scale).0.cmp(&other.scaled(scale).0)
    }
}

/// The canonical text of a quantity; borrowed when `text` already is it.
pub fn canonical(text: &str) -> Result<Cow<'_, str>, ParseError> {
    let quantity = Quantity::parse(text)?;
    Ok(match quantity.text {
        Some(_) => Cow::Borrowed(text),
        None => Cow::Owned(quantity.to_string()),
    })
}

/// A quantity's text taken apart.
struct Parts<'a> {
    negative: bool,
    /// Digits before the point, leading zeros left out.
    integer: &'a str,
    /// Digits behind the point.
    fraction: &'a str,
    suffix: &'a str,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Parts<'a>, ParseError> {
        let (negative, rest) = match text.as_bytes() {
            [b'-', ..] => (true, &text[1..]),
            [b'+', ..] => (false, &text[1..]),
            _ => (false, text),
        };
        let trimmed = rest.trim_start_matches('0');
        let (integer, after) = split_digits(trimmed);
        let (fraction, suffix) = match after.strip_prefix('.') {
            Some(after) => split_digits(after),
            None => ("", after),
        };
        let exponent = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if !exponent.bytes().all(|b| b.is_ascii_digit()) {
            return Err(ParseError::Format);
        }
        Ok(Parts { negative, integer, fraction, suffix })
    }

    /// The original keeps the text it read when it looks canonical at first
    /// sight; so `+5` and `1.500` stay as they are.
    fn counts_as_canonical(&self, format: Format, exponent: i32) -> bool {
        let integer = if self.integer.is_empty() { "0" } else { self.integer };
        let digits = integer.len() + self.fraction.len();
        let ends = format!("{integer}{}", self.fraction);
        let Ok(value) = ends.parse::<i64>() else { return false };
        match format {
            Format::BinarySi => {
                let fits = digits as i64 + (f64::from(exponent) * 0.3) as i64 <= 14;
                self.fraction.is_empty() && fits && value & 7 != 0
            }
            _ => {
                let scale = exponent.saturating_sub(self.fraction.len() as i32);
                digits <= 18
                    && scale >= NANO
                    && scale % 3 == 0
                    && !ends.ends_with("000")
                    && !ends.starts_with('0')
            }
        }
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(text.len()))
}

fn interpret_suffix(suffix: &str) -> Result<(Format, i32), ParseError> {
    if let Some((_, exponent)) = DECIMAL_SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Ok((Format::DecimalSi, *exponent));
    }
    if let Some(power) = BINARY_SUFFIXES.iter().position(|name| *name == suffix) {
        return Ok((Format::BinarySi, power as i32 * 10));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(ParseError::Suffix)?;
    let exponent = exponent.parse::<i32>().map_err(|_| ParseError::Suffix)?;
    Ok((Format::DecimalExponent, exponent))
}

/// All digits as one number, and how many at the end did not fit.
fn parse_digits(integer: &str, fraction: &str) -> (i128, i32) {
    let digits = integer.bytes().chain(fraction.bytes());
    let mut value: i128 = 0;
    let mut cut = 0;
    let mut significant = 0;
    for digit in digits {
        if significant < DIGITS_MAX {
            value = value * 10 + i128::from(digit - b'0');
            significant += usize::from(value != 0);
        } else {
            cut += 1;
        }
    }
    (value, cut)
}

/// `digits * 2^exponent * 10^scale`, cut to the largest binary quantity.
fn binary(digits: i128, exponent: i32, scale: i32) -> Quantity {
    let amount = digits.checked_mul(1_i128 << exponent).unwrap_or(i128::MAX);
    let mut quantity = Quantity { amount, scale, format: Format::BinarySi, text: None };
    if quantity.scaled(0).0 > BINARY_MAX {
        quantity = Quantity { amount: BINARY_MAX, scale: 0, ..quantity };
    }
    if quantity.amount != 0 && quantity.scaled(0).0 == 1 && !quantity.scaled(0).1 {
        // Below one a binary suffix would have to round.
        quantity.format = Format::DecimalSi;
    }
    quantity
}

fn pow10(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

fn saturate(n: i128) -> i64 {
    i64::try_from(n).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &str) {
        assert_eq!(Quantity::parse(text).map(|q| q.to_string()).as_deref(), Ok(expect), "{text}");
    }

    #[test]
    fn canonical_text_has_no_fraction_and_the_largest_suffix() {
        for (text, expect) in [
            ("0", "0"),
            ("00", "0"),
            ("0Ki", "0"),
            ("1000m", "1"),
            ("1.5", "1500m"),
            ("0.1", "100m"),
            ("1024Mi", "1Gi"),
            ("1000Ki", "1000Ki"),
            ("1.5Gi", "1536Mi"),
            ("0.5Ki", "512"),
            ("1e9", "1e9"),
            ("1e3", "1e3"),
            ("1E", "1E"),
            ("1000E", "1e21"),
            ("12345678901234567890", "12345678901234567890"),
            ("100000000000000000000", "100E"),
            ("-1Gi", "-1Gi"),
            ("0.0000000001", "1n"),
            ("9223372036854775808Ki", "9223372036854775807"),
            ("100000", "100k"),
            ("1.", "1."),
            // The original reads no digits as zero.
            (".", "0"),
            ("Ki", "0"),
        ] {
            check(text, expect);
        }
    }

    #[test]
    fn extreme_exponents_do_not_overflow() {
        for text in ["1000e2147483646", "1e-2147483648", "-9223372036854775808e99", "1e9999999999"] {
            let Ok(quantity) = Quantity::parse(text) else { continue };
            assert!(!quantity.to_string().is_empty());
            assert_eq!(quantity.sub(&quantity).as_i64(), 0, "{text}");
        }
    }

    #[test]
    fn text_that_looks_canonical_is_kept() {
        for text in ["+5", "1.500", "1025Ki", "100m", "1500m"] {
            check(text, text);
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_in_the_words_of_the_original() {
        for (text, error) in [
            ("", ParseError::Format),
            ("lots", ParseError::Format),
            ("1Gb", ParseError::Format),
            ("1kk", ParseError::Suffix),
            ("1e", ParseError::Suffix),
        ] {
            assert_eq!(Quantity::parse(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn order_and_sums_are_by_value() {
        let q = |text: &str| Quantity::parse(text).expect(text);
        assert_eq!(q("1000m"), q("1"));
        assert!(q("1Gi") > q("1G"));
        assert!(q("1e300") > q("1E"));
        assert_eq!(q("1Gi").add(&q("1Mi")).to_string(), "1025Mi");
        assert_eq!(q("0").add(&q("1Mi")).to_string(), "1Mi");
        assert_eq!(q("1").sub(&q("100m")).to_string(), "900m");
        assert_eq!(q("1500m").as_i64(), 2);
        assert_eq!(q("2").milli_value(), 2000);
        assert_eq!(q("100E").as_i64(), i64::MAX);
    }
}
