//! Validating admission policies judge writes by expressions. That the
//! expressions compile is checked where they are evaluated.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::admissionregistration::{self as shared, GROUP};
use crate::check::{self, at, text};
use crate::conditions;
use crate::defaults;
use crate::print as show;

/// Validating admission policies as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        categories: vec!["api-extensions".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::integer("Validations"),
            Column::string("ParamKind"),
            Column::string("Age"),
        ],
        generation: true,
        unconditional_update: false,
        status_metadata: StatusMetadata::Kept,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "validatingadmissionpolicies",
            "ValidatingAdmissionPolicy",
            ValidatingAdmissionPolicyStrategy,
        )
    }
}

const ANNOTATIONS_MAX: usize = 20;
const EXPRESSION_BYTES_MAX: usize = 5 * 1024;

struct ValidatingAdmissionPolicyStrategy;

impl Strategy for ValidatingAdmissionPolicyStrategy {
    fn default(&self, object: &mut Value) {
        default_policy(object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object, None)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        validate(object, Some(old))
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let warnings = object.list_at(&["status", "typeChecking", "expressionWarnings"]);
        for (i, warning) in warnings.iter().enumerate() {
            let path = at("status.typeChecking.expressionWarnings").index(i);
            check::required(&mut errors, &path.child("warning"), text(warning, &["warning"]));
            check::required(&mut errors, &path.child("fieldRef"), text(warning, &["fieldRef"]).trim());
        }
        conditions::validate(
            &mut errors,
            &at("status.conditions"),
            object.list_at(&["status", "conditions"]),
        );
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let validations = object.list_at(&["spec", "validations"]).len() as i64;
        show::with_name_and_age(object, print, [validations.into(), shared::param_kind(object).into()])
    }
}

pub(super) fn default_policy(object: &mut Value) {
    let spec = defaults::ensure(object, "spec");
    defaults::pointer(spec, "failurePolicy", "Fail");
    if let Some(constraints) = defaults::object(spec, "matchConstraints") {
        shared::default_match_resources(constraints);
    }
}

/// What the two kinds of policy have in common. Conditions are not judged again
/// while they and the kind of the parameters are what they were.
pub(super) fn validate_policy(errors: &mut FieldErrors, object: &Value, old: Option<&Value>) {
    let spec = at("spec");
    let policy = text(object, &["spec", "failurePolicy"]);
    check::required_one_of(errors, &spec.child("failurePolicy"), policy, shared::FAILURE_POLICIES);
    if let Some(kind) = check::given(object, &["spec", "paramKind"]) {
        shared::validate_param_kind(errors, &spec.child("paramKind"), kind);
    }
    let path = spec.child("matchConstraints");
    match check::given(object, &["spec", "matchConstraints"]) {
        None => errors.push(FieldError::required(&path, "")),
        Some(constraints) => shared::validate_match_resources(errors, &path, constraints, true),
    }
    let unchanged = |old: &Value, key: &str| check::same(object.at(&["spec", key]), old.at(&["spec", key]));
    if !old.is_some_and(|old| unchanged(old, "paramKind") && unchanged(old, "matchConditions")) {
        let conditions = object.list_at(&["spec", "matchConditions"]);
        shared::validate_match_conditions(errors, &spec.child("matchConditions"), conditions);
    }
    let variables = object.list_at(&["spec", "variables"]);
    shared::validate_variables(errors, &spec.child("variables"), variables);
}

fn validate(object: &Value, old: Option<&Value>) -> FieldErrors {
    let mut errors = Vec::new();
    validate_policy(&mut errors, object, old);
    let spec = at("spec");
    let validations = object.list_at(&["spec", "validations"]);
    let annotations = object.list_at(&["spec", "auditAnnotations"]);
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(FieldError::required(&spec.child("validations"), detail));
        errors.push(FieldError::required(&spec.child("auditAnnotations"), detail));
    }
    for (i, validation) in validations.iter().enumerate() {
        validate_validation(&mut errors, &spec.child("validations").index(i), validation);
    }
    validate_annotations(&mut errors, &spec.child("auditAnnotations"), object, annotations);
    errors
}

fn validate_validation(errors: &mut FieldErrors, path: &FieldPath, validation: &Value) {
    if text(validation, &["expression"]).trim().is_empty() {
        errors.push(FieldError::required(&path.child("expression"), "expression is not specified"));
    }
    for key in ["messageExpression", "message"] {
        let message = text(validation, &[key]);
        if !message.is_empty() && message.trim().is_empty() {
            let detail = "must be non-empty if specified";
            errors.push(FieldError::invalid_str(&path.child(key), message, detail));
        } else if key == "message" && message.trim().contains(['\n', '\r']) {
            let detail = "must not contain line breaks";
            errors.push(FieldError::invalid_str(&path.child(key), message, detail));
        }
    }
    if let Some(reason) = validation.str_at(&["reason"]) {
        let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
        check::one_of(errors, &path.child("reason"), reason, &reasons);
    }
}

