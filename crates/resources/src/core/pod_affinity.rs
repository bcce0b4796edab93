//! Validation of affinity: to nodes and to other pods.

use meta::validation::{is_dns1123_label, is_qualified_name};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

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
    let key = check::text(term, &["topologyKey"]);
    let path = path.child("topologyKey");
    if key.is_empty() {
        errors.push(FieldError::required(&path, "can not be empty"));
    }
    check::messages(errors, &path, key, is_qualified_name(key));
}

fn node_affinity(node: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(selector) = node.at(&[REQUIRED]).filter(|selector| !selector.is_null()) {
        node_selector(selector, &path.child(REQUIRED), errors);
    }
    for (i, weighted) in node.list_at(&[PREFERRED]).iter().enumerate() {
        let path = path.child(PREFERRED).index(i);
        weight(weighted, &path, errors);
        if let Some(term) = weighted.at(&["preference"]) {
            node_term(term, &path.child("preference"), errors);
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
        node_term(term, &path.index(i), errors);
    }
}

fn node_term(term: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for (i, requirement) in term.list_at(&["matchExpressions"]).iter().enumerate() {
        let path = path.child("matchExpressions").index(i);
        operator(requirement, &path, errors);
        let key = check::text(requirement, &["key"]);
        check::messages(errors, &path.child("key"), key, is_qualified_name(key));
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

    #[test]
    fn a_node_selector_has_terms() {
        let mut spec = Value::map();
        spec.set(&["affinity", "nodeAffinity", REQUIRED, "nodeSelectorTerms"], Value::List(Vec::new()));
        let mut errors = Vec::new();
        affinity(&spec, &FieldPath::root("a"), &mut errors);
        assert_eq!(errors[0].body(), "Required value: must have at least one node selector term");
    }
}
