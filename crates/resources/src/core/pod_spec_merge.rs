//! Changes the server itself makes to a pod's spec: what subresources take
//! over, and selectors that name label keys instead of values.

use meta::ObjectMeta;
use schema::{Map, Value};

use crate::defaults;

/// Takes only the ephemeral containers of `object`; the rest is `old`'s.
pub(super) fn ephemeral_containers(object: &mut Value, old: &Value) {
    let containers = object.at(&["spec", "ephemeralContainers"]).cloned();
    let version = object.at(&["metadata", "resourceVersion"]).cloned();
    let mut merged = old.clone();
    match containers {
        Some(containers) => merged.set(&["spec", "ephemeralContainers"], containers),
        None => drop(merged.remove(&["spec", "ephemeralContainers"])),
    }
    // Whether the client has seen the newest version is judged later.
    if let Some(version) = version {
        merged.set(&["metadata", "resourceVersion"], version);
    }
    *object = merged;
}

/// Takes only resources and resize policies of `object`; the rest is `old`'s.
pub(super) fn resized(object: &mut Value, old: &Value) {
    let mut merged = old.clone();
    if let Some(version) = object.at(&["metadata", "resourceVersion"]).cloned() {
        merged.set(&["metadata", "resourceVersion"], version);
    }
    for list in ["containers", "initContainers"] {
        let sent: Vec<Value> = object.list_at(&["spec", list]).to_vec();
        let Some(spec) = defaults::object(&mut merged, "spec") else { continue };
        for container in defaults::items(spec, list) {
            let name = container.str_at(&["name"]).map(str::to_owned);
            let Some(sent) = sent.iter().find(|sent| sent.str_at(&["name"]) == name.as_deref()) else {
                continue;
            };
            for field in ["resources", "resizePolicy"] {
                match sent.get(field) {
                    Some(value) => container.set(&[field], value.clone()),
                    None => drop(container.remove(&[field])),
                }
            }
        }
    }
    if let Some(whole) = object.at(&["spec", "resources"]) {
        merged.set(&["spec", "resources"], whole.clone());
    }
    *object = merged;
}

/// Drops fields of features that are off by default; a new pod or template has none of them.
pub(crate) fn drop_disabled_fields(spec: &mut Value) {
    for volume in defaults::items(spec, "volumes") {
        let Some(projected) = defaults::object(volume, "projected") else { continue };
        for source in defaults::items(projected, "sources") {
            source.remove(&["clusterTrustBundle"]);
        }
    }
    for list in defaults::pod::CONTAINER_LISTS {
        for container in defaults::items(spec, list) {
            container.remove(&["lifecycle", "stopSignal"]);
            if container.map_at(&["lifecycle"]).is_some_and(Map::is_empty) {
                container.remove(&["lifecycle"]);
            }
        }
    }
}

/// `matchLabelKeys` and `mismatchLabelKeys` become requirements on the pod's own labels.
pub(super) fn label_keys(object: &mut Value) {
    let labels = ObjectMeta::of(object).labels().clone();
    let Some(spec) = defaults::object(object, "spec") else { return };
    for constraint in defaults::items(spec, "topologySpreadConstraints") {
        merge_keys(constraint, &labels, "matchLabelKeys", "In");
    }
    let Some(affinity) = defaults::object(spec, "affinity") else { return };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(kind) = defaults::object(affinity, kind) else { continue };
        for term in defaults::items(kind, "requiredDuringSchedulingIgnoredDuringExecution") {
            merge_affinity_term(term, &labels);
        }
        for weighted in defaults::items(kind, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = defaults::object(weighted, "podAffinityTerm") {
                merge_affinity_term(term, &labels);
            }
        }
    }
}

fn merge_affinity_term(term: &mut Value, labels: &Map) {
    merge_keys(term, labels, "matchLabelKeys", "In");
    merge_keys(term, labels, "mismatchLabelKeys", "NotIn");
}

fn merge_keys(holder: &mut Value, labels: &Map, keys: &str, operator: &str) {
    if holder.map_at(&["labelSelector"]).is_none() {
        return;
    }
    let keys: Vec<String> =
        holder.list_at(&[keys]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    for key in keys {
        let Some(value) = labels.str(&key) else { continue };
        let requirement = Map::from([
            ("key", Value::from(key.as_str())),
            ("operator", operator.into()),
            ("values", vec![value].into()),
        ]);
        let mut expressions = holder.list_at(&["labelSelector", "matchExpressions"]).to_vec();
        expressions.push(requirement.into());
        holder.set(&["labelSelector", "matchExpressions"], Value::List(expressions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_keys_become_requirements_on_the_pods_own_labels() {
        let constraint =
            Map::from([("labelSelector", Value::map()), ("matchLabelKeys", vec!["v", "missing"].into())]);
        let mut object = Value::map();
        object.set(&["metadata", "labels"], Map::from([("v", "1")]));
        object.set(&["spec", "topologySpreadConstraints"], vec![constraint]);
        label_keys(&mut object);
        let constraint = &object.list_at(&["spec", "topologySpreadConstraints"])[0];
        let expressions = constraint.list_at(&["labelSelector", "matchExpressions"]);
        assert_eq!(expressions.len(), 1);
        assert_eq!(expressions[0].list_at(&["values"]), [Value::from("1")]);
    }

    #[test]
    fn a_resize_changes_nothing_but_resources() {
        let container = |cpu: &str, image: &str| {
            let resources = Map::from([("requests", Map::from([("cpu", cpu)]))]);
            Map::from([("name", Value::from("c")), ("image", image.into()), ("resources", resources.into())])
        };
        let pod = |container: Map| {
            let mut object = Value::map();
            object.set(&["spec", "containers"], vec![container]);
            object
        };
        let mut object = pod(container("2", "other"));
        resized(&mut object, &pod(container("1", "image")));
        assert_eq!(object, pod(container("2", "image")));
    }
}
