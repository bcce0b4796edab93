//! Revisions (numbers a store mints) and resource versions (what clients see).

use std::fmt;

/// A store's revision: strictly increasing, minted only by a backend. 0 means
/// none (or "latest" in a read).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u64);

/// A `resourceVersion` as a client sent it: opaque text, empty when not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceVersion(pub String);

/// The text is no decimal 64-bit number.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("strconv.ParseUint: parsing {text:?}: {}", self.reason())]
pub struct ParseResourceVersionError {
    /// What was given.
    pub text: String,
}

impl ParseResourceVersionError {
    /// In the words of Go.
    fn reason(&self) -> &'static str {
        match is_decimal(&self.text) {
            true => "value out of range",
            false => "invalid syntax",
        }
    }
}

fn is_decimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Revision {
    /// The number.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResourceVersion {
    /// True if the client gave none.
    pub fn is_unset(&self) -> bool {
        self.0.is_empty()
    }

    /// True for `0`, "any version will do".
    pub fn is_zero(&self) -> bool {
        self.0 == "0"
    }

    /// The revision meant: none and `0` are 0 (A-VER-5).
    pub fn parse(&self) -> Result<Revision, ParseResourceVersionError> {
        if self.0.is_empty() {
            return Ok(Revision(0));
        }
        // Rust accepts a leading `+`, Go does not.
        match self.0.parse() {
            Ok(number) if is_decimal(&self.0) => Ok(Revision(number)),
            _ => Err(ParseResourceVersionError { text: self.0.clone() }),
        }
    }
}

impl From<Revision> for ResourceVersion {
    fn from(revision: Revision) -> ResourceVersion {
        ResourceVersion(revision.to_string())
    }
}

impl fmt::Display for ResourceVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u64, String> {
        ResourceVersion(text.into()).parse().map(Revision::raw).map_err(|error| error.to_string())
    }

    #[test]
    fn none_and_zero_are_zero_and_other_numbers_are_themselves() {
        for (text, number) in [("", 0), ("0", 0), ("1", 1), ("10", 10), ("18446744073709551615", u64::MAX)] {
            assert_eq!(parse(text), Ok(number), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused_with_the_texts_of_go() {
        for text in ["a", "-1", "+1", " 1", "1.0", "0x1"] {
            let want = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
            assert_eq!(parse(text), Err(want));
        }
        let want = "strconv.ParseUint: parsing \"18446744073709551616\": value out of range";
        assert_eq!(parse("18446744073709551616"), Err(want.to_owned()));
    }
}
