//! Mutating admission policies change objects by expressions. Served as `v1`,
//! stored as `v1beta1`, so that a server one release older can still read them.

use meta::{FieldError, FieldErrors, FieldPath, GroupVersionKind};
use registry::{Backing, Column, PrintContext, RequestContext, ResourceDef, StorageDef, Strategy};
use schema::Value;

use crate::admissionregistration::validating_admission_policy::{default_policy, validate_policy};
use crate::admissionregistration::{self as shared, GROUP};
use crate::check::{self, at, text};
use crate::print as show;

/// Mutating admission policies as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        categories: vec!["api-extensions".into()],
        columns: vec![
            Column::name(),
            Column::integer("Mutations"),
            Column::string("ParamKind"),
            Column::string("Age"),
        ],
        backing: Backing::Stored(StorageDef {
            kind: GroupVersionKind::new(GROUP, "v1beta1", "MutatingAdmissionPolicy"),
            prefix: "mutatingadmissionpolicies".into(),
            conversion: None,
        }),
        generation: true,
        unconditional_update: false,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "mutatingadmissionpolicies",
            "MutatingAdmissionPolicy",
            MutatingAdmissionPolicyStrategy,
        )
    }
}

struct MutatingAdmissionPolicyStrategy;

impl Strategy for MutatingAdmissionPolicyStrategy {
    fn default(&self, object: &mut Value) {
        default_policy(object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object, None)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        validate(object, Some(old))
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let mutations = object.list_at(&["spec", "mutations"]).len() as i64;
        show::with_name_and_age(object, print, [mutations.into(), shared::param_kind(object).into()])
    }
}

fn validate(object: &Value, old: Option<&Value>) -> FieldErrors {
    let mut errors = Vec::new();
    validate_policy(&mut errors, object, old);
    let spec = at("spec");
    let rules = object.list_at(&["spec", "matchConstraints", "resourceRules"]);
    for operation in rules.iter().flat_map(|rule| rule.list_at(&["operations"])).filter_map(Value::as_str) {
        // What is deleted cannot be changed.
        let path = spec.child("matchConstraints.resourceRules.operations");
        check::one_of(&mut errors, &path, operation, &["*", "CONNECT", "CREATE", "UPDATE"]);
    }
    let mutations = object.list_at(&["spec", "mutations"]);
    if mutations.is_empty() {
        let detail = "mutations must contain at least one item";
        errors.push(FieldError::required(&spec.child("mutations"), detail));
    }
    for (i, mutation) in mutations.iter().enumerate() {
        validate_mutation(&mut errors, &spec.child("mutations").index(i), mutation);
    }
    let policy = text(object, &["spec", "reinvocationPolicy"]);
    let path = spec.child("reinvocationPolicy");
    check::required_one_of(&mut errors, &path, policy, &["IfNeeded", "Never"]);
    errors
}

fn validate_mutation(errors: &mut FieldErrors, path: &FieldPath, mutation: &Value) {
    let (wanted, other) = match text(mutation, &["patchType"]) {
        "" => return errors.push(FieldError::required(&path.child("patchType"), "")),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        unknown => {
            return check::one_of(
                errors,
                &path.child("patchType"),
                unknown,
                &["ApplyConfiguration", "JSONPatch"],
            );
        }
    };
    let patch_type = text(mutation, &["patchType"]);
    match mutation.get(wanted) {
        None => {
            let detail = format!("must be specified when patchType is {patch_type}");
            errors.push(FieldError::required(&path.child(wanted), detail));
        }
        Some(patch) if text(patch, &["expression"]).trim().is_empty() => {
            let detail = "expression is not specified";
            errors.push(FieldError::required(&path.child(wanted).child("expression"), detail));
        }
        Some(_) => {}
    }
    if mutation.get(other).is_some() {
        let detail = format!("must not be specified when patchType is {patch_type}");
        errors.push(FieldError::invalid_str(&path.child(other), &format!("{{{other}}}"), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{defaulted, problems};

    #[test]
    fn a_mutation_has_the_patch_its_type_names() {
        let policy = defaulted(
            &definition(),
            r#"{"spec":{"reinvocationPolicy":"Never","matchConstraints":{"resourceRules":[
                {"operations":["CREATE"],"apiGroups":["g"],"apiVersions":["v1"],"resources":["things"]}]},
                "mutations":[{"patchType":"JSONPatch","applyConfiguration":{"expression":"x"}}]}}"#,
        );
        assert_eq!(
            problems(&definition(), &policy),
            [
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                "spec.mutations[0].applyConfiguration: Invalid value: \"{applyConfiguration}\": must not be specified \
                 when patchType is JSONPatch",
            ]
        );
    }
}
