//! `bindings` and `pods/binding`: what a scheduler creates to put a pod on a
//! node. Never stored; the pod is written past its strategy, and nobody owns
//! what a binding sets.

use std::sync::Arc;

use async_trait::async_trait;
use meta::options::Preconditions;
use meta::{ApiError, FieldError, FieldErrors, FieldPath, GroupResource, ObjectMeta};
use registry::{Acted, Action, ActionRequest, Backing, ResourceDef};
use schema::{Map, Value};

use super::pod_condition;
use crate::check;

/// `bindings`, the form without a pod in the path.
pub fn definition() -> ResourceDef {
    ResourceDef {
        verbs: vec!["create".into()],
        backing: Backing::Action(Arc::new(Bind)),
        ..ResourceDef::stored("", "v1", "bindings", "Binding", registry::Plain)
    }
}

/// Puts a pod on a node.
pub(super) struct Bind;

#[async_trait]
impl Action for Bind {
    async fn act(&self, request: ActionRequest<'_>) -> Result<Acted, ApiError> {
        let metadata = ObjectMeta::of(&request.body);
        let name = metadata.name();
        if !request.name.is_empty() && request.name != name {
            return Err(ApiError::BadRequest("name in URL does not match name in Binding object".to_owned()));
        }
        let faults = validate(&request.body);
        if !faults.is_empty() {
            // The original has no Status for these (500).
            return Err(ApiError::Unknown(aggregate(&faults)));
        }
        request.validate_admission().await?;
        let now = check::now(request.context);
        let mut assign = |pod| assigned(pod, &request.body, &now).map_err(|message| conflict(name, message));
        let store = request.store("", "v1", "pods")?;
        let namespace = &request.context.namespace;
        let wanted = preconditions(metadata);
        store.change_directly(namespace, name, wanted, request.options.dry_run, &mut assign).await?;
        Ok(Acted::Done)
    }
}

fn preconditions(metadata: ObjectMeta<'_>) -> Preconditions {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Preconditions { uid: given(metadata.uid()), resource_version: given(&metadata.resource_version().0) }
}

fn validate(binding: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let path = FieldPath::root("target");
    let kind = check::text(binding, &["target", "kind"]);
    if !matches!(kind, "" | "Node") {
        errors.push(FieldError::not_supported(&path.child("kind"), &kind.into(), &["Node", "<empty>"]));
    }
    check::required(&mut errors, &path.child("name"), check::text(binding, &["target", "name"]));
    errors
}

/// Several errors as one text.
fn aggregate(errors: &FieldErrors) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }
}

fn conflict(name: &str, message: String) -> ApiError {
    ApiError::Conflict { resource: GroupResource::new("", "pods/binding"), name: name.to_owned(), message }
}

/// The pod on the binding's node; the text says why it cannot be there.
fn assigned(mut pod: Value, binding: &Value, now: &str) -> Result<Value, String> {
    let metadata = ObjectMeta::of(&pod);
    let name = metadata.name();
    if metadata.deletion_timestamp().is_some() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = check::text(&pod, &["spec", "nodeName"]);
    if !node.is_empty() {
        return Err(format!("pod {name} is already assigned to node {}", meta::field::quoted(node)));
    }
    if !pod.list_at(&["spec", "schedulingGates"]).is_empty() {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod.set(&["spec", "nodeName"], check::text(binding, &["target", "name"]));
    let given = ObjectMeta::of(binding);
    merge(&mut pod, "annotations", given.annotations(), true);
    merge(&mut pod, "labels", given.labels(), false);
    pod_condition::update(&mut pod, Map::from([("type", "PodScheduled"), ("status", "True")]), now);
    // The node that was to be made free for it is of no interest any more.
    pod.remove(&["status", "nominatedNodeName"]);
    Ok(pod)
}

/// Takes over what a binding says in its own metadata.
fn merge(pod: &mut Value, field: &'static str, given: &Map, overwrite: bool) {
    for (key, value) in given.iter() {
        let own = pod.ensure_map(&["metadata", field]);
        if overwrite || !own.contains_key(key) {
            own.insert(key, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> Value {
        let mut binding = Value::map();
        binding.set(&["target"], Map::from([("kind", "Node"), ("name", "n")]));
        binding.set(&["metadata", "labels"], Map::from([("a", "binding"), ("b", "binding")]));
        binding.set(&["metadata", "annotations"], Map::from([("a", "binding")]));
        binding
    }

    fn pod() -> Value {
        let mut pod = Value::map();
        pod.set(&["metadata", "name"], "p");
        pod.set(&["metadata", "labels"], Map::from([("a", "pod")]));
        pod.set(&["metadata", "annotations"], Map::from([("a", "pod")]));
        pod.set(&["status", "nominatedNodeName"], "m");
        pod
    }

    #[test]
    fn bindings_are_created_and_nothing_else() {
        let binding = definition();
        assert_eq!(binding.verbs, ["create"]);
        assert!(binding.storage().is_none() && binding.action("").is_some());
    }

    #[test]
    fn a_bound_pod_has_a_node_and_says_that_it_is_scheduled() {
        let pod = assigned(pod(), &binding(), "now").expect("may be bound");
        assert_eq!(pod.str_at(&["spec", "nodeName"]), Some("n"));
        assert!(pod_condition::is_true(&pod, "PodScheduled"));
        assert_eq!(pod.at(&["status", "nominatedNodeName"]), None);
        assert_eq!(ObjectMeta::of(&pod).annotations().str("a"), Some("binding"));
        assert_eq!(ObjectMeta::of(&pod).labels().str("a"), Some("pod"), "labels are not overwritten");
        assert_eq!(ObjectMeta::of(&pod).labels().str("b"), Some("binding"));
    }

    #[test]
    fn a_pod_that_is_bound_gated_or_going_is_not_bound() {
        let with = |path: &[&'static str], value: Value| {
            let mut pod = pod();
            pod.set(path, value);
            assigned(pod, &binding(), "now").expect_err("must not be bound")
        };
        assert_eq!(with(&["spec", "nodeName"], "o".into()), "pod p is already assigned to node \"o\"");
        let gates = vec![Map::from([("name", "g")])];
        assert_eq!(
            with(&["spec", "schedulingGates"], gates.into()),
            "pod p has non-empty .spec.schedulingGates"
        );
        let refused = with(&["metadata", "deletionTimestamp"], "2024-01-01T00:00:00Z".into());
        assert_eq!(refused, "pod p is being deleted, cannot be assigned to a host");
    }

    #[test]
    fn a_target_is_a_node_with_a_name() {
        let mut binding = binding();
        binding.set(&["target"], Map::from([("kind", "Pod"), ("name", "")]));
        assert_eq!(
            aggregate(&validate(&binding)),
            "[target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\", target.name: \
             Required value]"
        );
    }
}
