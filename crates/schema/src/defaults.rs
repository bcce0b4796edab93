//! Defaults that stand in the schema.
//!
//! Owns only what is declared beside a field. Defaults that a Go function
//! computes are the business of each resource.

use crate::{Field, Kind, Map, Schema, TypeId, Value};

/// Fills in the schema's defaults below `value`, which has type `ty`.
/// A field with a default is set where it is absent or null; nothing is made
/// for absent parents, unless the parent itself has a default.
pub fn apply(schema: &Schema, ty: TypeId, value: &mut Value) {
    let ty = schema.ty(ty);
    if !ty.has_defaults {
        return;
    }
    match (&ty.kind, value) {
        (Kind::List(item), Value::List(items)) => {
            items.iter_mut().for_each(|value| apply(schema, *item, value));
        }
        (Kind::Map(item), Value::Map(map)) => {
            map.iter_mut().for_each(|(_, value)| apply(schema, *item, value));
        }
        (Kind::Struct { fields, .. }, Value::Map(map)) => {
            fields.iter().for_each(|field| apply_field(schema, field, map));
        }
        _ => {}
    }
}

fn apply_field(schema: &Schema, field: &Field, parent: &mut Map) {
    if let Some(default) = default_value(field)
        && is_missing(parent.get(&field.name))
    {
        parent.insert(field.name.clone(), default);
    }
    if schema.ty(field.ty).has_defaults
        && let Some(value) = parent.get_mut(&field.name)
    {
        apply(schema, field.ty, value);
    }
}

fn is_missing(value: Option<&Value>) -> bool {
    value.is_none_or(Value::is_null)
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
    use crate::builtin;

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
    fn only_types_with_defaults_are_walked() {
        let schema = builtin();
        let has = |kind: &str| schema.ty(schema.kind("", "v1", kind).expect("served")).has_defaults;
        assert!(has("Pod") && has("ServiceList"));
        assert!(!has("ConfigMap"));
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
