//! `componentstatuses`: health of the parts of a control plane, long deprecated.
//!
//! Computed on the spot. The store is inside or reached through the server
//! itself, so if this answer is made at all, it is healthy. The scheduler and
//! the controller manager are processes of their own that nothing here can
//! reach; they are not listed rather than guessed.

use async_trait::async_trait;
use meta::{ApiError, GroupResource};
use registry::{Backing, Column, PrintContext, RequestContext, ResourceDef, Strategy, VirtualResource};
use schema::{Map, Value};
use std::sync::Arc;

use crate::print;

/// `componentstatuses`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        verbs: vec!["get".into(), "list".into()],
        short_names: vec!["cs".into()],
        columns: vec![
            Column::name(),
            Column::string("Status"),
            Column::string("Message"),
            Column::string("Error"),
        ],
        deprecation: "v1 ComponentStatus is deprecated in v1.19+".into(),
        backing: Backing::Virtual(Arc::new(Components)),
        ..ResourceDef::stored("", "v1", "componentstatuses", "ComponentStatus", ComponentStatus)
    }
}

struct Components;

/// Name under which the store is listed.
const STORE: &str = "etcd-0";

#[async_trait]
impl VirtualResource for Components {
    async fn create(&self, context: &RequestContext, _: Value) -> Result<Value, ApiError> {
        Err(context.method_not_allowed("create"))
    }

    async fn get(&self, _: &RequestContext, name: &str) -> Result<Value, ApiError> {
        // The original names the singular here.
        let missing = || ApiError::not_found(&GroupResource::new("", "componentstatus"), name);
        if name == STORE { Ok(store_status()) } else { Err(missing()) }
    }

    async fn list(&self, _: &RequestContext) -> Result<Vec<Value>, ApiError> {
        Ok(vec![store_status()])
    }
}

fn store_status() -> Value {
    let condition = Map::from([("type", "Healthy"), ("status", "True"), ("message", "ok")]);
    Map::from([
        ("kind", Value::from("ComponentStatus")),
        ("apiVersion", Value::from("v1")),
        ("metadata", Value::from(Map::from([("name", STORE)]))),
        ("conditions", Value::from(vec![condition])),
    ])
    .into()
}

struct ComponentStatus;

impl Strategy for ComponentStatus {
    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let healthy = object.list_at(&["conditions"]).iter().find(|c| c.str_at(&["type"]) == Some("Healthy"));
        let status = match healthy.map(|condition| condition.str_at(&["status"]) == Some("True")) {
            Some(true) => "Healthy",
            Some(false) => "Unhealthy",
            None => "Unknown",
        };
        let text = |key: &str| healthy.map(|condition| print::text(condition, &[key])).unwrap_or_default();
        vec![print.name(object).into(), status.into(), text("message").into(), text("error").into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_healthy() {
        let cells =
            ComponentStatus.cells(&store_status(), &PrintContext { now: jiff::Timestamp::UNIX_EPOCH });
        assert_eq!(cells, ["etcd-0", "Healthy", "ok", ""].map(Value::from));
    }
}
