//! Objects of types made at run time: free-form trees, but for metadata, which
//! is that of every object.
//!
//! Owns the form such objects have in memory: any JSON object, its `metadata`
//! in normal form. Owns neither what a definition declares about the rest
//! (pruning, validation) nor how they are written: that is plain JSON.

use std::sync::LazyLock;

use schema::{Map, TypeId, Value};

use crate::{DecodeError, StrictError, json, yaml};

/// Reads an object from JSON. With `strict`, keys that stand twice and unknown
/// fields of metadata are collected there.
pub fn decode_json(bytes: &[u8], strict: Option<&mut Vec<StrictError>>) -> Result<Value, DecodeError> {
    let mut found = Vec::new();
    let tree = json::decode_any_strict(bytes, &mut found)?;
    finish(tree, found, strict)
}

/// As [`decode_json`], from YAML.
pub fn decode_yaml(bytes: &[u8], strict: Option<&mut Vec<StrictError>>) -> Result<Value, DecodeError> {
    let mut found = Vec::new();
    let tree = yaml::decode_any_strict(bytes, &mut found)?;
    finish(tree, found, strict)
}

/// Brings an object given as a tree into the form it has in memory.
pub fn normal(object: Value, strict: Option<&mut Vec<StrictError>>) -> Result<Value, DecodeError> {
    finish(object, Vec::new(), strict)
}

/// As [`normal`] for what has been stored: fields of metadata that make no
/// sense are dropped instead of refused, so that the object can be read and mended.
pub fn normal_lenient(mut object: Value) -> Value {
    let Some(metadata) = object.get_mut("metadata") else { return object };
    let normal = match typed(metadata, None) {
        Ok(normal) => normal,
        Err(_) => sensible_fields(metadata),
    };
    *metadata = normal;
    object
}

fn finish(
    mut object: Value,
    mut found: Vec<StrictError>,
    strict: Option<&mut Vec<StrictError>>,
) -> Result<Value, DecodeError> {
    if object.is_null() {
        object = Value::map();
    }
    let Some(map) = object.as_map_mut() else {
        let text = match &object {
            Value::List(_) => "array",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::Float(_) => "number",
            _ => "string",
        };
        return Err(DecodeError::mismatch(text, "value".to_owned(), "map[string]interface {}"));
    };
    if let Some(metadata) = map.get_mut("metadata") {
        let mut inside = Vec::new();
        *metadata = typed(metadata, strict.is_some().then_some(&mut inside))?;
        found.extend(inside.into_iter().map(below_metadata));
    }
    if let Some(strict) = strict {
        strict.extend(found);
    }
    Ok(object)
}

fn typed(metadata: &Value, strict: Option<&mut Vec<StrictError>>) -> Result<Value, DecodeError> {
    json::typed(schema::builtin(), *OBJECT_META, metadata, strict)
}

/// The fields that make sense one by one.
fn sensible_fields(metadata: &Value) -> Value {
    let fields = metadata.as_map().into_iter().flat_map(Map::iter);
    let sensible = fields.filter_map(|(name, value)| {
        let alone = [(name, value.clone())].into_iter().collect();
        typed(&Value::Map(alone), None).ok()
    });
    let members = sensible.flat_map(|field| field.as_map().cloned().unwrap_or_default());
    Value::Map(members.collect())
}

fn below_metadata(error: StrictError) -> StrictError {
    match error {
        StrictError::Unknown(path) => StrictError::Unknown(format!("metadata.{path}")),
        StrictError::Duplicate(path) => StrictError::Duplicate(format!("metadata.{path}")),
        yaml @ StrictError::Yaml(_) => yaml,
    }
}

static OBJECT_META: LazyLock<TypeId> = LazyLock::new(|| {
    let found = schema::builtin().named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    found.expect("metadata stands in the built-in table (test: what_is_no_metadata_is_refused_or_dropped)")
});

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Value {
        json::decode_any(text.as_bytes()).expect(text)
    }

    #[test]
    fn all_but_metadata_stays_as_it_came() {
        let text = r#"{"metadata":{"name":"a","labels":{}},"spec":{"a":null,"b":{},"c":[]}}"#;
        let read = decode_json(text.as_bytes(), None).expect(text);
        assert_eq!(read, tree(r#"{"metadata":{"name":"a"},"spec":{"a":null,"b":{},"c":[]}}"#));
    }

    #[test]
    fn what_is_no_metadata_is_refused_or_dropped() {
        let text = r#"{"metadata":{"name":"a","labels":5,"annotations":{"x":"y"}},"spec":1}"#;
        assert_eq!(
            decode_json(text.as_bytes(), None).expect_err(text).to_string(),
            "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type map[string]string"
        );
        assert_eq!(
            normal_lenient(tree(text)),
            tree(r#"{"metadata":{"name":"a","annotations":{"x":"y"}},"spec":1}"#)
        );
        assert_eq!(normal_lenient(tree(r#"{"metadata":[1]}"#)), tree(r#"{"metadata":{}}"#));
        for text in ["[]", "1", "\"x\"", "true"] {
            assert!(decode_json(text.as_bytes(), None).is_err(), "{text}");
        }
    }

    #[test]
    fn strictness_reaches_metadata() {
        let text = r#"{"metadata":{"name":"a","nope":1},"spec":1,"spec":2}"#;
        let mut strict = Vec::new();
        decode_json(text.as_bytes(), Some(&mut strict)).expect(text);
        let texts: Vec<String> = strict.iter().map(ToString::to_string).collect();
        assert_eq!(texts, [r#"duplicate field "spec""#, r#"unknown field "metadata.nope""#]);
    }
}
