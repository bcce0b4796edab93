//! The types of the schema table as OpenAPI schemas.
//!
//! Descriptions are left out: the table holds facts, no prose.

use std::collections::BTreeSet;

use schema::{Field, FieldFlags, Kind, ListType, Map, MapType, Scalar, Schema, Type, TypeId, Value};

/// Which OpenAPI: the two differ in where schemas live and how a reference
/// may have siblings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Swagger 2.0
    V2,
    /// OpenAPI 3.0
    V3,
}

impl Dialect {
    /// A reference to a named type.
    pub fn reference(self, name: &str) -> Value {
        let place = match self {
            Dialect::V2 => "#/definitions/",
            Dialect::V3 => "#/components/schemas/",
        };
        Value::Map(Map::from([("$ref", format!("{place}{name}"))]))
    }
}

/// Schemas of `roots` and of everything they refer to, by name.
pub fn schemas(table: &Schema, dialect: Dialect, roots: impl IntoIterator<Item = TypeId>) -> Map {
    let mut wanted: Vec<TypeId> = roots.into_iter().collect();
    let mut seen: BTreeSet<TypeId> = BTreeSet::new();
    let mut schemas = Vec::new();
    while let Some(id) = wanted.pop() {
        if !seen.insert(id) {
            continue;
        }
        let ty = table.ty(id);
        match &ty.kind {
            Kind::List(item) | Kind::Map(item) => wanted.push(*item),
            Kind::Struct { fields, .. } => wanted.extend(fields.iter().map(|field| field.ty)),
            Kind::Scalar(_) => {}
        }
        if !ty.name.is_empty() {
            schemas.push((ty.name.clone().into(), definition(table, dialect, id)));
        }
    }
    Map::from_unsorted(schemas, |_| {})
}

/// The schema of a named type.
fn definition(table: &Schema, dialect: Dialect, id: TypeId) -> Value {
    let ty = table.ty(id);
    let mut out = match &ty.kind {
        Kind::Struct { fields, .. } => structure(table, dialect, fields),
        Kind::Scalar(leaf) => scalar(*leaf, dialect),
        Kind::List(_) | Kind::Map(_) => contents(table, dialect, ty),
    };
    if ty.map_type == MapType::Atomic {
        out.set(&["x-kubernetes-map-type"], "atomic");
    }
    let kinds: Vec<Value> = table
        .kinds
        .iter()
        .filter(|(_, kind)| *kind == id)
        .map(|((group, version, kind), _)| {
            Value::Map(Map::from([
                ("group", group.as_ref()),
                ("kind", kind.as_ref()),
                ("version", version.as_ref()),
            ]))
        })
        .collect();
    if !kinds.is_empty() {
        out.set(&["x-kubernetes-group-version-kind"], kinds);
    }
    out
}

fn structure(table: &Schema, dialect: Dialect, fields: &[Field]) -> Value {
    let mut out = Value::map();
    out.set(&["type"], "object");
    let properties: Map = fields.iter().map(|f| (f.name.clone(), property(table, dialect, f))).collect();
    if !properties.is_empty() {
        out.set(&["properties"], properties);
    }
    let required = fields.iter().filter(|field| field.flags.has(FieldFlags::REQUIRED));
    let required: Vec<&str> = required.map(|field| field.name.as_ref()).collect();
    if !required.is_empty() {
        out.set(&["required"], required);
    }
    out
}

fn property(table: &Schema, dialect: Dialect, field: &Field) -> Value {
    let mut extras = Value::map();
    // The original leaves the empty struct out of Swagger 2.0, whose references have no siblings.
    if !field.default.is_empty() && (dialect != Dialect::V2 || field.default != "{}") {
        let default = codec::json::decode_any(field.default.as_bytes());
        extras.set(&["default"], default.expect("defaults in the table are JSON"));
    }
    match field.list_type {
        ListType::Unset => {}
        ListType::Atomic => extras.set(&["x-kubernetes-list-type"], "atomic"),
        ListType::Set => extras.set(&["x-kubernetes-list-type"], "set"),
        ListType::Map => {
            extras.set(&["x-kubernetes-list-type"], "map");
            let keys: Vec<&str> = field.list_map_keys.iter().map(AsRef::as_ref).collect();
            extras.set(&["x-kubernetes-list-map-keys"], keys);
        }
    }
    match field.map_type {
        MapType::Unset => {}
        MapType::Atomic => extras.set(&["x-kubernetes-map-type"], "atomic"),
        MapType::Granular => extras.set(&["x-kubernetes-map-type"], "granular"),
    }
    if !field.patch_merge_key.is_empty() {
        extras.set(&["x-kubernetes-patch-merge-key"], field.patch_merge_key.as_ref());
    }
    let strategy = field.patch_strategy;
    let parts =
        [(strategy.merge, "merge"), (strategy.retain_keys, "retainKeys"), (strategy.replace, "replace")];
    let parts: Vec<&str> = parts.iter().filter(|(said, _)| *said).map(|(_, name)| *name).collect();
    if !parts.is_empty() {
        extras.set(&["x-kubernetes-patch-strategy"], parts.join(","));
    }
    with_extras(dialect, used(table, dialect, field.ty), extras)
}

