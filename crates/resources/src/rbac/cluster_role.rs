//! Cluster roles list what may be done anywhere, paths outside the API
//! included. With an aggregation rule a controller writes the rules, joined
//! from other cluster roles.

use meta::validation::NameValidation;
use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::at;
use crate::print as show;
use crate::rbac::{GROUP, role};

/// Cluster roles as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: vec![Column::name(), show::date_column("Created At")],
        name_validation: NameValidation::PathSegment,
        create_on_update: true,
        ..ResourceDef::stored(GROUP, "v1", "clusterroles", "ClusterRole", ClusterRoleStrategy)
    }
}

struct ClusterRoleStrategy;

impl Strategy for ClusterRoleStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        show::name_and_creation(object, print)
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = role::validate_rules(object, false);
    let Some(aggregation) = object.get("aggregationRule") else { return errors };
    let path = at("aggregationRule.clusterRoleSelectors");
    let selectors = aggregation.list_at(&["clusterRoleSelectors"]);
    if selectors.is_empty() {
        let detail = "at least one clusterRoleSelector required if aggregationRule is non-nil";
        errors.push(FieldError::required(&path, detail));
    }
    for (i, selector) in selectors.iter().enumerate() {
        crate::validation::label_selector(Some(selector), &path.index(i), &mut errors);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems};

    #[test]
    fn paths_are_allowed_but_not_beside_resources() {
        let paths = object(r#"{"rules":[{"nonResourceURLs":["/x"],"verbs":["get"]}]}"#);
        assert!(problems(&definition(), &paths).is_empty());
        let mixed = object(r#"{"rules":[{"nonResourceURLs":["/x"],"resources":["p"],"verbs":["get"]}]}"#);
        assert_eq!(
            problems(&definition(), &mixed),
            [
                "rules[0].nonResourceURLs: Invalid value: [\"/x\"]: rules cannot apply to both regular resources and \
              non-resource URLs"
            ]
        );
        assert_eq!(problems(&definition(), &object(r#"{"aggregationRule":{}}"#)).len(), 1);
    }
}
