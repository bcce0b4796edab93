//! Validation of affinity: to nodes and to other pods.

use std::collections::BTreeSet;

use meta::validation::{is_dns1123_label, is_dns1123_subdomain, is_label_value, is_qualified_name};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::rules::present;
use crate::{check, print, validation};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The affinity of a pod spec.
pub(super) fn affinity(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(affinity) = spec.at(&["affinity"]).filter(|affinity| !affinity.is_null()) else { return };
    if let Some(node) = affinity.at(&["nodeAffinity"]) {
        node_affinity(node, &path.child("nodeAffinity"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(pods) = affinity.at(&[kind]) else { continue };
        let path = path.child(kind);
        for (i, term) in pods.list_at(&[REQUIRED]).iter().enumerate() {
            pod_term(term, &path.child(REQUIRED).index(i), errors);
        }
        for (i, weighted) in pods.list_at(&[PREFERRED]).iter().enumerate() {
            let path = path.child(PREFERRED).index(i);
            weight(weighted, &path, errors);
            if let Some(term) = weighted.at(&["podAffinityTerm"]) {
                pod_term(term, &path.child("podAffinityTerm"), errors);
            }
        }
    }
}

fn weight(weighted: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let weight = print::int(weighted, &["weight"]);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(&path.child("weight"), &weight.into(), "must be in the range 1-100"));
    }
}

fn pod_term(term: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for selector in ["labelSelector", "namespaceSelector"] {
        validation::label_selector(term.at(&[selector]), &path.child(selector), errors);
    }
    for namespace in term.list_at(&["namespaces"]) {
        let name = namespace.as_str().unwrap_or_default();
        check::messages(errors, &path.child("namespace"), name, is_dns1123_label(name));
    }
    label_keys(term, "matchLabelKeys", path, errors);
    label_keys(term, "mismatchLabelKeys", path, errors);
    for (i, key) in keys_selected_twice(term) {
        // The original leaves the name of the list out of this path.
        let detail = "exists in both matchLabelKeys and labelSelector";
        errors.push(FieldError::invalid_str(&path.index(i), key, detail));
    }
    for (i, key) in term.list_at(&["matchLabelKeys"]).iter().enumerate() {
        if term.list_at(&["mismatchLabelKeys"]).contains(key) {
            let path = path.child("matchLabelKeys").index(i);
            errors.push(FieldError::invalid(
                &path,
                key,
                "exists in both matchLabelKeys and mismatchLabelKeys",
            ));
        }
    }
    let key = check::text(term, &["topologyKey"]);
    let path = path.child("topologyKey");
    if key.is_empty() {
        errors.push(FieldError::required(&path, "can not be empty"));
    }
    check::messages(errors, &path, key, is_qualified_name(key));
}

/// Keys of labels whose values are the pod's own: they go with a selector.
pub(super) fn label_keys(holder: &Value, list: &str, path: &FieldPath, errors: &mut FieldErrors) {
    let keys = holder.list_at(&[list]);
    let path = path.child(list);
    if keys.is_empty() {
        return;
    }
    if present(holder, "labelSelector").is_none() {
        let detail = "must not be specified when labelSelector is not set";
        errors.push(FieldError::forbidden(&path, detail));
        return;
    }
    for (i, key) in keys.iter().enumerate() {
        let key = key.as_str().unwrap_or_default();
        check::messages(errors, &path.index(i), key, is_qualified_name(key));
    }
}

/// Those of `matchLabelKeys`, with their places, that the selector names on its own account: the
/// server has added a requirement for each, so they are there twice.
pub(super) fn keys_selected_twice(holder: &Value) -> Vec<(usize, &str)> {
    let keys: Vec<&str> = holder.list_at(&["matchLabelKeys"]).iter().filter_map(Value::as_str).collect();
    if keys.is_empty() {
        return Vec::new();
    }
    let labels =
        holder.map_at(&["labelSelector", "matchLabels"]).into_iter().flat_map(|labels| labels.keys());
    let mut seen: BTreeSet<&str> = labels.collect();
    let mut twice = Vec::new();
    for expression in holder.list_at(&["labelSelector", "matchExpressions"]) {
        let key = check::text(expression, &["key"]);
        if !seen.insert(key)
            && let Some(i) = keys.iter().rposition(|own| *own == key)
        {
            twice.push((i, key));
        }
    }
    twice
}

fn node_affinity(node: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(selector) = node.at(&[REQUIRED]).filter(|selector| !selector.is_null()) {
        node_selector(selector, &path.child(REQUIRED), errors);
    }
    for (i, weighted) in node.list_at(&[PREFERRED]).iter().enumerate() {
        let path = path.child(PREFERRED).index(i);
        weight(weighted, &path, errors);
        if let Some(term) = weighted.at(&["preference"]) {
            node_term(term, false, &path.child("preference"), errors);
        }
    }
}

/// A selector of nodes: at least one term.
pub(super) fn node_selector(selector: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let terms = selector.list_at(&["nodeSelectorTerms"]);
    let path = path.child("nodeSelectorTerms");
    if terms.is_empty() {
        errors.push(FieldError::required(&path, "must have at least one node selector term"));
    }
    for (i, term) in terms.iter().enumerate() {
        node_term(term, true, &path.index(i), errors);
    }
}

