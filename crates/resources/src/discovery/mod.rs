//! Group `discovery.k8s.io`: where services are.

pub mod endpoint_slice;

use registry::ResourceDef;

const GROUP: &str = "discovery.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![endpoint_slice::definition()]
}
