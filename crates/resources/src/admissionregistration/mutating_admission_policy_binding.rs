//! Mutating admission policy bindings say where a policy changes objects, with
//! which parameters. Stored as `v1beta1`, as the policies are.

use meta::{FieldErrors, GroupVersionKind};
use registry::{Backing, PrintContext, RequestContext, ResourceDef, StorageDef, Strategy};
use schema::Value;

use crate::admissionregistration::{GROUP, validating_admission_policy_binding as validating};

/// Mutating admission policy bindings as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        categories: vec!["api-extensions".into()],
        columns: validating::columns(),
        backing: Backing::Stored(StorageDef {
            kind: GroupVersionKind::new(GROUP, "v1beta1", "MutatingAdmissionPolicyBinding"),
            prefix: "mutatingadmissionpolicybindings".into(),
            conversion: None,
        }),
        generation: true,
        unconditional_update: false,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "mutatingadmissionpolicybindings",
            "MutatingAdmissionPolicyBinding",
            MutatingAdmissionPolicyBindingStrategy,
        )
    }
}

struct MutatingAdmissionPolicyBindingStrategy;

impl Strategy for MutatingAdmissionPolicyBindingStrategy {
    fn default(&self, object: &mut Value) {
        validating::default(object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validating::validate_binding(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validating::validate_binding(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        validating::cells(object, print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{defaulted, object, problems};

    #[test]
    fn what_is_matched_has_defaults_and_no_rules_are_needed() {
        let binding = defaulted(&definition(), r#"{"spec":{"policyName":"p","matchResources":{}}}"#);
        assert_eq!(binding.str_at(&["spec", "matchResources", "matchPolicy"]), Some("Equivalent"));
        assert!(problems(&definition(), &binding).is_empty());
        assert_eq!(problems(&definition(), &object(r#"{"spec":{}}"#)), ["spec.policyName: Required value"]);
    }
}
