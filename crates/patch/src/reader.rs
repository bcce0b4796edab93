//! Reads the bytes of a patch, with or without looking for duplicate keys.

use codec::DecodeError;
use schema::{Map, Value};

/// Where strict reading puts the texts of what it would refuse; none to ignore them.
pub(crate) type Strict<'a> = Option<&'a mut Vec<String>>;

/// JSON of any shape.
pub(crate) fn any(bytes: &[u8], strict: Strict<'_>) -> Result<Value, DecodeError> {
    let Some(strict) = strict else { return codec::json::decode_any(bytes) };
    let mut duplicates = Vec::new();
    let value = codec::json::decode_any_strict(bytes, &mut duplicates)?;
    strict.extend(duplicates.iter().map(ToString::to_string));
    Ok(value)
}

/// An object; none for null.
pub(crate) fn object(bytes: &[u8], strict: Strict<'_>) -> Result<Option<Map>, DecodeError> {
    match any(bytes, strict)? {
        Value::Map(map) => Ok(Some(map)),
        Value::Null => Ok(None),
        other => Err(mismatch(&other, "value", "map[string]interface {}")),
    }
}

/// The error of a value that is not of the Go type it should be.
pub(crate) fn mismatch(found: &Value, place: &str, expected: &str) -> DecodeError {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) | Value::Raw(_) => "object",
    };
    DecodeError::Mismatch { found: found.to_owned(), place: place.to_owned(), expected: expected.to_owned() }
}
