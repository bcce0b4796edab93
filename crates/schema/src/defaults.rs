//! Defaults that stand in the schema.
//!
//! Owns only what is declared beside a field. Defaults that a Go function
//! computes are the business of each resource.

use crate::{Field, Kind, Schema, TypeId, Value};

/// Fills in the schema's defaults below `value`, which has type `ty`.
/// A field with a default is set where it is absent or null; nothing is made
/// for absent parents, unless the parent itself has a default.
pub fn apply(schema: &Schema, ty: TypeId, value: &mut Value) {
    match &schema.ty(ty).kind {
        Kind::Scalar(_) => {}
        Kind::List(item) => {
            if has_fields(schema, *item) {
                value.as_list_mut().into_iter().flatten().for_each(|value| apply(schema, *item, value));
            }
        }
        Kind::Map(item) => {
            if has_fields(schema, *item) {
                let entries = value.as_map_mut().into_iter().flat_map(|map| map.iter_mut());
                entries.for_each(|(_, value)| apply(schema, *item, value));
            }
        }
        Kind::Struct { fields, .. } => fields.iter().for_each(|field| apply_field(schema, field, value)),
    }
}

fn apply_field(schema: &Schema, field: &Field, parent: &mut Value) {
    let Some(map) = parent.as_map_mut() else { return };
    if is_missing(map.get(&field.name))
        && let Some(default) = default_value(field)
    {
        map.insert(field.name.clone(), default);
    }
    if has_fields(schema, field.ty)
        && let Some(value) = map.get_mut(&field.name)
    {
        apply(schema, field.ty, value);
    }
}

fn is_missing(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
}

/// False for leaves and for lists and maps of leaves: they need no walk.
fn has_fields(schema: &Schema, ty: TypeId) -> bool {
    match &schema.ty(ty).kind {
        Kind::Scalar(_) => false,
        Kind::List(item) | Kind::Map(item) => has_fields(schema, *item),
        Kind::Struct { .. } => true,
    }
}

/// The default of a field, none if it is the zero value: absent says the same.
fn default_value(field: &Field) -> Option<Value> {
    let text = field.default.as_ref();
    if matches!(text, "" | "\"\"" | "0" | "false" | "{}" | "null") {
        return None;
    }
    // The facts hold plain strings without escapes, numbers and booleans.
    if let Some(string) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        return Some(string.into());
    }
    match text {
        "true" => Some(true.into()),
        number => number.parse::<i64>().ok().map(Value::Int),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Map, builtin};

    #[test]
    fn every_default_of_the_built_in_table_is_understood() {
        for ty in builtin().types.iter() {
            for field in ty.fields().iter().filter(|field| !field.default.is_empty()) {
                let zero = matches!(field.default.as_ref(), "\"\"" | "0" | "false" | "{}");
                assert_eq!(
                    default_value(field).is_none(),
                    zero,
                    "{}.{}: {}",
                    ty.name,
                    field.name,
                    field.default
                );
            }
        }
    }

    #[test]
    fn a_port_without_protocol_is_tcp_and_a_missing_list_stays_missing() {
        let schema = builtin();
        let ty = schema.kind("", "v1", "Service").expect("served");
        let mut service = Value::map();
        service.set(&["spec", "ports"], vec![Map::from([("port", 80)])]);
        apply(schema, ty, &mut service);
        let ports = service.list_at(&["spec", "ports"]);
        assert_eq!(ports[0].str_at(&["protocol"]), Some("TCP"));

        let mut empty = Value::map();
        apply(schema, ty, &mut empty);
        assert_eq!(empty, Value::map());
    }
}
