//! Storage classes say how volumes are made. What a volume was made with must
//! stay readable, so nothing that matters to a provisioner can be changed.

use std::collections::{BTreeMap, BTreeSet};

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::storage::GROUP;
use crate::validation;

const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;

/// Storage classes as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        short_names: vec!["sc".into()],
        columns: vec![
            Column::name(),
            Column::string("Provisioner"),
            Column::string("ReclaimPolicy"),
            Column::string("VolumeBindingMode"),
            Column::string("AllowVolumeExpansion"),
            Column::string("Age"),
        ],
        returns_deleted_object: true,
        repeats_metadata_validation: true,
        ..ResourceDef::stored(GROUP, "v1", "storageclasses", "StorageClass", StorageClassStrategy)
    }
}

struct StorageClassStrategy;

impl Strategy for StorageClassStrategy {
    fn default(&self, object: &mut Value) {
        defaults::pointer(object, "reclaimPolicy", "Delete");
        defaults::pointer(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validate(object);
        for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
            check::immutable(&mut errors, field, object, old);
        }
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let annotations = ObjectMeta::of(object).annotations();
        let mut name = ObjectMeta::of(object).name().to_owned();
        if DEFAULT_CLASS.iter().any(|key| annotations.str(key) == Some("true")) {
            name.push_str(" (default)");
        }
        let expansion = object.bool_at(&["allowVolumeExpansion"]).unwrap_or_default();
        vec![
            name.into(),
            text(object, &["provisioner"]).into(),
            object.str_at(&["reclaimPolicy"]).unwrap_or("Delete").into(),
            object.str_at(&["volumeBindingMode"]).unwrap_or("Immediate").into(),
            expansion.into(),
            print.age(object).into(),
        ]
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let provisioner = text(object, &["provisioner"]);
    if check::required(&mut errors, &at("provisioner"), provisioner) {
        validation::qualified_name(&mut errors, &at("provisioner"), &provisioner.to_lowercase());
    }
    validate_parameters(&mut errors, object, true);
    let reclaim = text(object, &["reclaimPolicy"]);
    if !reclaim.is_empty() {
        check::one_of(&mut errors, &at("reclaimPolicy"), reclaim, &["Delete", "Retain"]);
    }
    let mode = text(object, &["volumeBindingMode"]);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    check::required_one_of(&mut errors, &at("volumeBindingMode"), mode, &modes);
    validate_topologies(&mut errors, object.list_at(&["allowedTopologies"]));
    errors
}

/// Parameters for a driver: named, and not too many.
pub(super) fn validate_parameters(errors: &mut FieldErrors, object: &Value, may_be_empty: bool) {
    let path = at("parameters");
    let Some(parameters) = object.map_at(&["parameters"]).filter(|map| !map.is_empty()) else {
        if !may_be_empty {
            errors.push(FieldError::required(&path, "must contain at least one key/value pair"));
        }
        return;
    };
    if parameters.len() > PARAMETERS_MAX {
        // The original counts entries and speaks of bytes.
        errors.push(FieldError::too_long(&path, PARAMETERS_MAX));
        return;
    }
    let mut bytes = 0;
    for (key, value) in parameters.iter() {
        if key.is_empty() {
            errors.push(FieldError::invalid_str(&path, key, "field can not be empty."));
        }
        bytes += key.len() + value.as_str().unwrap_or_default().len();
    }
    if bytes > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(&path, PARAMETERS_BYTES_MAX));
    }
}

fn validate_topologies(errors: &mut FieldErrors, terms: &[Value]) {
    let mut earlier: Vec<BTreeMap<&str, BTreeSet<&str>>> = Vec::new();
    for (i, term) in terms.iter().enumerate() {
        let path = at("allowedTopologies").index(i);
        validate_topology(errors, &path, term);
        let expressions = term.list_at(&["matchLabelExpressions"]).iter();
        let selected: BTreeMap<_, BTreeSet<_>> = expressions
            .map(|expression| {
                let values = expression.list_at(&["values"]).iter().filter_map(Value::as_str);
                (text(expression, &["key"]), values.collect())
            })
            .collect();
        // A term that selects everything is taken for as many more as there are terms.
        let phantoms = if selected.is_empty() { terms.len() } else { 0 };
        let same = earlier.iter().filter(|other| **other == selected).count();
        for _ in 0..same + phantoms {
            errors.push(FieldError::duplicate(&path.child("matchLabelExpressions"), &"".into()));
        }
        earlier.push(selected);
    }
}

