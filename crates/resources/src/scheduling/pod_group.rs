//! Pod groups are groups of pods at run time, made from the template of a
//! workload or by hand. Only their status changes.

use meta::FieldErrors;
use registry::{RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::scheduling::{GROUP, validate_policy};

/// Pod groups as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        subresources: vec![Subresource::status()],
        status_metadata: StatusMetadata::Kept,
        enabled_by_default: false,
        ..ResourceDef::stored(GROUP, "v1alpha2", "podgroups", "PodGroup", PodGroupStrategy)
    }
}

struct PodGroupStrategy;

impl Strategy for PodGroupStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validate(object);
        check::immutable(&mut errors, "spec", object, old);
        errors
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    if let Some(workload) = object.at(&["spec", "podGroupTemplateRef", "workload"]) {
        let path = at("spec.podGroupTemplateRef.workload");
        for field in ["workloadName", "podGroupTemplateName"] {
            check::required(&mut errors, &path.child(field), text(workload, &[field]));
        }
    }
    validate_policy(&mut errors, &at("spec.schedulingPolicy"), object.at(&["spec", "schedulingPolicy"]));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems};

    #[test]
    fn a_group_is_placed_in_exactly_one_way() {
        for (policy, expected) in [
            (r#"{"basic":{}}"#, None),
            (r#"{"gang":{"minCount":2}}"#, None),
            ("{}", Some("spec.schedulingPolicy: Invalid value: \"\": must specify one of: `basic`, `gang`")),
            (
                r#"{"basic":{},"gang":{"minCount":2}}"#,
                Some(
                    "spec.schedulingPolicy: Invalid value: \"{`basic`, `gang`}\": exactly one of `basic`, `gang` is \
                     required, but multiple fields are set",
                ),
            ),
        ] {
            let group = object(&format!(r#"{{"spec":{{"schedulingPolicy":{policy}}}}}"#));
            assert_eq!(problems(&definition(), &group), expected.into_iter().collect::<Vec<_>>(), "{policy}");
        }
    }
}