/// Adds keywords to a schema; in OpenAPI 3.0 a reference takes them only inside `allOf`.
fn with_extras(dialect: Dialect, schema: Value, extras: Value) -> Value {
    let Value::Map(extras) = extras else { return schema };
    if extras.is_empty() {
        return schema;
    }
    let mut out = if dialect == Dialect::V3 && schema.get("$ref").is_some() {
        let mut outer = Value::map();
        outer.set(&["allOf"], vec![schema]);
        outer
    } else {
        schema
    };
    if let Some(map) = out.as_map_mut() {
        for (key, value) in extras {
            map.insert(key, value);
        }
    }
    out
}

/// The schema of a type where it is used: a reference if it has a name.
fn used(table: &Schema, dialect: Dialect, id: TypeId) -> Value {
    let ty = table.ty(id);
    if ty.name.is_empty() { contents(table, dialect, ty) } else { dialect.reference(&ty.name) }
}

fn contents(table: &Schema, dialect: Dialect, ty: &Type) -> Value {
    let mut out = Value::map();
    match &ty.kind {
        Kind::Scalar(leaf) => return scalar(*leaf, dialect),
        Kind::List(item) => {
            out.set(&["type"], "array");
            out.set(&["items"], used(table, dialect, *item));
        }
        Kind::Map(value) => {
            out.set(&["type"], "object");
            out.set(&["additionalProperties"], used(table, dialect, *value));
        }
        Kind::Struct { fields, .. } => return structure(table, dialect, fields),
    }
    out
}

fn scalar(leaf: Scalar, dialect: Dialect) -> Value {
    let either = |a: &str, b: &str| {
        let one = |name: &str| Value::Map(Map::from([("type", name)]));
        Value::Map(Map::from([("oneOf", vec![one(a), one(b)])]))
    };
    let (kind, format) = match leaf {
        Scalar::String => ("string", ""),
        Scalar::Int32 => ("integer", "int32"),
        Scalar::Int64 => ("integer", "int64"),
        Scalar::Float64 => ("number", "double"),
        Scalar::Bool => ("boolean", ""),
        Scalar::Bytes => ("string", "byte"),
        Scalar::Time | Scalar::MicroTime => ("string", "date-time"),
        Scalar::Quantity if dialect == Dialect::V3 => return either("string", "number"),
        Scalar::Quantity => ("string", ""),
        Scalar::IntOrString if dialect == Dialect::V3 => {
            let mut out = either("integer", "string");
            out.set(&["format"], "int-or-string");
            return out;
        }
        Scalar::IntOrString => ("string", "int-or-string"),
        Scalar::RawExtension | Scalar::FieldsV1 | Scalar::Object => ("object", ""),
        Scalar::Json | Scalar::JsonSchemaOr => return Value::map(),
    };
    let mut out = Value::map();
    out.set(&["type"], kind);
    if !format.is_empty() {
        out.set(&["format"], format);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(kind: (&str, &str, &str), dialect: Dialect) -> Map {
        let table = schema::builtin();
        schemas(table, dialect, table.kind(kind.0, kind.1, kind.2))
    }

    #[test]
    fn a_reference_with_a_default_is_wrapped_in_version_3() {
        let schemas = all(("coordination.k8s.io", "v1", "Lease"), Dialect::V3);
        let spec = schemas
            .get("io.k8s.api.coordination.v1.Lease")
            .and_then(|lease| lease.at(&["properties", "spec"]));
        let spec = spec.expect("a lease has a spec");
        assert_eq!(spec.get("default"), Some(&Value::map()));
        let reference = spec.list_at(&["allOf"])[0].str_at(&["$ref"]);
        assert_eq!(reference, Some("#/components/schemas/io.k8s.api.coordination.v1.LeaseSpec"));
        assert!(schemas.contains_key("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"));
    }

    #[test]
    fn merge_keys_are_told_to_clients_that_merge() {
        let schemas = all(("", "v1", "Pod"), Dialect::V2);
        let spec = schemas.get("io.k8s.api.core.v1.PodSpec").expect("a pod has a spec");
        let containers = spec.at(&["properties", "containers"]).expect("a pod has containers");
        assert_eq!(containers.str_at(&["x-kubernetes-patch-merge-key"]), Some("name"));
        assert_eq!(containers.str_at(&["x-kubernetes-patch-strategy"]), Some("merge"));
    }

    #[test]
    fn recursive_types_end() {
        let schemas = all(("apiextensions.k8s.io", "v1", "CustomResourceDefinition"), Dialect::V3);
        assert!(schemas.keys().any(|name| name.ends_with(".JSONSchemaProps")));
    }
}
