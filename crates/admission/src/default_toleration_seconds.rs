//! DefaultTolerationSeconds: a pod stays for a while on a node that is not
//! ready or cannot be reached, unless the pod says otherwise.

use async_trait::async_trait;
use meta::ApiError;
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::{Map, Value};

use crate::attributes::concerns;

/// Taint of a node that is not ready.
pub(crate) const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const NO_EXECUTE: &str = "NoExecute";

/// The plugin.
pub struct DefaultTolerationSeconds {
    /// Seconds on a node that is not ready (`--default-not-ready-toleration-seconds`).
    pub not_ready_seconds: i64,
    /// Seconds on a node out of reach (`--default-unreachable-toleration-seconds`).
    pub unreachable_seconds: i64,
}

#[async_trait]
impl Admission for DefaultTolerationSeconds {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update);
        if !writes || !concerns(context, "", "pods") {
            return Ok(());
        }
        for (taint, seconds) in [(NOT_READY, self.not_ready_seconds), (UNREACHABLE, self.unreachable_seconds)]
        {
            if !object.list_at(&["spec", "tolerations"]).iter().any(|given| tolerates(given, taint)) {
                add(object, taint, seconds);
            }
        }
        Ok(())
    }
}

/// True if a toleration speaks of a taint of effect NoExecute; what it says about it does not matter.
fn tolerates(toleration: &Value, taint: &str) -> bool {
    let is_or_any = |key, wanted| {
        let given = toleration.str_at(&[key]).unwrap_or_default();
        given.is_empty() || given == wanted
    };
    is_or_any("key", taint) && is_or_any("effect", NO_EXECUTE)
}

fn add(pod: &mut Value, taint: &str, seconds: i64) {
    let toleration = Map::from([
        ("key", Value::from(taint)),
        ("operator", "Exists".into()),
        ("effect", NO_EXECUTE.into()),
        ("tolerationSeconds", seconds.into()),
    ]);
    crate::tree::push(pod, &["spec", "tolerations"], toleration);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, object};

    async fn tolerations(resource: &str, given: &str) -> String {
        let pod = format!(r#"{{"spec":{{"tolerations":{given}}}}}"#);
        let plugin = DefaultTolerationSeconds { not_ready_seconds: 300, unreachable_seconds: 60 };
        let pod = Request::create(resource, &pod).admit(&plugin).await.expect("never refused");
        let text = |toleration: &Value| {
            let seconds = toleration.int_at(&["tolerationSeconds"]).unwrap_or(-1);
            format!("{}={seconds}", toleration.str_at(&["key"]).unwrap_or("*"))
        };
        pod.list_at(&["spec", "tolerations"]).iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[tokio::test]
    async fn what_the_pod_does_not_say_is_added() {
        let both = "node.kubernetes.io/not-ready=300 node.kubernetes.io/unreachable=60";
        for (given, expected) in [
            ("null", both),
            ("[]", both),
            (r#"[{"operator":"Exists"}]"#, "*=-1"),
            (
                r#"[{"operator":"Exists","effect":"NoSchedule"}]"#,
                "*=-1 node.kubernetes.io/not-ready=300 node.kubernetes.io/unreachable=60",
            ),
            (
                r#"[{"key":"node.kubernetes.io/unreachable","effect":"NoExecute","tolerationSeconds":5}]"#,
                "node.kubernetes.io/unreachable=5 node.kubernetes.io/not-ready=300",
            ),
        ] {
            assert_eq!(tolerations("pods", given).await, expected, "{given}");
        }
    }

    #[tokio::test]
    async fn subresources_and_other_resources_are_left_alone() {
        for resource in ["pods/status", "replicationcontrollers", "pods.example.com"] {
            assert_eq!(tolerations(resource, "[]").await, "", "{resource}");
        }
    }

    #[tokio::test]
    async fn an_added_toleration_is_spelled_out() {
        let plugin = DefaultTolerationSeconds { not_ready_seconds: 300, unreachable_seconds: 300 };
        let pod = Request::create("pods", "{}").admit(&plugin).await.expect("never refused");
        let expected = object(
            r#"{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}"#,
        );
        assert_eq!(pod.list_at(&["spec", "tolerations"])[0], expected);
    }
}
