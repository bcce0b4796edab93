//! The group `policy`.

pub(crate) mod eviction;
pub mod pod_disruption_budget;

use registry::ResourceDef;

/// Resources of the group, one line each.
pub fn definitions() -> Vec<ResourceDef> {
    vec![pod_disruption_budget::definition()]
}
