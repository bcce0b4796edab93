//! Group `coordination.k8s.io`: who leads.

pub mod lease;
pub mod lease_candidate;

use registry::ResourceDef;

use crate::in_version;

const GROUP: &str = "coordination.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![
        lease::definition(),
        lease_candidate::definition(),
        in_version(lease_candidate::definition(), "v1alpha2"),
    ]
}
