//! Group `internal.apiserver.k8s.io`: what servers of one cluster tell each
//! other. Off by default.

pub mod storage_version;

use registry::ResourceDef;

const GROUP: &str = "internal.apiserver.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![storage_version::definition()]
}
