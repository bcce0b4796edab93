//! Storage classes say how volumes are made. What a volume was made with must
//! stay readable, so nothing that matters to a provisioner can be changed.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::storage::GROUP;

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
        let lower = provisioner.to_lowercase();
        check::messages(
            &mut errors,
            &at("provisioner"),
            provisioner,
            meta::validation::is_qualified_name(&lower),
        );
    }
    validate_parameters(&mut errors, object, true);
    let reclaim = text(object, &["reclaimPolicy"]);
    if !reclaim.is_empty() {
        check::one_of(&mut errors, &at("reclaimPolicy"), reclaim, &["Delete", "Retain"]);
    }
    let mode = text(object, &["volumeBindingMode"]);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    check::required_one_of(&mut errors, &at("volumeBindingMode"), mode, &modes);
    for (i, term) in object.list_at(&["allowedTopologies"]).iter().enumerate() {
        validate_topology(&mut errors, &at("allowedTopologies").index(i), term);
    }
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
        let detail = format!("must have at most {PARAMETERS_MAX} items");
        let kind = meta::field::FieldErrorType::TooLong;
        errors.push(FieldError::new(kind, &path, "", detail));
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
    use crate::testing::{cells, defaulted, problems, update_problems};

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
}
