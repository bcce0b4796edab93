//! The group `events.k8s.io`: the events of the core group under newer names.

pub mod event;

use registry::ResourceDef;

/// Resources of the group, one line each.
pub fn definitions() -> Vec<ResourceDef> {
    vec![event::definition()]
}
