//! Why a patched document does not fit its Go type. A strategic merge patch
//! never goes through JSON in the original, so its words differ from the
//! codec's.

use schema::{Kind, Scalar, Schema, TypeId, Value};

use super::lookup::go_kind;

/// The original's words for the first value that does not fit, if one does
/// not. Leaves with a syntax of their own (times, quantities) are not looked
/// at: the codec reads them in the same words.
pub fn unconvertible(schema: &Schema, ty: TypeId, value: &Value) -> Option<String> {
    let kind = &schema.ty(ty).kind;
    match (kind, value) {
        (_, Value::Null) => None,
        (Kind::Struct { fields, .. }, Value::Map(map)) => {
            fields.iter().find_map(|field| unconvertible(schema, field.ty, map.get(&field.name)?))
        }
        (Kind::Struct { .. }, other) => Some(format!("cannot restore struct from: {}", value_kind(other))),
        (Kind::Map(item), Value::Map(map)) => {
            map.values().find_map(|value| unconvertible(schema, *item, value))
        }
        (Kind::Map(_), other) => Some(format!("cannot restore map from {}", value_kind(other))),
        (Kind::List(item), Value::List(items)) => {
            items.iter().find_map(|value| unconvertible(schema, *item, value))
        }
        (Kind::List(_), other) => Some(format!("cannot restore slice from {}", value_kind(other))),
        (Kind::Scalar(scalar), value) => leaf(*scalar, value),
    }
}

fn leaf(scalar: Scalar, value: &Value) -> Option<String> {
    let fits = match (scalar, value) {
        (Scalar::String, Value::String(_)) | (Scalar::Bool, Value::Bool(_)) => true,
        (Scalar::Float64, Value::Float(_) | Value::Int(_)) | (Scalar::Int64, Value::Int(_)) => true,
        (Scalar::Int32, Value::Int(n)) => i32::try_from(*n).is_ok(),
        (Scalar::Int32 | Scalar::Int64, Value::Float(n)) => n.fract() == 0.0,
        (Scalar::String | Scalar::Bool | Scalar::Float64 | Scalar::Int32 | Scalar::Int64, _) => false,
        _ => true,
    };
    let wanted = go_kind(&Kind::Scalar(scalar));
    // Go can convert between numbers, and from an integer to a string, in principle.
    let convertible = matches!(
        (scalar, value),
        (Scalar::Int32 | Scalar::Int64, Value::Int(_) | Value::Float(_)) | (Scalar::String, Value::Int(_))
    );
    match (fits, convertible) {
        (true, _) => None,
        (false, true) => Some(format!("cannot convert {} to {wanted}", value_kind(value))),
        (false, false) => Some(format!("unrecognized type: {wanted}")),
    }
}

fn value_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "invalid",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::List(_) => "slice",
        Value::Map(_) | Value::Raw(_) => "map",
    }
}
