//! YAML as the original reads and writes it: YAML 1.1 scalars, converted to
//! and from JSON.
//!
//! Owns the doors; `parse` turns text into a tree, `resolve` knows what a plain
//! scalar means, `emit` writes.

mod emit;
mod parse;
mod resolve;

use crate::{DecodeError, StrictError, json};
use schema::{Schema, TypeId, Value};

pub use emit::encode_any;

/// Reads the first document as an object of type `ty`. With `strict`, unknown
/// and repeated fields are collected there; keys that stand twice come first,
/// all in one [`StrictError::Yaml`].
pub fn decode(
    schema: &Schema,
    ty: TypeId,
    bytes: &[u8],
    strict: Option<&mut Vec<StrictError>>,
) -> Result<Value, DecodeError> {
    let parsed = parse::parse(bytes)?;
    let Some(strict) = strict else { return json::typed(schema, ty, &parsed.value, None) };
    strict.extend(parsed.strict_error());
    json::typed(schema, ty, &parsed.value, Some(strict))
}

/// Reads the first document, of any shape. Of duplicate keys the last counts.
pub fn decode_any(bytes: &[u8]) -> Result<Value, DecodeError> {
    parse::parse(bytes).map(|parsed| parsed.value)
}

/// Reads the first document, of any shape, and collects the keys that stand twice.
pub fn decode_any_strict(bytes: &[u8], strict: &mut Vec<StrictError>) -> Result<Value, DecodeError> {
    let parsed = parse::parse(bytes)?;
    strict.extend(parsed.strict_error());
    Ok(parsed.value)
}

/// An object of type `ty` as YAML, with a line end.
pub fn encode(schema: &Schema, ty: TypeId, value: &Value) -> Result<String, DecodeError> {
    let mut bytes = Vec::new();
    json::encode(schema, ty, value, &mut bytes);
    from_json(&bytes)
}

/// JSON text as YAML, with a line end.
pub fn from_json(bytes: &[u8]) -> Result<String, DecodeError> {
    json::decode_any(bytes).map(|value| encode_any(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(yaml: &str, expect: &str) {
        let value = decode_any(yaml.as_bytes()).expect(yaml);
        let mut out = Vec::new();
        json::encode_any(&value, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expect, "{yaml}");
    }

    #[test]
    fn plain_scalars_mean_what_they_mean_in_yaml_1_1() {
        check("[yes, Off, y, n, ~, null, True]", "[true,false,true,false,null,null,true]");
        check("[0777, 0o17, 0x1F, 1_000, -5, 08, 0b11]", "[511,15,31,1000,-5,8,3]");
        check("[1.5, .5, 1e3, 1e21]", "[1.5,0.5,1000,1e+21]");
        check(
            "[2001-01-01, 2001-01-01T01:01:01Z, 1:20, \"1\", '2']",
            "[\"2001-01-01\",\"2001-01-01T01:01:01Z\",\"1:20\",\"1\",\"2\"]",
        );
    }

    #[test]
    fn keys_become_strings_and_merge_keys_merge() {
        check("1: a\ntrue: b\n1.5: c", r#"{"1":"a","1.5":"c","true":"b"}"#);
        check("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}", r#"{"a":{"k":1,"l":2},"b":{"k":1,"l":3}}"#);
    }

    #[test]
    fn only_the_first_document_counts() {
        check("a: 1\n---\nb: 2\n", r#"{"a":1}"#);
        check("", "null");
    }

    #[test]
    fn keys_that_stand_twice_are_told_by_line() {
        let mut strict = Vec::new();
        let yaml = "a: 1\nb:\n  data: {k: v, k: w}\na: 2\n";
        let value = decode_any_strict(yaml.as_bytes(), &mut strict).expect("YAML");
        assert_eq!(value.int_at(&["a"]), Some(2));
        let [error] = strict.as_slice() else { panic!("{strict:?}") };
        let text = "yaml: unmarshal errors:\n  line 3: key \"k\" already set in map\n  line 4: key \"a\" already set in map";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn errors_name_the_line_as_the_original_does() {
        let error = |yaml: &str| decode_any(yaml.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(error("a: b: c"), Err("yaml: mapping values are not allowed in this context".into()));
        assert_eq!(
            error("x: 1\na: b: c"),
            Err("yaml: line 2: mapping values are not allowed in this context".into())
        );
    }

    #[test]
    fn anchors_in_anchors_cannot_blow_up() {
        let open: String = (0..200).map(|i| format!("&a{i} [")).collect();
        let yaml = format!("{open}{}{}", "x, ".repeat(100_000), "]".repeat(200));
        assert!(
            decode_any(yaml.as_bytes()).is_err_and(|error| error.to_string().contains("excessive aliasing"))
        );
    }

    #[test]
    fn keys_in_any_order_are_sorted_together() {
        // One by one, each would move all that came before.
        let keys: String = (0..100_000).rev().map(|i| format!("k{i:06}: 0\n")).collect();
        let read = decode_any(keys.as_bytes()).expect("a mapping");
        let map = read.as_map().expect("a mapping");
        assert_eq!((map.len(), map.keys().next()), (100_000, Some("k000000")));
    }

    #[test]
    fn aliases_cannot_blow_up() {
        let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let item = format!("*a{}", i - 1);
            yaml.push_str(&format!("a{i}: &a{i} [{}]\n", [item.as_str(); 9].join(", ")));
        }
        assert!(
            decode_any(yaml.as_bytes()).is_err_and(|error| error.to_string().contains("excessive aliasing"))
        );
        assert!(decode_any(b"a: &a [*a]").is_err(), "an anchor within itself");
        let deep = "[".repeat(100_000);
        assert!(decode_any(deep.as_bytes()).is_err());
    }
}
