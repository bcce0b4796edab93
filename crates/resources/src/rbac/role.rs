//! Roles list what may be done in one namespace. Whether a user may grant
//! that much is asked elsewhere.

use meta::validation::NameValidation;
use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::at;
use crate::print as show;
use crate::rbac::GROUP;

/// Roles as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: vec![Column::name(), show::date_column("Created At")],
        name_validation: NameValidation::PathSegment,
        create_on_update: true,
        ..ResourceDef::stored(GROUP, "v1", "roles", "Role", RoleStrategy)
    }
}

struct RoleStrategy;

impl Strategy for RoleStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate_rules(object, true)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate_rules(object, true)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        show::name_and_creation(object, print)
    }
}

/// Every rule names verbs, and either resources or paths.
pub(super) fn validate_rules(object: &Value, namespaced: bool) -> FieldErrors {
    let mut errors = Vec::new();
    for (i, rule) in object.list_at(&["rules"]).iter().enumerate() {
        validate_rule(&mut errors, &at("rules").index(i), rule, namespaced);
    }
    errors
}

fn validate_rule(errors: &mut FieldErrors, path: &FieldPath, rule: &Value, namespaced: bool) {
    if rule.list_at(&["verbs"]).is_empty() {
        errors.push(FieldError::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    let (groups, resources) = (rule.list_at(&["apiGroups"]), rule.list_at(&["resources"]));
    let urls = rule.list_at(&["nonResourceURLs"]);
    if !urls.is_empty() {
        let shown = Value::List(urls.to_vec());
        let path = path.child("nonResourceURLs");
        if namespaced {
            let detail = "namespaced rules cannot apply to non-resource URLs";
            errors.push(FieldError::invalid(&path, &shown, detail));
        }
        if !groups.is_empty() || !resources.is_empty() || !rule.list_at(&["resourceNames"]).is_empty() {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            errors.push(FieldError::invalid(&path, &shown, detail));
        }
        return;
    }
    if groups.is_empty() {
        let detail = "resource rules must supply at least one api group";
        errors.push(FieldError::required(&path.child("apiGroups"), detail));
    }
    if resources.is_empty() {
        let detail = "resource rules must supply at least one resource";
        errors.push(FieldError::required(&path.child("resources"), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems};

    #[test]
    fn a_rule_is_about_resources_and_names_verbs() {
        for (rule, expected) in [
            (r#"{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}"#, None),
            (
                r#"{"apiGroups":[""],"resources":["pods"]}"#,
                Some("rules[0].verbs: Required value: verbs must contain at least one value"),
            ),
            (
                r#"{"nonResourceURLs":["/x"],"verbs":["get"]}"#,
                Some(
                    "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: namespaced rules cannot apply to \
                     non-resource URLs",
                ),
            ),
            (
                r#"{"resources":["pods"],"verbs":["get"]}"#,
                Some("rules[0].apiGroups: Required value: resource rules must supply at least one api group"),
            ),
        ] {
            let role = object(&format!(r#"{{"rules":[{rule}]}}"#));
            assert_eq!(problems(&definition(), &role), expected.into_iter().collect::<Vec<_>>(), "{rule}");
        }
    }
}
