//! `bindings`: what a scheduler creates to put a pod on a node. Never stored;
//! the answer comes from whoever the wiring names, because it must write a pod.

use std::sync::Arc;

use registry::{Backing, ResourceDef, VirtualResource};

/// `bindings`, answered by `binder`.
pub fn definition(binder: Arc<dyn VirtualResource>) -> ResourceDef {
    ResourceDef {
        verbs: vec!["create".into()],
        backing: Backing::Virtual(binder),
        ..ResourceDef::stored("", "v1", "bindings", "Binding", registry::Plain)
    }
}
