//! JSON as Go reads and writes it.
//!
//! Owns the doors; `reader` knows the syntax, `typed` the types, `encode` the
//! output. Reading by a type goes straight to the value, guided by the table.

mod encode;
mod pretty;
mod reader;
mod typed;

use crate::{DecodeError, StrictError};
use reader::Reader;
use schema::{Schema, TypeId, Value};

pub use encode::{encode, encode_any};
pub use pretty::{compact, pretty};
pub(crate) use typed::{is_absent, zero};

/// Reads an object of type `ty`. With `strict`, fields that the type does not
/// have and fields that stand twice are collected there; they are dropped in
/// any case, and of two values the last counts.
pub fn decode(
    schema: &Schema,
    ty: TypeId,
    bytes: &[u8],
    strict: Option<&mut Vec<StrictError>>,
) -> Result<Value, DecodeError> {
    typed::Decoder::new(schema, bytes, strict).document(ty)
}

/// Reads JSON of any shape. Of duplicate keys the last counts.
pub fn decode_any(bytes: &[u8]) -> Result<Value, DecodeError> {
    Reader::new(bytes).document_any(None)
}

/// Reads JSON of any shape and collects the keys that stand twice.
pub fn decode_any_strict(bytes: &[u8], strict: &mut Vec<StrictError>) -> Result<Value, DecodeError> {
    Reader::new(bytes).document_any(Some(strict))
}

/// What an object says it is, without reading the rest: `apiVersion` and
/// `kind`, empty where it does not say. The whole text must be JSON.
pub fn type_meta(bytes: &[u8]) -> Result<(String, String), DecodeError> {
    Reader::new(bytes).type_meta()
}

/// Brings a free-form tree, e.g. a patched object, into the form of a type:
/// the same conversions, checks and strict errors as [`decode`].
pub fn typed(
    schema: &Schema,
    ty: TypeId,
    value: &Value,
    strict: Option<&mut Vec<StrictError>>,
) -> Result<Value, DecodeError> {
    let mut bytes = Vec::new();
    encode::encode_plain(value, &mut bytes);
    decode(schema, ty, &bytes, strict)
}
