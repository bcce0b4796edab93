//! `nodes`: machines that pods run on. Stored under the name they had first, `minions`.

use std::collections::BTreeSet;

use meta::{FieldErrors, GroupVersionKind, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy, Subresource};
use schema::Value;

use super::node_validation;
use crate::{defaults, print};

/// `nodes`.
pub fn definition() -> ResourceDef {
    let proxy = GroupVersionKind::new("", "v1", "NodeProxyOptions");
    let resource = ResourceDef {
        namespaced: false,
        short_names: vec!["no".into()],
        keeps_status_on_create: true,
        subresources: vec![
            Subresource::connect("proxy", proxy, &["create", "delete", "get", "patch", "update"]),
            Subresource::status(),
        ],
        columns: vec![
            Column::name(),
            Column::string("Status"),
            Column::string("Roles"),
            Column::string("Age"),
            Column::string("Version"),
            Column::string("Internal-IP").wide(),
            Column::string("External-IP").wide(),
            Column::string("OS-Image").wide(),
            Column::string("Kernel-Version").wide(),
            Column::string("Container-Runtime").wide(),
        ],
        selectable_fields: vec!["spec.unschedulable".into()],
        ..ResourceDef::stored("", "v1", "nodes", "Node", Node)
    };
    crate::with_prefix(resource, "minions")
}

struct Node;

impl Strategy for Node {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = defaults::object(object, "spec") {
            pod_ranges(spec);
        }
        if let Some(status) = defaults::object(object, "status") {
            // What a node can give is what it has, unless it says otherwise.
            if defaults::is_empty(status.get("allocatable"))
                && let Some(capacity) =
                    status.get("capacity").filter(|map| !defaults::is_empty(Some(map))).cloned()
            {
                status.set(&["allocatable"], capacity);
            }
            for list in ["capacity", "allocatable"] {
                defaults::resources::round(status.get_mut(list));
            }
        }
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        drop_config_source(object, old);
    }

    fn prepare_for_status_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        if old.at(&["status", "config"]).is_none() {
            object.remove(&["status", "config"]);
        }
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        drop_config_source(object, &Value::Null);
        object.remove(&["status", "config"]);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        node_validation::create(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        node_validation::update(object, old)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        node_validation::change(object, old)
    }

    fn warnings_on_create(&self, _: &RequestContext, object: &Value) -> Vec<String> {
        warnings(object)
    }

    fn warnings_on_update(&self, _: &RequestContext, object: &Value, _: &Value) -> Vec<String> {
        warnings(object)
    }

    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "spec.unschedulable" => {
                object.bool_at(&["spec", "unschedulable"]).unwrap_or_default().to_string()
            }
            _ => String::new(),
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let info = |key: &str| print::text(object, &["status", "nodeInfo", key]);
        let known = |text: String| if text.is_empty() { "<unknown>".to_owned() } else { text };
        let kernel = match (info("kernelVersion"), info("architecture")) {
            (kernel, architecture) if kernel.is_empty() || architecture.is_empty() => known(kernel),
            (kernel, architecture) => format!("{kernel} ({architecture})"),
        };
        vec![
            print.name(object).into(),
            condition(object).into(),
            roles(object).into(),
            print.age(object).into(),
            info("kubeletVersion").into(),
            address(object, "InternalIP").into(),
            address(object, "ExternalIP").into(),
            known(info("osImage")).into(),
            kernel.into(),
            known(info("containerRuntimeVersion")).into(),
        ]
    }
}

/// The single and the plural form of the pod range name the same first range.
fn pod_ranges(spec: &mut Value) {
    let single = print::text(spec, &["podCIDR"]);
    let plural = spec.list_at(&["podCIDRs"]);
    if plural.is_empty() && !single.is_empty() {
        spec.set(&["podCIDRs"], vec![single]);
    } else if !plural.is_empty() && plural[0].as_str() != Some(&single) {
        if single.is_empty() {
            let first = plural[0].clone();
            spec.set(&["podCIDR"], first);
        } else {
            // A client that knows only the single form has changed it.
            spec.set(&["podCIDRs"], vec![single]);
        }
    }
}

/// Dynamic kubelet configuration is gone; what stands stays, nothing new is taken.
fn drop_config_source(object: &mut Value, old: &Value) {
    if old.at(&["spec", "configSource"]).is_none() {
        object.remove(&["spec", "configSource"]);
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if object.at(&["spec", "configSource"]).is_some() {
        warnings.push("spec.configSource: the feature is removed".to_owned());
    }
    if object.str_at(&["spec", "externalID"]).is_some_and(|id| !id.is_empty()) {
        warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
    }
    warnings
}

fn condition(object: &Value) -> String {
    let conditions = object.list_at(&["status", "conditions"]);
    let ready = conditions.iter().rfind(|condition| condition.str_at(&["type"]) == Some("Ready"));
    let mut text = match ready.map(|condition| condition.str_at(&["status"]) == Some("True")) {
        Some(true) => "Ready".to_owned(),
        Some(false) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if object.bool_at(&["spec", "unschedulable"]) == Some(true) {
        text.push_str(",SchedulingDisabled");
    }
    text
}

fn roles(object: &Value) -> String {
    let mut roles = BTreeSet::new();
    for (key, value) in ObjectMeta::of(object).labels().iter() {
        let role = match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => role,
            None if key == "kubernetes.io/role" => value.as_str().unwrap_or_default(),
            None => "",
        };
        if !role.is_empty() {
            roles.insert(role);
        }
    }
    print::or_none(&roles.into_iter().collect::<Vec<_>>().join(","))
}

fn address(object: &Value, kind: &str) -> String {
    let addresses = object.list_at(&["status", "addresses"]);
    let found = addresses.iter().find(|address| address.str_at(&["type"]) == Some(kind));
    print::or_none(found.and_then(|address| address.str_at(&["address"])).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn both_forms_of_the_pod_range_are_kept_equal() {
        let mut spec = Value::from(Map::from([("podCIDR", "10.0.0.0/24")]));
        pod_ranges(&mut spec);
        assert_eq!(spec.list_at(&["podCIDRs"]), [Value::from("10.0.0.0/24")]);
        let mut spec = Value::from(Map::from([("podCIDRs", vec!["10.0.0.0/24"])]));
        pod_ranges(&mut spec);
        assert_eq!(spec.str_at(&["podCIDR"]), Some("10.0.0.0/24"));
    }

    #[test]
    fn condition_and_roles_are_read_from_status_and_labels() {
        let mut node = Value::map();
        node.set(
            &["metadata", "labels"],
            Map::from([("node-role.kubernetes.io/worker", ""), ("kubernetes.io/role", "x")]),
        );
        node.set(&["spec", "unschedulable"], true);
        assert_eq!(condition(&node), "Unknown,SchedulingDisabled");
        node.set(&["status", "conditions"], vec![Map::from([("type", "Ready"), ("status", "True")])]);
        assert_eq!(condition(&node), "Ready,SchedulingDisabled");
        assert_eq!(roles(&node), "worker,x");
    }
}
