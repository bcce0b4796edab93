//! Group `apiregistration.k8s.io`: who serves which group version.

pub mod api_service;

use registry::ResourceDef;

const GROUP: &str = "apiregistration.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![api_service::definition()]
}
