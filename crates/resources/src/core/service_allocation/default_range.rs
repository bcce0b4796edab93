//! The ServiceCIDR `kubernetes`, which says what `--service-cluster-ip-range` is.

use async_trait::async_trait;
use meta::options::Preconditions;
use meta::{ApiError, ObjectMeta};
use registry::{RequestContext, UpdateKind, UpdatedObject};
use schema::{Map, Value};

use super::{ServiceAllocator, internal_context, internal_write};
use crate::check::{self, text};

const NAME: &str = "kubernetes";

impl ServiceAllocator {
    /// Makes the ServiceCIDR `kubernetes` where it is missing. Services get addresses from then on.
    pub async fn make_default_range(&self) -> Result<(), ApiError> {
        let ranges = &self.inner.ips.ranges;
        if ranges.find("", NAME).await?.is_some() {
            return Ok(());
        }
        let mut range = Value::map();
        range.set(&["apiVersion"], "networking.k8s.io/v1");
        range.set(&["kind"], "ServiceCIDR");
        range.set(&["metadata", "name"], NAME);
        range.set(&["spec", "cidrs"], self.cidrs());
        let context = internal_context(&self.inner.environment, ranges, "", NAME);
        match ranges.create(&context, range, &internal_write()).await {
            // Another server on the same store was faster.
            Ok(_) | Err(ApiError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says of the ServiceCIDR `kubernetes` that it is ready, unless its
    /// readiness is said already or it is of other ranges than this server.
    pub async fn report_default_range(&self) -> Result<(), ApiError> {
        let ranges = &self.inner.ips.ranges;
        let Some(range) = ranges.find("", NAME).await? else { return Ok(()) };
        let told = |condition: &Value| text(condition, &["type"]) == "Ready";
        let leaving = ObjectMeta::of(&range).deletion_timestamp().is_some();
        let ours = *range.list_at(&["spec", "cidrs"]) == self.cidrs()[..];
        if leaving || !ours || range.list_at(&["status", "conditions"]).iter().any(told) {
            return Ok(());
        }
        let context = internal_context(&self.inner.environment, ranges, "", NAME);
        let options = internal_write();
        match ranges.update(&context, NAME, UpdateKind::Status, &mut Ready, &options, false).await {
            Ok(_) | Err(ApiError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn cidrs(&self) -> Vec<Value> {
        self.inner.cluster_ip_ranges.iter().map(|range| Value::from(range.to_string())).collect()
    }
}

struct Ready;

#[async_trait]
impl UpdatedObject for Ready {
    fn preconditions(&self) -> Preconditions {
        Preconditions::default()
    }

    async fn updated(&mut self, context: &RequestContext, old: &Value) -> Result<Value, ApiError> {
        let condition = Map::from([
            ("type", Value::from("Ready")),
            ("status", "True".into()),
            ("lastTransitionTime", check::now(context).into()),
            ("reason", "".into()),
            ("message", "Kubernetes default Service CIDR is ready".into()),
        ]);
        let mut conditions = old.list_at(&["status", "conditions"]).to_vec();
        conditions.push(condition.into());
        let mut range = old.clone();
        range.set(&["status", "conditions"], conditions);
        Ok(range)
    }
}