fn validate_topology(errors: &mut FieldErrors, path: &FieldPath, term: &Value) {
    let mut keys = BTreeSet::new();
    for (i, expression) in term.list_at(&["matchLabelExpressions"]).iter().enumerate() {
        let path = path.child("matchLabelExpressions").index(i);
        let key = text(expression, &["key"]);
        let values = expression.list_at(&["values"]);
        if values.is_empty() {
            errors.push(FieldError::required(&path.child("values"), ""));
        }
        let mut seen = BTreeSet::new();
        for (j, value) in values.iter().enumerate() {
            if !seen.insert(value.as_str()) {
                errors.push(FieldError::duplicate(&path.child("values").index(j), value));
            }
        }
        check::messages(errors, &path.child("key"), key, meta::validation::is_qualified_name(key));
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(&path.child("key"), &key.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems, refuses, update_problems};

    #[test]
    fn volumes_are_deleted_and_bound_at_once_by_default() {
        let class = defaulted(
            &definition(),
            r#"{"metadata":{"name":"a","annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},
                "provisioner":"g.example/p"}"#,
        );
        let expected = ["a (default)", "g.example/p", "Delete", "Immediate"].map(Value::from);
        assert_eq!(cells(&definition(), &class)[..4], expected);
        assert_eq!(cells(&definition(), &class)[4], Value::Bool(false));
        assert!(problems(&definition(), &class).is_empty());
    }

    #[test]
    fn what_matters_to_the_provisioner_stays() {
        let old = defaulted(&definition(), r#"{"provisioner":"p","parameters":{"a":"b"}}"#);
        for (new, expected) in [
            (
                r#"{"provisioner":"x","parameters":{"a":"b"}}"#,
                "provisioner: Invalid value: \"x\": field is immutable",
            ),
            (
                r#"{"provisioner":"p","parameters":{"a":"c"}}"#,
                "parameters: Invalid value: {\"a\":\"c\"}: field is immutable",
            ),
        ] {
            assert_eq!(update_problems(&definition(), &defaulted(&definition(), new), &old), [expected]);
        }
        let new =
            r#"{"provisioner":"p","parameters":{"a":"b"},"allowVolumeExpansion":true,"mountOptions":["y"]}"#;
        assert!(update_problems(&definition(), &defaulted(&definition(), new), &old).is_empty());
    }

    #[test]
    fn a_class_is_complete() {
        refuses(
            &definition(),
            r#"{"metadata":{"name":"a"},"provisioner":"P.example/x"}"#,
            &[
                (r#"{"provisioner":""}"#, &["provisioner: Required value"]),
                (
                    r#"{"provisioner":"A/"}"#,
                    &[
                        "provisioner: Invalid value: \"a/\": name part must be non-empty",
                        "provisioner: Invalid value: \"a/\": name part must consist of alphanumeric characters, '-', '_' \
                       or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  \
                       or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
                    ],
                ),
                (
                    r#"{"reclaimPolicy":"Recycle","volumeBindingMode":"Later"}"#,
                    &[
                        "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
                        "volumeBindingMode: Unsupported value: \"Later\": supported values: \"Immediate\", \
                         \"WaitForFirstConsumer\"",
                    ],
                ),
                (
                    r#"{"allowedTopologies":[{"matchLabelExpressions":[{"key":"z","values":["a","b"]}]},
                        {"matchLabelExpressions":[{"key":"z","values":["b","a"]}]}]}"#,
                    &["allowedTopologies[1].matchLabelExpressions: Duplicate value: \"\""],
                ),
                (
                    r#"{"allowedTopologies":[{"matchLabelExpressions":[{"key":"z","values":["a","a"]},
                        {"key":"z","values":[]}]}]}"#,
                    &[
                        "allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
                        "allowedTopologies[0].matchLabelExpressions[1].values: Required value",
                        "allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: \"z\"",
                    ],
                ),
            ],
        );
    }
}
