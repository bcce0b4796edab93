//! Validation of changes of a pod: of the pod itself, of its ephemeral
//! containers, and of its resources. Its status is judged in `pod_status`.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use schema::{Map, Value};

use super::pod_validation::{MIRROR, annotations, metadata_and_spec, tolerations};
use super::rules::{ID_MAX, present};
use super::{pod_containers, pod_resources, pod_security};
use crate::{check, defaults, diff, go_form};

const POD_SPEC: &str = "io.k8s.api.core.v1.PodSpec";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

/// A changed pod: only a few fields may change.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = metadata_and_spec(object);
    changed_annotations(object, old, &mut errors);
    let path = FieldPath::root("spec");
    for list in ["containers", "initContainers"] {
        let path = path.child(list);
        let containers = object.list_at(&["spec", list]);
        if containers.len() != old.list_at(&["spec", list]).len() {
            // What follows would only repeat this.
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(&path, detail));
            return errors;
        }
        for (i, container) in containers.iter().enumerate() {
            let path = path.index(i);
            check::required(&mut errors, &path.child("image"), check::text(container, &["image"]));
            pod_containers::untrimmed_image(container, &path, &mut errors);
        }
    }
    if !deadline(object, old, &path.child("activeDeadlineSeconds"), &mut errors) {
        return errors;
    }
    added_tolerations(object, old, &path.child("tolerations"), &mut errors);
    added_gates(object, old, &path, &mut errors);
    if !check::same(object.at(&["spec"]), old.at(&["spec"])) {
        fixed_fields(object, old, &path, &mut errors);
    }
    errors
}

/// Annotations that stand for fixed fields are fixed, too.
pub(super) fn changed_annotations(object: &Value, old: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::root("metadata").child("annotations");
    let (new, before) = (ObjectMeta::of(object).annotations(), ObjectMeta::of(old).annotations());
    let what = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        key if key.starts_with(pod_security::APPARMOR_CONTAINER) => Some("AppArmor annotations"),
        _ => None,
    };
    for (key, _) in before.iter().filter(|(key, value)| new.get(key) != Some(*value)) {
        if let Some(what) = what(key) {
            errors.push(FieldError::forbidden(&path.key(key), format!("may not remove or update {what}")));
        }
    }
    for key in new.keys().filter(|key| !before.contains_key(key)) {
        if let Some(what) = what(key) {
            errors.push(FieldError::forbidden(&path.key(key), format!("may not add {what}")));
        }
    }
    annotations(object, &path, errors);
}

/// False if what is left need not be looked at.
fn deadline(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) -> bool {
    let seconds = |pod: &Value| pod.int_at(&["spec", "activeDeadlineSeconds"]);
    match (seconds(object), seconds(old)) {
        (Some(new), _) if !(0..=ID_MAX).contains(&new) => {
            let detail = format!("must be between 0 and {ID_MAX}, inclusive");
            errors.push(FieldError::invalid(path, &new.into(), detail));
            false
        }
        (Some(new), Some(before)) if new > before => {
            let detail = "must be less than or equal to previous value";
            errors.push(FieldError::invalid(path, &new.into(), detail));
            false
        }
        (None, Some(_)) => {
            let detail = "must not update from a positive integer to nil value";
            errors.push(FieldError::invalid(path, &Value::Null, detail));
            true
        }
        _ => true,
    }
}

fn added_gates(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let before: BTreeSet<&str> =
        old.list_at(&["spec", "schedulingGates"]).iter().map(|gate| check::text(gate, &["name"])).collect();
    for (i, gate) in object.list_at(&["spec", "schedulingGates"]).iter().enumerate() {
        let name = check::text(gate, &["name"]);
        if !before.contains(name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            errors.push(FieldError::forbidden(&path.child("schedulingGates").index(i).child("name"), detail));
        }
    }
}

fn added_tolerations(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let new = object.list_at(&["spec", "tolerations"]);
    let same_but_seconds = |a: &Value, b: &Value| {
        ["key", "operator", "value", "effect"]
            .iter()
            .all(|key| check::text(a, &[key]) == check::text(b, &[key]))
    };
    let before = old.list_at(&["spec", "tolerations"]);
    if before.iter().all(|toleration| new.iter().any(|other| same_but_seconds(toleration, other))) {
        tolerations(new, path, errors);
    } else {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden(path, detail));
    }
}

