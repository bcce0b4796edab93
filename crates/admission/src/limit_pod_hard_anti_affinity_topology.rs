//! LimitPodHardAntiAffinityTopology: required anti-affinity keeps pods off
//! each other's nodes, and nothing bigger than nodes.

use async_trait::async_trait;
use meta::ApiError;
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::Value;

use crate::attributes::{concerns, forbidden};

const HOSTNAME: &str = "kubernetes.io/hostname";
const REQUIRED: [&str; 4] =
    ["spec", "affinity", "podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];

/// The plugin.
pub struct LimitPodHardAntiAffinityTopology;

#[async_trait]
impl Admission for LimitPodHardAntiAffinityTopology {
    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: Option<&Value>,
    ) -> Result<(), ApiError> {
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        let Some(pod) = object.filter(|_| writes && concerns(context, "", "pods")) else { return Ok(()) };
        let topology_key = |term: &'_ Value| term.str_at(&["topologyKey"]).unwrap_or_default().to_owned();
        match pod.list_at(&REQUIRED).iter().map(topology_key).find(|key| key != HOSTNAME) {
            None => Ok(()),
            Some(key) => {
                let text = format!(
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOSTNAME} is allowed"
                );
                Err(forbidden(context, attributes, pod, text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Request;

    async fn verdict(key: &str) -> Result<(), String> {
        let pod = format!(
            r#"{{"metadata":{{"name":"p"}},"spec":{{"affinity":{{"podAntiAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":[{{"topologyKey":"kubernetes.io/hostname"}},{{"topologyKey":"{key}"}}]}}}}}}}}"#
        );
        Request::create("pods", &pod).validate(&LimitPodHardAntiAffinityTopology).await
    }

    #[tokio::test]
    async fn only_nodes_are_kept_apart_by_force() {
        assert_eq!(verdict(HOSTNAME).await, Ok(()));
        assert_eq!(
            verdict("zone").await.expect_err("refused"),
            "pods \"p\" is forbidden: affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only \
             key kubernetes.io/hostname is allowed"
        );
    }
}
