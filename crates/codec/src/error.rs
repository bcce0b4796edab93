//! What goes wrong while decoding, in the words of the original.
//!
//! Owns the texts that a client sees behind `cannot be handled as a`; the
//! server owns what stands around them.

/// What to do about fields that no type declares and fields given twice:
/// the query parameter `fieldValidation`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and tell the client.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// Why bytes are not an object of the expected type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON.
    #[error("{0}")]
    Syntax(String),
    /// The bytes stop in the middle.
    #[error("unexpected end of JSON input")]
    UnexpectedEnd,
    /// Nested deeper than [`crate::DEPTH_MAX`].
    #[error("exceeded max depth")]
    TooDeep,
    /// JSON of another shape than the type.
    #[error("json: cannot unmarshal {found} into Go {place} of type {expected}")]
    Mismatch {
        /// What stands there, e.g. `string` or `number 1.5`.
        found: String,
        /// Where, e.g. `struct field DeploymentSpec.spec.replicas` or `value`.
        place: String,
        /// The Go type, e.g. `int32`.
        expected: String,
    },
    /// A leaf with a syntax of its own (quantity, time, base64) that does not follow it.
    #[error("{0}")]
    Scalar(String),
    /// Not YAML.
    #[error("{0}")]
    Yaml(String),
    /// Not protobuf of the expected message.
    #[error("{0}")]
    Protobuf(String),
}

impl DecodeError {
    pub(crate) fn mismatch(found: &str, place: String, expected: &str) -> DecodeError {
        DecodeError::Mismatch { found: found.to_owned(), place, expected: expected.to_owned() }
    }
}

/// A field that strict decoding refuses; its text is one entry of
/// `strict decoding error: ...`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrictError {
    /// No type declares it. Holds the full path, e.g. `spec.containers[0].bogus`.
    #[error("unknown field \"{0}\"")]
    Unknown(String),
    /// It stands twice in one object. Holds the full path.
    #[error("duplicate field \"{0}\"")]
    Duplicate(String),
    /// A key that stands twice in a YAML mapping, in the words of the YAML parser.
    #[error("{0}")]
    Yaml(String),
}

impl StrictError {
    /// The texts a client is warned with instead: of several YAML keys, each alone.
    pub fn warnings(&self) -> Vec<String> {
        let text = self.to_string();
        match text.strip_prefix("yaml: unmarshal errors:\n  ") {
            Some(lines) => lines.split("\n  ").map(str::to_owned).collect(),
            None => vec![text],
        }
    }
}

/// More strict errors than this are not collected, as in the original.
pub(crate) const STRICT_ERRORS_MAX: usize = 100;

/// Adds an error unless it is known already or there are too many.
pub(crate) fn push_strict(errors: &mut Vec<StrictError>, error: StrictError) {
    if errors.len() < STRICT_ERRORS_MAX && !errors.contains(&error) {
        errors.push(error);
    }
}
