//! `configmaps`: configuration as text and bytes. One marked immutable keeps its data for life.

use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::{print, validation};

/// `configmaps`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        short_names: vec!["cm".into()],
        columns: vec![Column::name(), Column::string("Data"), Column::string("Age")],
        repeats_metadata_validation: true,
        ..ResourceDef::stored("", "v1", "configmaps", "ConfigMap", ConfigMap)
    }
}

/// How Go prints the empty path that the original names here.
const WHOLE_OBJECT: &str = "[]";

/// Bytes of keys and values in one object, 1 MiB.
const SIZE_MAX: usize = 1024 * 1024;

struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let mut size = 0;
        for (key, value) in object.map_at(&["data"]).into_iter().flat_map(|map| map.iter()) {
            let path = FieldPath::root("data").key(key);
            errors.extend(validation::config_key(&path, key));
            if object.at(&["binaryData", key]).is_some() {
                errors.push(FieldError::invalid_str(&path, key, "duplicate of key present in binaryData"));
            }
            size += value.as_str().map_or(0, str::len);
        }
        for (key, value) in object.map_at(&["binaryData"]).into_iter().flat_map(|map| map.iter()) {
            errors.extend(validation::config_key(&FieldPath::root("binaryData").key(key), key));
            size += validation::decoded_len(value.as_str().unwrap_or_default());
        }
        if size > SIZE_MAX {
            errors.push(FieldError::too_long(&FieldPath::root(WHOLE_OBJECT), SIZE_MAX));
        }
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validation::immutable_data(object, old, &["data", "binaryData"]);
        errors.extend(self.validate(context, object));
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let count = |key: &str| object.map_at(&[key]).map_or(0, |map| map.len());
        let total = (count("data") + count("binaryData")) as i64;
        print::with_name_and_age(object, print, [total.into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, object, problems, update_problems};

    #[test]
    fn keys_are_counted_and_distinct() {
        let map = object(r#"{"metadata":{"name":"a"},"data":{"k":"v"},"binaryData":{"b":"eA=="}}"#);
        assert_eq!(cells(&definition(), &map)[1], Value::from(2));
        let twice = object(r#"{"data":{"k":"v"},"binaryData":{"k":"eA=="}}"#);
        assert_eq!(
            problems(&definition(), &twice),
            ["data[k]: Invalid value: \"k\": duplicate of key present in binaryData"]
        );
    }

    #[test]
    fn an_immutable_map_keeps_its_data_and_its_mark() {
        let old = object(r#"{"immutable":true,"data":{"k":"v"}}"#);
        let new = object(r#"{"data":{"k":"w"}}"#);
        assert_eq!(
            update_problems(&definition(), &new, &old),
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set",
            ]
        );
    }
}
