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
#[error("strconv.ParseUint: parsing {text:?}: invalid syntax")]
pub struct ParseResourceVersionError {
    /// What was given.
    pub text: String,
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
        let digits = self.0.bytes().all(|b| b.is_ascii_digit());
        match self.0.parse() {
            Ok(number) if digits => Ok(Revision(number)),
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
