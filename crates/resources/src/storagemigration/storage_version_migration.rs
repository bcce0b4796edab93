//! Storage version migrations ask a controller to rewrite every object of a
//! resource. What is migrated cannot be changed; how far it is, is the status.

use meta::{FieldError, FieldErrors};
use registry::{RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::storagemigration::GROUP;

/// Storage version migrations as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        subresources: vec![Subresource::status()],
        unconditional_update: false,
        status_metadata: StatusMetadata::Kept,
        enabled_by_default: false,
        ..ResourceDef::stored(
            GROUP,
            "v1beta1",
            "storageversionmigrations",
            "StorageVersionMigration",
            StorageVersionMigrationStrategy,
        )
    }
}

struct StorageVersionMigrationStrategy;

impl Strategy for StorageVersionMigrationStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validate(object);
        // The original names these fields without their place in the object.
        for field in ["group", "resource"] {
            let (new, old) =
                (text(object, &["spec", "resource", field]), text(old, &["spec", "resource", field]));
            if new != old {
                errors.push(FieldError::invalid_str(&at(field), new, check::IMMUTABLE));
            }
        }
        errors
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let version = |object| text(object, &["status", "resourceVersion"]).to_owned();
        if !version(old).is_empty() && version(object) != version(old) {
            let path = at("status.resourceVersion");
            errors.push(FieldError::invalid_str(&path, &version(object), check::IMMUTABLE));
        }
        errors
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let path = at("spec.resource");
    let resource = text(object, &["spec", "resource", "resource"]);
    if resource.is_empty() {
        errors.push(FieldError::required(&path.child("resource"), "resource is required to be set"));
    } else {
        let problems = meta::validation::is_dns1035_label(resource);
        check::messages(&mut errors, &path.child("resource"), resource, problems);
    }
    let group = text(object, &["spec", "resource", "group"]);
    if !group.is_empty() {
        let problems = meta::validation::is_dns1123_subdomain(group);
        check::messages(&mut errors, &path.child("group"), group, problems);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems, update_problems};

    #[test]
    fn a_migration_names_a_resource_for_good() {
        assert_eq!(
            problems(&definition(), &object(r#"{"spec":{"resource":{}}}"#)),
            ["spec.resource.resource: Required value: resource is required to be set"]
        );
        let old = object(r#"{"spec":{"resource":{"group":"apps","resource":"deployments"}}}"#);
        let new = object(r#"{"spec":{"resource":{"group":"apps","resource":"daemonsets"}}}"#);
        assert_eq!(
            update_problems(&definition(), &new, &old),
            ["resource: Invalid value: \"daemonsets\": field is immutable"]
        );
    }
}
