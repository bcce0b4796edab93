//! Where in an object something is wrong, and how: field paths and field errors.

use std::fmt;

use schema::Value;

/// Path of a field, printed as `spec.containers[0].ports[key]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(String);

impl FieldPath {
    /// The path of a top-level field; empty for the object itself.
    pub fn root(name: &str) -> FieldPath {
        FieldPath(name.to_owned())
    }

    /// A field below; names may hold dots for several steps.
    pub fn child(&self, name: &str) -> FieldPath {
        if self.0.is_empty() { FieldPath(name.to_owned()) } else { FieldPath(format!("{}.{name}", self.0)) }
    }

    /// An item of a list.
    pub fn index(&self, index: usize) -> FieldPath {
        FieldPath(format!("{}[{index}]", self.0))
    }

    /// A value of a map.
    pub fn key(&self, key: &str) -> FieldPath {
        FieldPath(format!("{}[{key}]", self.0))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wrong with a field. Names and texts are the original's `field.ErrorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldErrorType {
    /// Not found.
    NotFound,
    /// Missing.
    Required,
    /// Repeated.
    Duplicate,
    /// Malformed or out of range.
    Invalid,
    /// None of the supported values.
    NotSupported,
    /// Well-formed, but not allowed here.
    Forbidden,
    /// Longer than allowed.
    TooLong,
    /// More items than allowed.
    TooMany,
    /// Fewer items than required.
    TooFew,
    /// A failure of the server.
    Internal,
    /// Wrong JSON type.
    TypeInvalid,
}

impl FieldErrorType {
    /// The reason of a Status cause, e.g. `FieldValueInvalid`.
    pub fn reason(self) -> &'static str {
        match self {
            FieldErrorType::NotFound => "FieldValueNotFound",
            FieldErrorType::Required => "FieldValueRequired",
            FieldErrorType::Duplicate => "FieldValueDuplicate",
            FieldErrorType::Invalid => "FieldValueInvalid",
            FieldErrorType::NotSupported => "FieldValueNotSupported",
            FieldErrorType::Forbidden => "FieldValueForbidden",
            FieldErrorType::TooLong => "FieldValueTooLong",
            FieldErrorType::TooMany => "FieldValueTooMany",
            FieldErrorType::TooFew => "FieldValueTooFew",
            FieldErrorType::Internal => "InternalError",
            FieldErrorType::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn text(self) -> &'static str {
        match self {
            FieldErrorType::NotFound => "Not found",
            FieldErrorType::Required => "Required value",
            FieldErrorType::Duplicate => "Duplicate value",
            FieldErrorType::Invalid | FieldErrorType::TypeInvalid => "Invalid value",
            FieldErrorType::NotSupported => "Unsupported value",
            FieldErrorType::Forbidden => "Forbidden",
            FieldErrorType::TooLong => "Too long",
            FieldErrorType::TooMany => "Too many",
            FieldErrorType::TooFew => "Too few",
            FieldErrorType::Internal => "Internal error",
        }
    }
}

/// One thing wrong with one field. `Display` gives `path: body`, as the
/// original's `field.Error`.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What kind of error.
    pub kind: FieldErrorType,
    /// Where.
    pub field: FieldPath,
    /// The offending value as the message shows it (already in Go's form: strings quoted, objects as JSON); empty if none is shown.
    pub bad_value: String,
    /// Explanation; may be empty.
    pub detail: String,
}

/// All that is wrong with an object, in the order found.
pub type FieldErrors = Vec<FieldError>;

impl FieldError {
    /// Malformed or out of range.
    pub fn invalid(field: &FieldPath, bad_value: &Value, detail: impl Into<String>) -> FieldError {
        FieldError::new(FieldErrorType::Invalid, field, show(bad_value), detail)
    }

    /// Malformed text.
    pub fn invalid_str(field: &FieldPath, bad_value: &str, detail: impl Into<String>) -> FieldError {
        FieldError::new(FieldErrorType::Invalid, field, quoted(bad_value), detail)
    }

    /// Missing.
    pub fn required(field: &FieldPath, detail: impl Into<String>) -> FieldError {
        FieldError::new(FieldErrorType::Required, field, String::new(), detail)
    }

    /// Repeated.
    pub fn duplicate(field: &FieldPath, bad_value: &Value) -> FieldError {
        FieldError::new(FieldErrorType::Duplicate, field, show(bad_value), "")
    }

