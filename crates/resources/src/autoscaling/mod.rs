//! The group `autoscaling`: one kind in two versions.

pub mod horizontal_pod_autoscaler;
mod v1;
mod validation;

use registry::ResourceDef;

/// Resources of the group, one line each, the preferred version first.
pub fn definitions() -> Vec<ResourceDef> {
    vec![horizontal_pod_autoscaler::v2(), horizontal_pod_autoscaler::v1()]
}
