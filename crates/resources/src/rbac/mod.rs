//! Group `rbac.authorization.k8s.io`: who may do what.

pub mod cluster_role;
pub mod cluster_role_binding;
pub mod role;
pub mod role_binding;

use registry::ResourceDef;

const GROUP: &str = "rbac.authorization.k8s.io";

/// The resources of this group.
pub fn definitions() -> Vec<ResourceDef> {
    vec![
        cluster_role_binding::definition(),
        cluster_role::definition(),
        role_binding::definition(),
        role::definition(),
    ]
}