    /// Not allowed here.
    pub fn forbidden(field: &FieldPath, detail: impl Into<String>) -> FieldError {
        FieldError::new(FieldErrorType::Forbidden, field, String::new(), detail)
    }

    /// Not found.
    pub fn not_found(field: &FieldPath, bad_value: &Value) -> FieldError {
        FieldError::new(FieldErrorType::NotFound, field, show(bad_value), "")
    }

    /// None of the supported values, which the message lists in the order given.
    pub fn not_supported(field: &FieldPath, bad_value: &Value, supported: &[&str]) -> FieldError {
        let list: Vec<String> = supported.iter().map(|value| quoted(value)).collect();
        let detail =
            if list.is_empty() { String::new() } else { format!("supported values: {}", list.join(", ")) };
        FieldError::new(FieldErrorType::NotSupported, field, show(bad_value), detail)
    }

    /// Longer than `max` bytes. The original shows a placeholder instead of the value.
    pub fn too_long(field: &FieldPath, max: usize) -> FieldError {
        let detail = format!("may not be more than {max} bytes");
        FieldError::new(FieldErrorType::TooLong, field, String::new(), detail)
    }

    /// More than `max` items.
    pub fn too_many(field: &FieldPath, actual: usize, max: usize) -> FieldError {
        let items = if max == 1 { "item" } else { "items" };
        let detail = format!("must have at most {max} {items}");
        FieldError::new(FieldErrorType::TooMany, field, actual.to_string(), detail)
    }

    /// From all parts; `bad_value` as the message shows it.
    pub fn new(
        kind: FieldErrorType,
        field: &FieldPath,
        bad_value: impl Into<String>,
        detail: impl Into<String>,
    ) -> FieldError {
        FieldError { kind, field: field.clone(), bad_value: bad_value.into(), detail: detail.into() }
    }

    /// The message of a Status cause: everything but the path.
    pub fn body(&self) -> String {
        let mut body = self.kind.text().to_owned();
        if !self.bad_value.is_empty() {
            body.push_str(": ");
            body.push_str(&self.bad_value);
        }
        if !self.detail.is_empty() {
            body.push_str(": ");
            body.push_str(&self.detail);
        }
        body
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The original prints a missing path as Go prints a nil one.
        let path = if self.field.0.is_empty() { "<nil>" } else { self.field.as_str() };
        write!(f, "{path}: {}", self.body())
    }
}

/// A value as Go's error texts show it: strings quoted, the rest as JSON.
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Float(n) => n.to_string(),
        Value::String(s) => quoted(s),
        Value::Raw(json) => json.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(",")),
        Value::Map(map) => {
            let entries: Vec<String> =
                map.iter().map(|(k, v)| format!("{}:{}", quoted(k), show(v))).collect();
            format!("{{{}}}", entries.join(","))
        }
    }
}

/// Text in Go's double quotes (`%q`).
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if is_printable(c) => out.push(c),
            c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    out.push('"');
    out
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the plain space.
pub fn is_printable(c: char) -> bool {
    // Rust escapes in debug text exactly what is not of these classes; only
    // the quotes and the backslash are escaped for another reason. The letter
    // in front keeps combining marks from being escaped for standing first.
    matches!(c, '"' | '\'' | '\\') || ['a', c].iter().collect::<String>().escape_debug().count() == 2
}

/// A character as Go's `%#U` shows it: `U+0041 'A'`, without the character if it is not printable.
pub fn go_code_point(c: char) -> String {
    if is_printable(c) { format!("U+{:04X} '{c}'", c as u32) } else { format!("U+{:04X}", c as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_escapes_what_go_does_not_print() {
        assert_eq!(quoted("a\"b\n\u{0}é"), r#""a\"b\n\x00é""#);
        assert_eq!(quoted("\u{200b}\u{f0000}"), r#""\u200b\U000f0000""#);
        assert_eq!(go_code_point('\n'), "U+000A");
        assert_eq!(go_code_point('x'), "U+0078 'x'");
    }

    #[test]
    fn marks_and_symbols_are_printable_separators_are_not() {
        for c in ['a', ' ', 'é', '\u{301}', '漢', '€', '"'] {
            assert!(is_printable(c), "{c:?}");
        }
        for c in ['\u{a0}', '\u{2028}', '\u{ad}', '\u{e000}', '\t'] {
            assert!(!is_printable(c), "{c:?}");
        }
    }
}
