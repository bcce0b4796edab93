//! Patches: JSON patch, merge patch, strategic merge patch and server-side apply.
//!
//! Owns what a patch does to a tree and the words in which it fails. Each kind
//! is read once ([`JsonPatch`], [`MergePatch`], [`StrategicPatch`]) and can then
//! be applied as often as an update is tried again. Owns neither decoding the
//! result into the object's type nor what validation says about it.
//!
//! A patch is applied to a [`document`]: the object as its JSON has it, with
//! the zero values that the wire shows. What comes out goes back through
//! `codec::json::typed`; when that fails, [`undecodable`] is the answer.

pub mod apply;
mod error;
mod go_text;
pub mod json_patch;
pub mod merge_patch;
mod reader;
pub mod strategic;

use meta::{ApiError, FieldError, FieldPath};
use schema::{Schema, TypeId, Value};

pub use codec::DecodeError;
pub use error::PatchError;
pub use go_text::go_text;
pub use json_patch::JsonPatch;
pub use merge_patch::MergePatch;
pub use strategic::StrategicPatch;

/// The object as its JSON has it: fields that are written even when zero stand
/// there, free-form content is a tree. This is what paths of a patch point into.
/// Fails only on free-form content that is no JSON or nests too deep.
pub fn document(schema: &Schema, ty: TypeId, object: &Value) -> Result<Value, DecodeError> {
    let mut json = Vec::new();
    codec::json::encode(schema, ty, object, &mut json);
    codec::json::decode_any(&json)
}

/// 422 for a patch whose result is not an object of the type: the patched
/// document (JSON and merge patch: as JSON text; strategic: the patch as
/// [`go_text`]) and why.
pub fn undecodable(shown: &str, detail: impl Into<String>) -> ApiError {
    let kind = meta::GroupKind { group: "".into(), kind: "".into() };
    ApiError::invalid(kind, "", FieldError::invalid_str(&FieldPath::root("patch"), shown, detail))
}
