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

#[cfg(test)]
mod tests {
    use super::*;

    use async_trait::async_trait;
    use meta::ApiError;
    use registry::RequestContext;
    use schema::Value;

    struct Nobody;

    #[async_trait]
    impl VirtualResource for Nobody {
        async fn create(&self, context: &RequestContext, _: Value) -> Result<Value, ApiError> {
            Err(context.method_not_allowed("create"))
        }
    }

    #[test]
    fn bindings_are_created_and_nothing_else() {
        let binding = definition(Arc::new(Nobody));
        assert_eq!(binding.verbs, ["create"]);
        assert!(binding.storage().is_none());
    }
}
