//! Group `coordination.k8s.io`: who leads.

pub mod lease;

use registry::ResourceDef;

const GROUP: &str = "coordination.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![lease::definition()]
}
