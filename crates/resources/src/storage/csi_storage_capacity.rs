//! CSI storage capacities say how much of a class a part of the cluster has
//! left. Of one, only the amounts may change.

use meta::FieldErrors;
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::print as show;
use crate::storage::GROUP;
use crate::validation;

/// CSI storage capacities as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: vec![Column::name(), show::date_column("Created At")],
        unconditional_update: false,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "csistoragecapacities",
            "CSIStorageCapacity",
            CsiStorageCapacityStrategy,
        )
    }
}

struct CsiStorageCapacityStrategy;

impl Strategy for CsiStorageCapacityStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        validation::label_selector(object.get("nodeTopology"), &at("nodeTopology"), &mut errors);
        let (path, class) = (at("storageClassName"), text(object, &["storageClassName"]));
        check::messages(&mut errors, &path, class, meta::validation::is_dns1123_subdomain(class));
        if let Some(capacity) = object.get("capacity") {
            validation::quantity_not_negative(&mut errors, &at("capacity"), capacity);
        }
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = self.validate(context, object);
        check::immutable(&mut errors, "nodeTopology", object, old);
        check::immutable(&mut errors, "storageClassName", object, old);
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        show::name_and_creation(object, print)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{refuses, refuses_updates};

    const GOOD: &str = r#"{"metadata":{"name":"a"},"storageClassName":"c","capacity":"1Gi"}"#;

    #[test]
    fn a_class_is_named_and_amounts_are_not_negative() {
        refuses(
            &definition(),
            GOOD,
            &[
                (r#"{"capacity":"0"}"#, &[]),
                (
                    r#"{"capacity":"-1","nodeTopology":{"matchExpressions":[{"key":"a","operator":"In"}]}}"#,
                    &[
                        "nodeTopology.matchExpressions[0].values: Required value: must be specified when `operator` \
                         is 'In' or 'NotIn'",
                        "capacity: Invalid value: \"-1\": must be greater than or equal to 0",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn what_was_asked_for_stays() {
        refuses_updates(
            &definition(),
            GOOD,
            &[
                (r#"{"capacity":"2Gi"}"#, &[]),
                (
                    r#"{"storageClassName":"d","nodeTopology":{}}"#,
                    &["storageClassName: Invalid value: \"d\": field is immutable"],
                ),
            ],
        );
    }
}
