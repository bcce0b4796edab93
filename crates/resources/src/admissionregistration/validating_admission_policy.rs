//! Validating admission policies judge writes by expressions. That the
//! expressions compile is checked where they are evaluated.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::admissionregistration::{self as shared, GROUP};
use crate::check::{self, at, text};
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

struct ValidatingAdmissionPolicyStrategy;

impl Strategy for ValidatingAdmissionPolicyStrategy {
    fn default(&self, object: &mut Value) {
        default_policy(object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
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

/// What the two kinds of policy have in common.
pub(super) fn validate_policy(errors: &mut FieldErrors, object: &Value) {
    let spec = at("spec");
    let policy = text(object, &["spec", "failurePolicy"]);
    check::required_one_of(errors, &spec.child("failurePolicy"), policy, shared::FAILURE_POLICIES);
    if let Some(kind) = object.at(&["spec", "paramKind"]) {
        shared::validate_param_kind(errors, &spec.child("paramKind"), kind);
    }
    let path = spec.child("matchConstraints");
    match object.at(&["spec", "matchConstraints"]) {
        None => errors.push(FieldError::required(&path, "")),
        Some(constraints) => shared::validate_match_resources(errors, &path, constraints, true),
    }
    let conditions = object.list_at(&["spec", "matchConditions"]);
    shared::validate_match_conditions(errors, &spec.child("matchConditions"), conditions);
    let variables = object.list_at(&["spec", "variables"]);
    shared::validate_variables(errors, &spec.child("variables"), variables);
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    validate_policy(&mut errors, object);
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
    validate_annotations(&mut errors, &spec.child("auditAnnotations"), annotations);
    errors
}

fn validate_validation(errors: &mut FieldErrors, path: &FieldPath, validation: &Value) {
    if text(validation, &["expression"]).trim().is_empty() {
        errors.push(FieldError::required(&path.child("expression"), "expression is not specified"));
    }
    let message = text(validation, &["message"]);
    let path_of_message = path.child("message");
    if !message.is_empty() && message.trim().is_empty() {
        errors.push(FieldError::invalid_str(
            &path_of_message,
            message,
            "message must be non-empty if specified",
        ));
    } else if message.contains('\n') {
        errors.push(FieldError::invalid_str(
            &path_of_message,
            message,
            "message must not contain line breaks",
        ));
    } else if message.is_empty() && text(validation, &["expression"]).trim().contains('\n') {
        let detail = "message must be specified if expression contains line breaks";
        errors.push(FieldError::required(&path_of_message, detail));
    }
    if let Some(reason) = validation.str_at(&["reason"]) {
        let reasons = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
        // Unauthorized is accepted, although a denial never carries it.
        if reason != "Unauthorized" {
            check::one_of(errors, &path.child("reason"), reason, &reasons);
        }
    }
}

fn validate_annotations(errors: &mut FieldErrors, path: &FieldPath, annotations: &[Value]) {
    const MAX: usize = 20;
    if annotations.len() > MAX {
        let detail = format!("must not have more than {MAX} auditAnnotations");
        let shown = Value::List(annotations.to_vec());
        errors.push(FieldError::invalid(path, &shown, detail));
    }
    let mut keys = BTreeSet::new();
    for (i, annotation) in annotations.iter().enumerate() {
        let path = path.index(i);
        let key = text(annotation, &["key"]);
        if check::required(errors, &path.child("key"), key) {
            check::messages(errors, &path.child("key"), key, meta::validation::is_qualified_name(key));
        }
        if text(annotation, &["valueExpression"]).trim().is_empty() {
            let detail = "valueExpression is not specified";
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
    use crate::testing::{cells, defaulted, problems};

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
}
