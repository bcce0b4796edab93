//! Group `storagemigration.k8s.io`: rewriting stored objects in the version
//! that is stored now. Off by default.

pub mod storage_version_migration;

use registry::ResourceDef;

const GROUP: &str = "storagemigration.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![storage_version_migration::definition()]
}
