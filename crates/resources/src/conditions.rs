//! Validation of the conditions that many statuses have in one form:
//! `metav1.Condition`.

use std::collections::BTreeSet;

use meta::validation::is_qualified_name;
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use crate::check::{self, text};

const REASON_BYTES_MAX: usize = 1024;
const MESSAGE_BYTES_MAX: usize = 32 * 1024;
const REASON: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
    alphanumeric characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or \
    'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is \
    '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";

/// What is wrong with a list of conditions: each has a type of its own, a
/// status, a time and a reason.
pub fn validate(errors: &mut FieldErrors, path: &FieldPath, conditions: &[Value]) {
    let mut types = BTreeSet::new();
    for (i, condition) in conditions.iter().enumerate() {
        let (path, kind) = (path.index(i), text(condition, &["type"]));
        if !types.insert(kind) {
            errors.push(FieldError::duplicate(&path.child("type"), &kind.into()));
        }
        validate_one(errors, &path, condition);
    }
}

fn validate_one(errors: &mut FieldErrors, path: &FieldPath, condition: &Value) {
    let kind = text(condition, &["type"]);
    check::messages(errors, &path.child("type"), kind, is_qualified_name(kind));
    let status = text(condition, &["status"]);
    check::one_of(errors, &path.child("status"), status, &["False", "True", "Unknown"]);
    if let Some(generation) = condition.int_at(&["observedGeneration"]).filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("observedGeneration"), &generation.into(), detail));
    }
    if text(condition, &["lastTransitionTime"]).is_empty() {
        errors.push(FieldError::required(&path.child("lastTransitionTime"), "must be set"));
    }
    validate_reason(errors, &path.child("reason"), text(condition, &["reason"]));
    if text(condition, &["message"]).len() > MESSAGE_BYTES_MAX {
        errors.push(FieldError::too_long(&path.child("message"), MESSAGE_BYTES_MAX));
    }
}

fn validate_reason(errors: &mut FieldErrors, path: &FieldPath, reason: &str) {
    if reason.is_empty() {
        errors.push(FieldError::required(path, "must be set"));
        return;
    }
    if !is_reason(reason) {
        errors.push(FieldError::invalid_str(path, reason, REASON));
    }
    if reason.len() > REASON_BYTES_MAX {
        errors.push(FieldError::too_long(path, REASON_BYTES_MAX));
    }
}

fn is_reason(reason: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ',' | ':');
    let end = |c: char| c.is_ascii_alphanumeric() || c == '_';
    reason.starts_with(|c: char| c.is_ascii_alphabetic())
        && reason.chars().all(inner)
        && reason.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    #[test]
    fn a_condition_is_complete() {
        let conditions = object(
            r#"[{"type":"Ready","status":"True","reason":"A,B:C_","lastTransitionTime":"2024-01-01T00:00:00Z"},
                {"type":"Ready","status":"Maybe","reason":"1a","observedGeneration":-1}]"#,
        );
        let mut errors = Vec::new();
        validate(&mut errors, &FieldPath::root("c"), conditions.as_list().expect("a list"));
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "c[1].type: Duplicate value: \"Ready\"".to_owned(),
                "c[1].status: Unsupported value: \"Maybe\": supported values: \"False\", \"True\", \"Unknown\""
                    .to_owned(),
                "c[1].observedGeneration: Invalid value: -1: must be greater than or equal to zero".to_owned(),
                "c[1].lastTransitionTime: Required value: must be set".to_owned(),
                format!("c[1].reason: Invalid value: \"1a\": {REASON}"),
            ]
        );
    }
}