/// Values that no label can have are only refused where they decide.
fn node_term(term: &Value, decides: bool, path: &FieldPath, errors: &mut FieldErrors) {
    for (i, requirement) in term.list_at(&["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        operator(requirement, &path, errors);
        let key = check::text(requirement, &["key"]);
        check::messages(errors, &path.child("key"), key, is_qualified_name(key));
        for (i, value) in requirement.list_at(&["values"]).iter().enumerate().filter(|_| decides) {
            let value = value.as_str().unwrap_or_default();
            check::messages(errors, &path.child("values").index(i), value, is_label_value(value));
        }
    }
    for (i, requirement) in term.list_at(&["matchFields"]).iter().enumerate() {
        let path = path.child("matchFields").index(i);
        let key = check::text(requirement, &["key"]);
        if !["In", "NotIn"].contains(&check::text(requirement, &["operator"])) {
            let operator = check::text(requirement, &["operator"]);
            errors.push(FieldError::invalid_str(
                &path.child("operator"),
                operator,
                "not a valid selector operator",
            ));
        } else if requirement.list_at(&["values"]).len() != 1 {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(&path.child("values"), detail));
        }
        if key != "metadata.name" {
            errors.push(FieldError::invalid_str(&path.child("key"), key, "not a valid field selector key"));
            continue;
        }
        for (i, value) in requirement.list_at(&["values"]).iter().enumerate() {
            let value = value.as_str().unwrap_or_default();
            check::messages(errors, &path.child("values").index(i), value, is_dns1123_subdomain(value));
        }
    }
}

fn operator(requirement: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let values = requirement.list_at(&["values"]);
    let path_of_values = path.child("values");
    match check::text(requirement, &["operator"]) {
        "In" | "NotIn" if values.is_empty() => {
            let detail = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(&path_of_values, detail));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(&path_of_values, detail));
        }
        "Gt" | "Lt" if values.len() != 1 => {
            let detail = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(&path_of_values, detail));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => {
            let detail = "not a valid selector operator";
            errors.push(FieldError::invalid_str(&path.child("operator"), other, detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn a_term_names_what_pods_are_near_by() {
        let term = Map::from([("topologyKey", "")]);
        let mut spec = Value::map();
        spec.set(&["affinity", "podAffinity", REQUIRED], vec![term]);
        let mut errors = Vec::new();
        affinity(&spec, &FieldPath::root("a"), &mut errors);
        assert_eq!(errors[0].body(), "Required value: can not be empty");
    }

    fn faults(json: &str) -> Vec<String> {
        let mut errors = Vec::new();
        affinity(&crate::testing::object(json), &FieldPath::root("a"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn keys_of_labels_go_with_a_selector() {
        let term = |rest: &str| {
            format!(r#"{{"affinity":{{"podAffinity":{{"{REQUIRED}":[{{"topologyKey":"t",{rest}}}]}}}}}}"#)
        };
        let at = format!("a.podAffinity.{REQUIRED}[0]");
        for (rest, expected) in [
            (r#""labelSelector":{},"matchLabelKeys":["k"]"#, vec![]),
            (
                r#""matchLabelKeys":["k"]"#,
                vec![format!(
                    "{at}.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"
                )],
            ),
            (
                r#""labelSelector":{},"matchLabelKeys":["k"],"mismatchLabelKeys":["k"]"#,
                vec![format!(
                    "{at}.matchLabelKeys[0]: Invalid value: \"k\": exists in both matchLabelKeys and mismatchLabelKeys"
                )],
            ),
            (
                r#""labelSelector":{"matchLabels":{"k":"v"},"matchExpressions":[{"key":"k","operator":"In",
                    "values":["v"]}]},"matchLabelKeys":["k"]"#,
                vec![format!(
                    "{at}[0]: Invalid value: \"k\": exists in both matchLabelKeys and labelSelector"
                )],
            ),
        ] {
            assert_eq!(faults(&term(rest)), expected, "{rest}");
        }
    }

    #[test]
    fn values_that_no_label_has_are_refused_where_they_decide() {
        let expression = r#"{"key":"k","operator":"In","values":["a b"]}"#;
        let required = format!(
            r#"{{"affinity":{{"nodeAffinity":{{"{REQUIRED}":{{"nodeSelectorTerms":[{{"matchExpressions":[{expression}]}}]}}}}}}}}"#
        );
        let preferred = format!(
            r#"{{"affinity":{{"nodeAffinity":{{"{PREFERRED}":[{{"weight":1,"preference":{{"matchExpressions":[{expression}]}}}}]}}}}}}"#
        );
        assert_eq!(faults(&required).len(), 1);
        assert!(faults(&preferred).is_empty());
    }

    #[test]
    fn a_node_selector_has_terms() {
        let mut spec = Value::map();
        spec.set(&["affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"], Value::List(Vec::new()));
        let mut errors = Vec::new();
        affinity(&spec, &FieldPath::root("a"), &mut errors);
        assert_eq!(errors[0].body(), "Required value: must have at least one node selector term");
    }
}
