//! The group `apps`.

pub mod controller_revision;
pub mod daemon_set;
pub mod deployment;
pub mod replica_set;
pub mod stateful_set;

use registry::ResourceDef;

/// Resources of the group, one line each.
pub fn definitions() -> Vec<ResourceDef> {
    vec![
        controller_revision::definition(),
        daemon_set::definition(),
        deployment::definition(),
        replica_set::definition(),
        stateful_set::definition(),
    ]
}