fn validate_annotations(errors: &mut FieldErrors, path: &FieldPath, object: &Value, annotations: &[Value]) {
    if annotations.len() > ANNOTATIONS_MAX {
        let detail = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        let shown =
            crate::go_form::show_list("io.k8s.api.admissionregistration.v1.AuditAnnotation", annotations);
        errors.push(check::invalid_shown(path, shown, detail));
    }
    let policy = ObjectMeta::of(object).name();
    let mut keys = BTreeSet::new();
    for (i, annotation) in annotations.iter().enumerate() {
        let path = path.index(i);
        let key = text(annotation, &["key"]);
        if policy.is_empty() {
            let detail = "requires metadata.name be non-empty";
            errors.push(FieldError::invalid_str(&path.child("key"), key, detail));
        } else {
            // Under this name it stands in the audit log.
            crate::validation::qualified_name(errors, &path.child("key"), &format!("{policy}/{key}"));
        }
        let expression = text(annotation, &["valueExpression"]).trim();
        if expression.is_empty() {
            let detail = "valueExpression is not specified";
            errors.push(FieldError::required(&path.child("valueExpression"), detail));
        } else if expression.len() > EXPRESSION_BYTES_MAX {
            let detail = format!("must not exceed {EXPRESSION_BYTES_MAX} bytes in length");
            errors.push(FieldError::required(&path.child("valueExpression"), detail));
        }
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(&path.child("key"), &key.into()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems, refuses};

    const RULES: &str = r#"{"resourceRules":[{"operations":["CREATE"],"apiGroups":["g"],"apiVersions":["v1"],"resources":["things"]}]}"#;

    fn policy(spec: &str) -> Value {
        defaulted(&definition(), &format!(r#"{{"spec":{{"matchConstraints":{RULES},{spec}}}}}"#))
    }

    #[test]
    fn a_policy_fails_closed_and_matches_equivalents_of_any_scope() {
        let policy = policy(
            r#""validations":[{"expression":"true"}],"paramKind":{"apiVersion":"v1","kind":"ConfigMap"}"#,
        );
        assert_eq!(policy.str_at(&["spec", "failurePolicy"]), Some("Fail"));
        assert_eq!(policy.str_at(&["spec", "matchConstraints", "matchPolicy"]), Some("Equivalent"));
        let rule = &policy.list_at(&["spec", "matchConstraints", "resourceRules"])[0];
        assert_eq!(rule.str_at(&["scope"]), Some("*"));
        assert!(problems(&definition(), &policy).is_empty());
        assert_eq!(cells(&definition(), &policy)[1..3], [1.into(), Value::from("v1/ConfigMap")]);
    }

    #[test]
    fn something_is_validated_for_a_known_reason() {
        assert_eq!(problems(&definition(), &policy(r#""validations":[]"#)).len(), 2);
        assert_eq!(
            problems(&definition(), &policy(r#""validations":[{"expression":"true","reason":"Nope"}]"#)),
            [
                "spec.validations[0].reason: Unsupported value: \"Nope\": supported values: \"Forbidden\", \"Invalid\", \
              \"RequestEntityTooLarge\""
            ]
        );
    }

    #[test]
    fn messages_and_annotations_say_something() {
        let good = format!(
            r#"{{"metadata":{{"name":"p"}},"spec":{{"matchConstraints":{RULES},"validations":[{{"expression":"true"}}]}}}}"#
        );
        refuses(
            &definition(),
            &good,
            &[
                (
                    r#"{"spec":{"validations":[{"expression":"true","message":"a\nb","messageExpression":" "}]}}"#,
                    &[
                        "spec.validations[0].messageExpression: Invalid value: \" \": must be non-empty if specified",
                        "spec.validations[0].message: Invalid value: \"a\\nb\": must not contain line breaks",
                    ],
                ),
                (
                    r#"{"spec":{"auditAnnotations":[{"key":"a b","valueExpression":""}]}}"#,
                    &[
                        "spec.auditAnnotations[0].key: Invalid value: \"p/a b\": name part must consist of alphanumeric \
                         characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
                         'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                         '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
                        "spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified",
                    ],
                ),
                (
                    r#"{"spec":{"variables":[{"name":"in","expression":""}],"matchConditions":[{"name":"a","expression":"x"},
                        {"name":"a","expression":"y"}]}}"#,
                    &[
                        "spec.matchConditions[1].name: Duplicate value: \"a\"",
                        "spec.variables[0].name: Invalid value: \"in\": must be a valid CEL identifier",
                        "spec.variables[0].expression: Required value: expression is not specified",
                    ],
                ),
                (
                    r#"{"spec":{"validations":[{"expression":"true","reason":"Unauthorized"}]}}"#,
                    &["spec.validations[0].reason: Unsupported value: \"Unauthorized\": supported values: \
                       \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\""],
                ),
            ],
        );
    }
}
