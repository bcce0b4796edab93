//! Group `apiextensions.k8s.io`: resources made at run time.

pub mod custom_resource_definition;
pub mod v1beta1;

use registry::ResourceDef;

const GROUP: &str = "apiextensions.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![custom_resource_definition::definition()]
}
