//! Group `scheduling.k8s.io`: who is scheduled first.

pub mod priority_class;

use registry::ResourceDef;

const GROUP: &str = "scheduling.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![priority_class::definition()]
}
