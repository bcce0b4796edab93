//! Group `flowcontrol.apiserver.k8s.io`: whose requests wait when there are too many.

pub mod bootstrap;
pub mod flow_schema;
pub mod priority_level_configuration;

use registry::ResourceDef;

const GROUP: &str = "flowcontrol.apiserver.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![flow_schema::definition(), priority_level_configuration::definition()]
}
