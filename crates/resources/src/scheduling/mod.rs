//! Group `scheduling.k8s.io`: who is scheduled first.

pub mod pod_group;
pub mod priority_class;
pub mod workload;

use meta::{FieldError, FieldErrors, FieldPath};
use registry::ResourceDef;
use schema::Value;

const GROUP: &str = "scheduling.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![priority_class::definition(), pod_group::definition(), workload::definition()]
}

/// A group of pods is placed in one way: one by one, or as a gang.
fn validate_policy(errors: &mut FieldErrors, path: &FieldPath, policy: Option<&Value>) {
    let has = |key| policy.is_some_and(|policy| policy.get(key).is_some_and(|value| !value.is_null()));
    match (has("basic"), has("gang")) {
        (false, false) => {
            errors.push(FieldError::invalid_str(path, "", "must specify one of: `basic`, `gang`"));
        }
        (true, true) => {
            let detail = "exactly one of `basic`, `gang` is required, but multiple fields are set";
            errors.push(FieldError::invalid_str(path, "{`basic`, `gang`}", detail));
        }
        (true, false) => {}
        (false, true) => {
            let least = policy.and_then(|policy| policy.int_at(&["gang", "minCount"])).unwrap_or_default();
            if least < 1 {
                let path = path.child("gang.minCount");
                let detail = "must be greater than or equal to 1";
                errors.push(FieldError::invalid(&path, &least.into(), detail));
            }
        }
    }
}
