//! Admission: the [`Chain`] the registry calls, and its plugins, one file each.
//!
//! [`PLUGINS`] lists them; a [`Selection`] of them becomes a chain. A plugin
//! declares the small view it needs of other objects and knows neither storage
//! nor HTTP.

mod attributes;
mod certificate_signers;
mod certificate_subject_restriction;
mod chain;
mod default_class;
mod default_ingress_class;
mod default_storage_class;
mod default_toleration_seconds;
mod limit_pod_hard_anti_affinity_topology;
pub mod lister;
mod namespace_lifecycle;
mod persistent_volume_claim_resize;
mod plugins;
mod priority;
mod runtime_class;
mod service_account;
mod storage_object_in_use_protection;
mod taint_nodes_by_condition;
#[cfg(test)]
mod testing;
mod tolerations;
mod tree;

pub use chain::Chain;
pub use plugins::{NotServed, PLUGINS, Parts, Plugin, PluginError, PluginOptions, Selection, SelectionError};
