//! Cluster role bindings give a cluster role everywhere.

use meta::FieldErrors;
use meta::validation::NameValidation;
use registry::{PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::rbac::{GROUP, role_binding};

/// Cluster role bindings as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: role_binding::columns(),
        name_validation: NameValidation::PathSegment,
        create_on_update: true,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "clusterrolebindings",
            "ClusterRoleBinding",
            ClusterRoleBindingStrategy,
        )
    }
}

struct ClusterRoleBindingStrategy;

impl Strategy for ClusterRoleBindingStrategy {
    fn default(&self, object: &mut Value) {
        role_binding::default(object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        role_binding::validate(object, &["ClusterRole"])
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        role_binding::validate_update(object, old, &["ClusterRole"])
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        role_binding::cells(object, print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{defaulted, problems};

    #[test]
    fn only_cluster_roles_are_bound_and_accounts_need_a_namespace() {
        let binding = defaulted(
            &definition(),
            r#"{"roleRef":{"kind":"Role","name":"r"},"subjects":[{"kind":"ServiceAccount","name":"sa"}]}"#,
        );
        assert_eq!(
            problems(&definition(), &binding),
            [
                "roleRef.kind: Unsupported value: \"Role\": supported values: \"ClusterRole\"",
                "subjects[0].namespace: Required value",
            ]
        );
    }
}
