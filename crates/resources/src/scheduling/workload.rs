//! Workloads say which groups of pods belong together, so that the scheduler
//! can place a group at once or not at all.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors};
use registry::{RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::scheduling::{GROUP, validate_policy};

const TEMPLATES_MAX: usize = 8;

/// Workloads as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        enabled_by_default: false,
        ..ResourceDef::stored(GROUP, "v1alpha2", "workloads", "Workload", WorkloadStrategy)
    }
}

struct WorkloadStrategy;

impl Strategy for WorkloadStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validate(object);
        check::immutable(&mut errors, "spec.podGroupTemplates", object, old);
        errors
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let path = at("spec.podGroupTemplates");
    let templates = object.list_at(&["spec", "podGroupTemplates"]);
    if templates.is_empty() {
        errors.push(FieldError::required(&path, ""));
    }
    if templates.len() > TEMPLATES_MAX {
        errors.push(FieldError::too_many(&path, templates.len(), TEMPLATES_MAX));
    }
    let mut names = BTreeSet::new();
    for (i, template) in templates.iter().enumerate() {
        let path = path.index(i);
        let name = text(template, &["name"]);
        if check::required(&mut errors, &path.child("name"), name) {
            let problems = meta::validation::is_dns1123_label(name);
            check::messages(&mut errors, &path.child("name"), name, problems);
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
        validate_policy(&mut errors, &path.child("schedulingPolicy"), template.get("schedulingPolicy"));
    }
    if let Some(controller) = object.at(&["spec", "controllerRef"]) {
        for field in ["kind", "name"] {
            check::required(&mut errors, &at("spec.controllerRef").child(field), text(controller, &[field]));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems};

    #[test]
    fn groups_have_distinct_names_and_one_policy() {
        let workload = object(
            r#"{"spec":{"podGroupTemplates":[{"name":"a","schedulingPolicy":{"basic":{}}},
                {"name":"a","schedulingPolicy":{"gang":{"minCount":0}}}]}}"#,
        );
        assert_eq!(
            problems(&definition(), &workload),
            [
                "spec.podGroupTemplates[1]: Duplicate value: \"a\"",
                "spec.podGroupTemplates[1].schedulingPolicy.gang.minCount: Invalid value: 0: must be greater than or \
                 equal to 1",
            ]
        );
        assert_eq!(
            problems(&definition(), &object(r#"{"spec":{}}"#)),
            ["spec.podGroupTemplates: Required value"]
        );
    }
}