/// What nobody may change; refused with what differs.
fn fixed_fields(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let empty = Value::map();
    let before = old.at(&["spec"]).unwrap_or(&empty);
    let mut wanted = object.at(&["spec"]).cloned().unwrap_or_default();
    for list in ["containers", "initContainers"] {
        let images: Vec<Option<Value>> =
            before.list_at(&[list]).iter().map(|container| container.get("image").cloned()).collect();
        for (container, image) in defaults::items(&mut wanted, list).zip(images) {
            keep(container, "image", image.as_ref());
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        keep(&mut wanted, field, before.get(field));
    }
    let grace = |spec: &Value| spec.int_at(&["terminationGracePeriodSeconds"]);
    if grace(before).is_some_and(|seconds| seconds < 0) && grace(&wanted) == Some(1) {
        keep(&mut wanted, "terminationGracePeriodSeconds", before.get("terminationGracePeriodSeconds"));
    }
    if !before.list_at(&["schedulingGates"]).is_empty() {
        gated_fields(&mut wanted, before, path, errors);
    }
    if !check::same(Some(&wanted), Some(before)) {
        let fields = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                      `spec.tolerations` (only additions to existing tolerations),\
                      `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        let difference = diff::of_type(POD_SPEC, before, &wanted);
        let detail = format!("pod updates may not change fields other than {fields}\n{difference}");
        errors.push(FieldError::forbidden(path, detail));
    }
}

/// Takes a field from what was before, also when it is absent there.
fn keep(object: &mut Value, field: &'static str, before: Option<&Value>) {
    match before {
        Some(value) => object.set(&[field], value.clone()),
        None => drop(object.remove(&[field])),
    }
}

/// Where a pod may run can be narrowed while it is not scheduled.
fn gated_fields(wanted: &mut Value, before: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    added_node_selector(wanted, before, &path.child("nodeSelector"), errors);
    keep(wanted, "nodeSelector", before.get("nodeSelector"));
    let affinity = |spec: &Value| spec.at(&["affinity", "nodeAffinity"]).cloned();
    let (new, old) = (affinity(wanted), affinity(before));
    if check::same(new.as_ref(), old.as_ref()) {
        return;
    }
    narrowed_affinity(new.as_ref(), old.as_ref(), &path.child("affinity.nodeAffinity"), errors);
    match old {
        Some(old) => wanted.set(&["affinity", "nodeAffinity"], old),
        None => drop(wanted.remove(&["affinity", "nodeAffinity"])),
    }
    if before.get("affinity").is_none() && wanted.map_at(&["affinity"]).is_some_and(Map::is_empty) {
        wanted.remove(&["affinity"]);
    }
}

fn added_node_selector(wanted: &Value, before: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let new = wanted.map_at(&["nodeSelector"]);
    let mut old = before.map_at(&["nodeSelector"]).into_iter().flat_map(Map::iter);
    if old.any(|(key, value)| new.and_then(|new| new.get(key)) != Some(value)) {
        let shown = new.map_or(Value::Null, |new| Value::Map(new.clone()));
        let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(FieldError::invalid(path, &shown, detail));
    }
}

fn narrowed_affinity(new: Option<&Value>, old: Option<&Value>, path: &FieldPath, errors: &mut FieldErrors) {
    const TERM: &str = "io.k8s.api.core.v1.NodeSelectorTerm";
    let terms = |affinity: Option<&Value>| {
        affinity
            .map(|affinity| affinity.list_at(&[REQUIRED, "nodeSelectorTerms"]).to_vec())
            .unwrap_or_default()
    };
    let (new, old) = (terms(new), terms(old));
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    if !old.is_empty() && old.len() != new.len() {
        let shown = if new.is_empty() { "null".to_owned() } else { go_form::show_list(TERM, &new) };
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        errors.push(check::invalid_shown(&path, shown, detail));
        return;
    }
    for (i, (new, _)) in new.iter().zip(&old).enumerate().filter(|(_, (new, old))| !only_adds(new, old)) {
        let shown = go_form::show(TERM, Some(new));
        let detail = "only additions are allowed (no mutations or deletions)";
        errors.push(check::invalid_shown(&path.index(i), shown, detail));
    }
}

fn only_adds(new: &Value, old: &Value) -> bool {
    const LISTS: [&str; 2] = ["matchExpressions", "matchFields"];
    let empty = |term: &Value| LISTS.iter().all(|list| term.list_at(&[list]).is_empty());
    // A term without requirements selects nothing; one more requirement would make it select something.
    if empty(old) && !empty(new) {
        return false;
    }
    LISTS.iter().all(|list| {
        let (new, old) = (new.list_at(&[list]), old.list_at(&[list]));
        new.len() >= old.len() && new.iter().zip(old).all(|(new, old)| check::same(Some(new), Some(old)))
    })
}

/// Changed ephemeral containers: they only grow in number.
pub(super) fn ephemeral_containers_update(object: &Value, old: &Value) -> FieldErrors {
    const TYPE: &str = "io.k8s.api.core.v1.EphemeralContainer";
    if ObjectMeta::of(old).annotations().contains_key(MIRROR) {
        return on_the_whole("static pods do not support ephemeral containers");
    }
    let mut errors = metadata_and_spec(object);
    changed_annotations(object, old, &mut errors);
    let path = FieldPath::root("spec").child("ephemeralContainers");
    let new = object.list_at(&["spec", "ephemeralContainers"]);
    for container in old.list_at(&["spec", "ephemeralContainers"]) {
        let name = check::text(container, &["name"]);
        let quoted = meta::field::quoted(name);
        match new.iter().find(|now| check::text(now, &["name"]) == name) {
            None => {
                let detail = format!("existing ephemeral containers {quoted} may not be removed\n");
                errors.push(FieldError::forbidden(&path, detail));
            }
            Some(now) if !check::same(Some(now), Some(container)) => {
                let difference = diff::of_type(TYPE, container, now);
                let detail =
                    format!("existing ephemeral containers {quoted} may not be changed\n{difference}");
                errors.push(FieldError::forbidden(&path, detail));
            }
            Some(_) => {}
        }
    }
    errors
}

/// A refusal that concerns no single field. The original prints such a path as an empty list.
fn on_the_whole(detail: &str) -> FieldErrors {
    vec![FieldError::forbidden(&FieldPath::root("[]"), detail)]
}

/// Changed resources of a pod that may run already.
pub(super) fn resize(object: &Value, old: &Value) -> FieldErrors {
    if ObjectMeta::of(old).annotations().contains_key(MIRROR) {
        return on_the_whole("static pods cannot be resized");
    }
    if old.str_at(&["spec", "os", "name"]) == Some("windows") {
        return on_the_whole("windows pods cannot be resized");
    }
    let mut errors = metadata_and_spec(object);
    let path = FieldPath::root("spec");
    let class = pod_resources::qos_class(object.at(&["spec"]));
    let before = old.str_at(&["status", "qosClass"]).filter(|class| !class.is_empty());
    if before.unwrap_or_else(|| pod_resources::qos_class(old.at(&["spec"]))) != class {
        let shown = check::text(object, &["status", "qosClass"]);
        let detail = "Pod QOS Class may not change as a result of resizing";
        errors.push(FieldError::invalid_str(&path, shown, detail));
    }
    if !node_can_resize(old) {
        errors.push(FieldError::forbidden(&path, "Pod running on node without support for resize"));
    }
    resized_containers(object, old, &path, &mut errors);
    errors
}

/// A kubelet that reports the resources of running containers can change them.
fn node_can_resize(pod: &Value) -> bool {
    let mut running = pod
        .list_at(&["status", "containerStatuses"])
        .iter()
        .filter(|status| status.at(&["state", "running"]).is_some_and(|state| !state.is_null()));
    running.next().is_none_or(|status| present(status, "resources").is_some())
}

fn resized_containers(object: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for list in ["initContainers", "containers"] {
        let pairs = object.list_at(&["spec", list]).iter().zip(old.list_at(&["spec", list]));
        for (i, (new, before)) in pairs.enumerate() {
            let init = list == "initContainers";
            if init && !pod_resources::is_sidecar(before) {
                continue;
            }
            removed_resources(new, before, &path.child(list).index(i).child("resources"), errors);
        }
    }
    for (list, text, init_text) in [
        ("containers", "only cpu and memory resources are mutable", ""),
        (
            "initContainers",
            "only cpu and memory resources for sidecar containers are mutable",
            "resources for non-sidecar init containers are immutable",
        ),
    ] {
        for (new, before) in object.list_at(&["spec", list]).iter().zip(old.list_at(&["spec", list])) {
            let free = list == "containers" || pod_resources::is_sidecar(before);
            let (now, text) =
                if free { (with_compute_of(new, before), text) } else { (new.clone(), init_text) };
            if !check::same(Some(&now), Some(before)) {
                errors.push(FieldError::forbidden(path, text));
            }
        }
    }
}

fn removed_resources(new: &Value, old: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for (list, text) in
        [("requests", "resource requests cannot be removed"), ("limits", "resource limits cannot be removed")]
    {
        let of = |container: &Value| container.map_at(&["resources", list]).cloned().unwrap_or_default();
        let (new, old) = (of(new), of(old));
        if old.keys().any(|name| !new.contains_key(name)) {
            errors.push(FieldError::forbidden(&path.child(list), text));
        }
    }
}

/// The container with the processor and memory, and the policies, it had before.
fn with_compute_of(new: &Value, before: &Value) -> Value {
    let mut container = new.clone();
    for list in ["limits", "requests"] {
        for name in ["cpu", "memory"] {
            match before.at(&["resources", list, name]) {
                Some(amount) => {
                    let amount = amount.clone();
                    container.ensure_map(&["resources", list]).insert(name, amount);
                }
                None => drop(container.remove(&["resources", list, name])),
            }
        }
    }
    keep(&mut container, "resizePolicy", before.get("resizePolicy"));
    container
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn texts(errors: FieldErrors) -> Vec<String> {
        errors.iter().map(ToString::to_string).collect()
    }

    fn pod(spec: &str) -> Value {
        let mut object = object(&format!(r#"{{"metadata":{{"name":"p"}},"spec":{spec}}}"#));
        object.set_default(&["spec", "containers"], vec![Map::from([("name", "c"), ("image", "a:1")])]);
        defaults::pod::pod(object.at_mut(&["spec"]).expect("just set"));
        object
    }

    #[test]
    fn few_things_of_a_pod_may_change() {
        let other_image = r#"{"containers":[{"name":"c","image":"a:2","imagePullPolicy":"IfNotPresent"}]}"#;
        for (old, new, expected) in [
            ("{}", other_image, None),
            (r#"{"activeDeadlineSeconds":50}"#, r#"{"activeDeadlineSeconds":20}"#, None),
            (
                r#"{"activeDeadlineSeconds":50}"#,
                r#"{"activeDeadlineSeconds":60}"#,
                Some(
                    "spec.activeDeadlineSeconds: Invalid value: 60: must be less than or equal to previous value",
                ),
            ),
            (
                r#"{"activeDeadlineSeconds":50}"#,
                "{}",
                Some(
                    "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer",
                ),
            ),
            (
                "{}",
                r#"{"nodeName":"n"}"#,
                Some("spec: Forbidden: pod updates may not change fields other than"),
            ),
            ("{}", r#"{"tolerations":[{"operator":"Exists"}]}"#, None),
            (
                r#"{"tolerations":[{"operator":"Exists"}]}"#,
                "{}",
                Some(
                    "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
                ),
            ),
            (
                "{}",
                r#"{"schedulingGates":[{"name":"g"}]}"#,
                Some(
                    "spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'",
                ),
            ),
            (r#"{"schedulingGates":[{"name":"g"}]}"#, r#"{"nodeSelector":{"a":"b"}}"#, None),
            (
                r#"{"schedulingGates":[{"name":"g"}],"nodeSelector":{"a":"b"}}"#,
                r#"{"nodeSelector":{"a":"c"}}"#,
                Some(
                    "spec.nodeSelector: Invalid value: {\"a\":\"c\"}: only additions to spec.nodeSelector are allowed",
                ),
            ),
            (
                "{}",
                r#"{"containers":[{"name":"c","image":"a:1"},{"name":"d","image":"a:1"}]}"#,
                Some("spec.containers: Forbidden: pod updates may not add or remove containers"),
            ),
            (r#"{"terminationGracePeriodSeconds":-1}"#, r#"{"terminationGracePeriodSeconds":1}"#, None),
        ] {
            let found = texts(update(&pod(new), &pod(old)));
            let agree = match expected {
                Some(start) => found.len() == 1 && found[0].starts_with(start),
                None => found.is_empty(),
            };
            assert!(agree, "{old} to {new}: {found:?}");
        }
    }

    #[test]
    fn a_refused_change_is_shown() {
        let found = texts(update(
            &pod(r#"{"terminationGracePeriodSeconds":1}"#),
            &pod(r#"{"terminationGracePeriodSeconds":30}"#),
        ));
        let shown = " \"RestartPolicy\": \"Always\",\n- \"TerminationGracePeriodSeconds\": 30,\n+ \"TerminationGracePeriodSeconds\": 1,\n";
        assert!(found[0].contains(shown), "{found:?}");
    }

    #[test]
    fn affinity_to_nodes_is_narrowed_while_a_pod_is_gated() {
        let gated = |terms: &str| {
            let affinity = format!(r#"{{"nodeAffinity":{{"{REQUIRED}":{{"nodeSelectorTerms":{terms}}}}}}}"#);
            pod(&format!(r#"{{"schedulingGates":[{{"name":"g"}}],"affinity":{affinity}}}"#))
        };
        let [a, b] = ["a", "b"].map(|key| format!(r#"{{"key":"{key}","operator":"Exists"}}"#));
        let one = gated(&format!(r#"[{{"matchExpressions":[{a}]}}]"#));
        let narrower = gated(&format!(r#"[{{"matchExpressions":[{a},{b}]}}]"#));
        let other = gated(&format!(r#"[{{"matchExpressions":[{b}]}}]"#));
        let more = gated(&format!(r#"[{{"matchExpressions":[{a}]}},{{"matchExpressions":[{b}]}}]"#));
        assert_eq!(update(&narrower, &one), []);
        assert!(
            texts(update(&other, &one))[0]
                .ends_with("only additions are allowed (no mutations or deletions)")
        );
        assert!(texts(update(&more, &one))[0].ends_with("list are allowed"));
    }

    #[test]
    fn a_resize_keeps_the_class_and_all_resources() {
        let sized = |requests: &str| {
            pod(&format!(
                r#"{{"containers":[{{"name":"c","image":"a:1","resources":{{"requests":{requests},"limits":{{"cpu":"4",
                    "memory":"4Gi"}}}}}}]}}"#
            ))
        };
        let old = sized(r#"{"cpu":"1","memory":"1Gi"}"#);
        assert_eq!(resize(&sized(r#"{"cpu":"2","memory":"1Gi"}"#), &old), []);
        let guaranteed = texts(resize(&sized(r#"{"cpu":"4","memory":"4Gi"}"#), &old));
        assert!(
            guaranteed[0].ends_with("Pod QOS Class may not change as a result of resizing"),
            "{guaranteed:?}"
        );
        let more = texts(resize(&sized(r#"{"cpu":"1","memory":"1Gi","ephemeral-storage":"1Gi"}"#), &old));
        assert_eq!(more, ["spec: Forbidden: only cpu and memory resources are mutable"]);
    }

    #[test]
    fn ephemeral_containers_stay_as_they_were() {
        let with = |containers: &str| pod(&format!(r#"{{"ephemeralContainers":{containers}}}"#));
        let one = with(r#"[{"name":"e","image":"i"}]"#);
        assert_eq!(
            ephemeral_containers_update(
                &with(r#"[{"name":"e","image":"i"},{"name":"f","image":"i"}]"#),
                &one
            ),
            []
        );
        let gone = texts(ephemeral_containers_update(&pod("{}"), &one));
        assert_eq!(
            gone,
            ["spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n"]
        );
        let changed = texts(ephemeral_containers_update(&with(r#"[{"name":"e","image":"j"}]"#), &one));
        assert!(changed[0].contains("may not be changed\n@@ -"), "{changed:?}");
    }
}
