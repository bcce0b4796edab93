//! Group `node.k8s.io`: how containers are run.

pub mod runtime_class;

use registry::ResourceDef;

const GROUP: &str = "node.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![runtime_class::definition()]
}
