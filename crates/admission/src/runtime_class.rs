//! RuntimeClass: a pod carries the overhead of its runtime and goes where that
//! runtime is. A pod may not make up an overhead of its own.

use std::sync::Arc;

use async_trait::async_trait;
use meta::ApiError;
use meta::field::quoted;
use registry::{Admission, AdmissionAttributes, Operation, RequestContext};
use schema::quantity::Quantity;
use schema::{Map, Value};

use crate::attributes::{concerns, forbidden};
use crate::lister::{Lister, View};
use crate::tolerations::merge;

const MISMATCH: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
const UNFOUNDED: &str = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";

/// What the plugin sees of a RuntimeClass.
pub struct Runtime {
    /// `overhead.podFixed`; none without `overhead`.
    overhead: Option<Map>,
    scheduling: Option<Scheduling>,
}

struct Scheduling {
    node_selector: Map,
    tolerations: Vec<Value>,
}

impl View for Runtime {
    fn of(object: &Value) -> Runtime {
        let map = |path: &[&str]| object.map_at(path).cloned().unwrap_or_default();
        Runtime {
            overhead: object.map_at(&["overhead"]).map(|_| map(&["overhead", "podFixed"])),
            scheduling: object.map_at(&["scheduling"]).map(|_| Scheduling {
                node_selector: map(&["scheduling", "nodeSelector"]),
                tolerations: object.list_at(&["scheduling", "tolerations"]).to_vec(),
            }),
        }
    }
}

/// The plugin.
pub struct RuntimeClass {
    classes: Arc<dyn Lister<Runtime>>,
}

impl RuntimeClass {
    /// Looks runtimes up in `classes`.
    pub fn new(classes: Arc<dyn Lister<Runtime>>) -> RuntimeClass {
        RuntimeClass { classes }
    }

    /// The runtime a pod names; none if it names none.
    async fn runtime_of(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        pod: &Value,
    ) -> Result<Option<Arc<Runtime>>, ApiError> {
        let Some(name) = pod.str_at(&["spec", "runtimeClassName"]) else { return Ok(None) };
        match self.classes.find("", name).await? {
            None => {
                let text = format!("pod rejected: RuntimeClass {} not found", quoted(name));
                Err(forbidden(context, attributes, pod, text))
            }
            found => Ok(found),
        }
    }
}

#[async_trait]
impl Admission for RuntimeClass {
    async fn admit(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        if attributes.operation != Operation::Create || !concerns(context, "", "pods") {
            return Ok(());
        }
        let Some(runtime) = self.runtime_of(context, attributes, object).await? else { return Ok(()) };
        if let Some(overhead) = &runtime.overhead {
            if overhead_of(object).is_some_and(|given| !same_amounts(given, overhead)) {
                return Err(forbidden(context, attributes, &*object, MISMATCH));
            }
            object.set(&["spec", "overhead"], overhead.clone());
        }
        match &runtime.scheduling {
            Some(scheduling) => schedule(object, scheduling)
                .map_err(|conflict| forbidden(context, attributes, &*object, conflict)),
            None => Ok(()),
        }
    }

    async fn validate(
        &self,
        context: &RequestContext,
        attributes: &AdmissionAttributes<'_>,
        object: Option<&Value>,
    ) -> Result<(), ApiError> {
        let created = attributes.operation == Operation::Create && concerns(context, "", "pods");
        let Some(pod) = object.filter(|_| created) else { return Ok(()) };
        let runtime = self.runtime_of(context, attributes, pod).await?;
        let given = overhead_of(pod);
        match runtime.as_ref().and_then(|runtime| runtime.overhead.as_ref()) {
            Some(overhead) if !same_amounts(given.unwrap_or(&Map::new()), overhead) => {
                Err(forbidden(context, attributes, pod, MISMATCH))
            }
            None if given.is_some() => Err(forbidden(context, attributes, pod, UNFOUNDED)),
            _ => Ok(()),
        }
    }
}

fn overhead_of(pod: &Value) -> Option<&Map> {
    pod.map_at(&["spec", "overhead"])
}

