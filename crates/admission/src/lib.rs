//! Admission: the [`Chain`] the registry calls, and its plugins, one file each.
//!
//! A plugin declares the small lister it needs and knows neither storage nor
//! HTTP; wiring hands it one.

mod chain;
mod namespace_lifecycle;

pub use chain::Chain;
pub use namespace_lifecycle::{NamespaceLifecycle, NamespacePhase, Namespaces, StoredNamespaces};
