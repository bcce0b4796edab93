//! JSON merge patch (RFC 7386), as the original does it: null removes a key,
//! objects merge, everything else replaces.
//!
//! Two things differ from the RFC on purpose: nulls are removed from objects
//! inside a new list, too, and items of a list that are null stay.

use schema::{Key, Map, Value};

use crate::PatchError;
use crate::reader::{self, Strict};

/// A merge patch that has been read.
#[derive(Clone, Debug, PartialEq)]
pub struct MergePatch(Map);

impl MergePatch {
    /// Reads a patch. With `strict`, keys that stand twice are reported there.
    pub fn parse(bytes: &[u8], strict: Option<&mut Vec<String>>) -> Result<MergePatch, PatchError> {
        read(bytes, strict).map(MergePatch)
    }

    /// The document after the patch.
    pub fn apply(&self, mut document: Value) -> Value {
        if !matches!(document, Value::Map(_)) {
            document = Value::map();
        }
        if let Value::Map(map) = &mut document {
            merge_map(map, &self.0);
        }
        document
    }
}

/// Reads a patch and applies it.
pub fn apply(document: &Value, patch: &[u8]) -> Result<Value, PatchError> {
    Ok(MergePatch::parse(patch, None)?.apply(document.clone()))
}

fn read(bytes: &[u8], strict: Strict<'_>) -> Result<Map, PatchError> {
    match reader::object(bytes, strict) {
        Ok(Some(map)) => Ok(map),
        Ok(None) => Err(PatchError::Malformed("Invalid JSON Patch".to_owned())),
        Err(error) => Err(PatchError::Malformed(format!("error decoding patch: {error}"))),
    }
}

/// Both are sorted: one walk over the two, however much the patch adds and removes.
fn merge_map(document: &mut Map, patch: &Map) {
    let mut merged: Vec<(Key, Value)> = Vec::with_capacity(document.len() + patch.len());
    let mut changes = patch.iter().peekable();
    for (key, value) in std::mem::take(document) {
        while let Some((new, change)) = changes.next_if(|change| change.0 < key.as_str()) {
            add(&mut merged, new, change);
        }
        match changes.next_if(|change| change.0 == key.as_str()) {
            None => merged.push((key, value)),
            Some((_, Value::Null)) => {}
            Some((_, change)) => merged.push((key, replaced(value, change))),
        }
    }
    changes.for_each(|(new, change)| add(&mut merged, new, change));
    *document = merged.into_iter().collect();
}

fn add(merged: &mut Vec<(Key, Value)>, key: &str, change: &Value) {
    if !change.is_null() {
        merged.push((key.into(), without_nulls(change)));
    }
}

fn replaced(mut current: Value, change: &Value) -> Value {
    match (&mut current, change) {
        (Value::Map(map), Value::Map(change)) => {
            merge_map(map, change);
            current
        }
        // The original prunes nulls from whatever it puts in place of nothing
        // or of a scalar or list, but not from a list in place of an object.
        (Value::Map(_), _) => change.clone(),
        (_, _) => without_nulls(change),
    }
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Map(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Map(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::List(items) => Value::List(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::json::decode_any;
    use proptest::prelude::*;

    #[track_caller]
    fn check(document: &str, patch: &str, expected: &str) {
        let value = |text: &str| decode_any(text.as_bytes()).expect("good JSON");
        assert_eq!(apply(&value(document), patch.as_bytes()), Ok(value(expected)), "{document} {patch}");
    }

    #[test]
    fn null_removes_objects_merge_the_rest_replaces() {
        check(
            r#"{"a":1,"b":{"c":1,"d":2}}"#,
            r#"{"a":null,"b":{"c":3,"x":null},"e":[1]}"#,
            r#"{"b":{"c":3,"d":2},"e":[1]}"#,
        );
        check(r#"{"a":[1,2]}"#, r#"{"a":[3]}"#, r#"{"a":[3]}"#);
        check(r#"{"a":"x"}"#, r#"{"a":{"b":null,"c":1}}"#, r#"{"a":{"c":1}}"#);
        check(r#"{}"#, r#"{"a":{"b":{"c":null}}}"#, r#"{"a":{"b":{}}}"#);
        check(r#"{"a":1}"#, "{}", r#"{"a":1}"#);
    }

    #[test]
    fn nulls_in_lists_stay_but_not_in_objects_in_lists() {
        check(r#"{}"#, r#"{"a":[null,{"b":null,"c":1}]}"#, r#"{"a":[null,{"c":1}]}"#);
        check(r#"{"a":{}}"#, r#"{"a":[{"b":null}]}"#, r#"{"a":[{"b":null}]}"#);
    }

    #[test]
    fn what_is_no_object_is_refused_in_the_originals_words() {
        let go_map = "map[string]interface {}";
        for (patch, expected) in [
            (
                "[]",
                format!("error decoding patch: json: cannot unmarshal array into Go value of type {go_map}"),
            ),
            (
                "1",
                format!("error decoding patch: json: cannot unmarshal number into Go value of type {go_map}"),
            ),
            ("null", "Invalid JSON Patch".to_owned()),
            ("{", "error decoding patch: unexpected end of JSON input".to_owned()),
            ("", "error decoding patch: unexpected end of JSON input".to_owned()),
        ] {
            assert_eq!(
                apply(&Value::map(), patch.as_bytes()),
                Err(PatchError::Malformed(expected)),
                "{patch}"
            );
        }
    }

    #[test]
    fn strict_reading_reports_duplicates() {
        let mut strict = Vec::new();
        MergePatch::parse(br#"{"a":{"b":1,"b":2}}"#, Some(&mut strict)).expect("good JSON");
        assert_eq!(strict, [r#"duplicate field "a.b""#]);
    }

    /// Lists hold no objects: a list of objects with nulls in place of an object
    /// is the one thing that a second application changes again.
    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (0..3i64).prop_map(Value::from),
            "[ab]".prop_map(Value::from),
            proptest::collection::vec(0..3i64, 0..3).prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            proptest::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|map| Value::Map(map.into_iter().collect()))
        })
    }

    fn maps() -> impl Strategy<Value = Map> {
        proptest::collection::btree_map("[abc]", values(), 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn applying_twice_is_applying_once(document in maps(), patch in maps()) {
            let patch = MergePatch(patch);
            let once = patch.apply(document.into());
            prop_assert_eq!(patch.apply(once.clone()), once);
        }

        #[test]
        fn keys_not_named_stay_and_keys_named_null_go(document in maps(), patch in maps()) {
            let patched = MergePatch(patch.clone()).apply(document.clone().into());
            for (key, value) in document.iter() {
                if !patch.contains_key(key) {
                    prop_assert_eq!(patched.get(key), Some(value));
                }
            }
            for (key, value) in patch.iter() {
                prop_assert_eq!(patched.get(key).is_none(), value.is_null());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = apply(&Value::map(), &bytes);
        }
    }
}
