//! TaintNodesByCondition: a new node takes no pods until somebody has found
//! it ready, and taken the taint away.

use async_trait::async_trait;
use meta::ApiError;
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::{Map, Value};

use crate::attributes::concerns;
use crate::default_toleration_seconds::NOT_READY;
use crate::tree;

const NO_SCHEDULE: &str = "NoSchedule";

/// The plugin.
pub struct TaintNodesByCondition;

#[async_trait]
impl Admission for TaintNodesByCondition {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if attributes.operation == Operation::Create
            && concerns(context, "", "nodes")
            && !object.list_at(&["spec", "taints"]).iter().any(is_not_ready)
        {
            let taint = Map::from([("key", NOT_READY), ("effect", NO_SCHEDULE)]);
            tree::push(object, &["spec", "taints"], taint);
        }
        Ok(())
    }
}

fn is_not_ready(taint: &Value) -> bool {
    taint.str_at(&["key"]) == Some(NOT_READY) && taint.str_at(&["effect"]) == Some(NO_SCHEDULE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, object};

    #[tokio::test]
    async fn a_new_node_is_tainted_once() {
        let ours = r#"{"key":"node.kubernetes.io/not-ready","effect":"NoSchedule"}"#;
        let other = r#"{"key":"a","effect":"NoExecute"}"#;
        let evicting = r#"{"key":"node.kubernetes.io/not-ready","effect":"NoExecute"}"#;
        for (given, expected) in [
            ("null".to_owned(), format!("[{ours}]")),
            (format!("[{other}]"), format!("[{other},{ours}]")),
            (format!("[{evicting}]"), format!("[{evicting},{ours}]")),
            (format!("[{ours},{other}]"), format!("[{ours},{other}]")),
        ] {
            let node = format!(r#"{{"spec":{{"taints":{given}}}}}"#);
            let node = Request::create("nodes", &node).admit(&TaintNodesByCondition).await;
            assert_eq!(node.expect("never refused").at(&["spec", "taints"]), Some(&object(&expected)));
        }
    }

    #[tokio::test]
    async fn an_old_node_is_left_alone() {
        let node = Request::update("nodes", "{}", "{}").admit(&TaintNodesByCondition).await;
        assert_eq!(node, Ok(object("{}")));
    }
}
