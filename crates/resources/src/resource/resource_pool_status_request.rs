//! Resource pool status requests ask once how much of a driver's pools is in
//! use; a controller answers in the status. What is asked cannot be changed.

use meta::{FieldError, FieldErrors};
use registry::{RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::resource::{GROUP, validate_driver};

const LIMIT_MAX: i64 = 1000;

/// Resource pool status requests as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        subresources: vec![Subresource::status()],
        status_metadata: StatusMetadata::Kept,
        enabled_by_default: false,
        ..ResourceDef::stored(
            GROUP,
            "v1alpha3",
            "resourcepoolstatusrequests",
            "ResourcePoolStatusRequest",
            ResourcePoolStatusRequestStrategy,
        )
    }
}

struct ResourcePoolStatusRequestStrategy;

impl Strategy for ResourcePoolStatusRequestStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        validate_driver(&mut errors, &at("spec.driver"), text(object, &["spec", "driver"]));
        if let Some(limit) =
            object.int_at(&["spec", "limit"]).filter(|limit| !(1..=LIMIT_MAX).contains(limit))
        {
            let detail = "must be between 1 and 1000, inclusive";
            errors.push(FieldError::invalid(&at("spec.limit"), &limit.into(), detail));
        }
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        check::immutable(&mut errors, "spec", object, old);
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems, update_problems};

    #[test]
    fn a_request_names_a_driver_and_stays_as_it_is() {
        let old = object(r#"{"spec":{"driver":"d.example","limit":100}}"#);
        assert!(problems(&definition(), &old).is_empty());
        let new = object(r#"{"spec":{"limit":2000}}"#);
        assert_eq!(
            problems(&definition(), &new),
            [
                "spec.driver: Required value",
                "spec.limit: Invalid value: 2000: must be between 1 and 1000, inclusive",
            ]
        );
        assert_eq!(update_problems(&definition(), &new, &old).len(), 1);
    }
}