/// True if the same resources have the same amounts, however they are written.
fn same_amounts(a: &Map, b: &Map) -> bool {
    let amount = |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok());
    a.len() == b.len()
        && a.iter().zip(b.iter()).all(|((a, x), (b, y))| a == b && (x == y || amount(x) == amount(y)))
}

/// Adds what the runtime demands of a node; the text of a conflict if the pod demands otherwise.
fn schedule(pod: &mut Value, scheduling: &Scheduling) -> Result<(), String> {
    if !scheduling.node_selector.is_empty() {
        let selector = pod.ensure_map(&["spec", "nodeSelector"]);
        for (key, value) in scheduling.node_selector.iter() {
            let (wanted, given) = (value.as_str().unwrap_or_default(), selector.str(key));
            if let Some(given) = given.filter(|given| *given != wanted) {
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = {given}"
                ));
            }
            selector.insert(key, value.clone());
        }
    }
    let merged = merge(pod.list_at(&["spec", "tolerations"]), &scheduling.tolerations);
    if !merged.is_empty() {
        pod.set(&["spec", "tolerations"], merged);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Request, fixed, object};

    fn plugin() -> RuntimeClass {
        RuntimeClass::new(fixed(&[
            r#"{"metadata":{"name":"rc"},"overhead":{"podFixed":{"cpu":"250m"}},
                "scheduling":{"nodeSelector":{"rt":"x"},"tolerations":[{"key":"rt","operator":"Exists"}]}}"#,
            r#"{"metadata":{"name":"plain"}}"#,
        ]))
    }

    fn pod(spec: &str) -> Request {
        Request::create("pods", &format!(r#"{{"metadata":{{"name":"p"}},"spec":{{{spec}}}}}"#))
    }

    #[tokio::test]
    async fn overhead_selector_and_tolerations_of_the_runtime_are_added() {
        let given = r#""runtimeClassName":"rc","overhead":{"cpu":"0.25"},"nodeSelector":{"mine":"y"},"tolerations":[{"key":"a","operator":"Exists"}]"#;
        let admitted = pod(given).admit(&plugin()).await.expect("admitted");
        let expected = object(
            r#"{"runtimeClassName":"rc","overhead":{"cpu":"250m"},"nodeSelector":{"mine":"y","rt":"x"},
                "tolerations":[{"key":"a","operator":"Exists"},{"key":"rt","operator":"Exists"}]}"#,
        );
        assert_eq!(admitted.get("spec"), Some(&expected));
        let plain = pod(r#""runtimeClassName":"plain""#).admit(&plugin()).await.expect("admitted");
        assert_eq!(plain.get("spec"), Some(&object(r#"{"runtimeClassName":"plain"}"#)));
    }

    #[tokio::test]
    async fn a_pod_that_contradicts_its_runtime_is_refused() {
        for (spec, why) in [
            (r#""runtimeClassName":"nope""#, "pod rejected: RuntimeClass \"nope\" not found"),
            (r#""runtimeClassName":"rc","overhead":{"cpu":"1"}"#, MISMATCH),
            (
                r#""runtimeClassName":"rc","nodeSelector":{"rt":"other"}"#,
                "conflict: runtimeClass.scheduling.nodeSelector[rt] = x; pod.spec.nodeSelector[rt] = other",
            ),
        ] {
            let refusal = pod(spec).admit(&plugin()).await.expect_err("refused");
            assert_eq!(refusal, format!("pods \"p\" is forbidden: {why}"));
        }
    }

    #[tokio::test]
    async fn an_overhead_must_come_from_the_runtime() {
        for (spec, expected) in [
            (r#""overhead":{"cpu":"1"}"#, Some(UNFOUNDED)),
            (r#""runtimeClassName":"plain","overhead":{}"#, Some(UNFOUNDED)),
            (r#""runtimeClassName":"rc""#, Some(MISMATCH)),
            (r#""runtimeClassName":"rc","overhead":{"cpu":"0.25"}"#, None),
            (r#""runtimeClassName":"plain""#, None),
            ("", None),
        ] {
            let expected = expected.map_or(Ok(()), |why| Err(format!("pods \"p\" is forbidden: {why}")));
            assert_eq!(pod(spec).validate(&plugin()).await, expected, "{spec}");
        }
    }
}
