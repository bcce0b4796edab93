//! Validation of nodes.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use crate::{check, go_form, validation};

const TAINT: &str = "io.k8s.api.core.v1.Taint";
const ADDRESS: &str = "io.k8s.api.core.v1.NodeAddress";

/// A new node.
pub(super) fn create(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    taints(object, &mut errors);
    resources(object, &mut errors);
    pod_ranges(object, &mut errors);
    errors
}

/// A changed node, its spec or its status.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    addresses(object, &mut errors);
    resources(object, &mut errors);
    let spec = FieldPath::root("spec");
    let ranges = |node: &Value| node.list_at(&["spec", "podCIDRs"]).to_vec();
    if !ranges(old).is_empty() && ranges(old) != ranges(object) {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.child("podCIDRs"), detail));
    } else {
        pod_ranges(object, &mut errors);
    }
    let provider = |node: &Value| check::text(node, &["spec", "providerID"]).to_owned();
    if !provider(old).is_empty() && provider(old) != provider(object) {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.child("providerID"), detail));
    }
    taints(object, &mut errors);
    errors
}

fn taints(object: &Value, errors: &mut FieldErrors) {
    // The original names this path, wherever the taints stand.
    let list = FieldPath::root("metadata").child("taints");
    let mut seen = BTreeSet::new();
    for (i, taint) in object.list_at(&["spec", "taints"]).iter().enumerate() {
        let path = list.index(i);
        let [key, value, effect] = ["key", "value", "effect"].map(|field| check::text(taint, &[field]));
        validation::qualified_name(errors, &path.child("key"), key);
        check::messages(errors, &path.child("value"), value, meta::validation::is_label_value(value));
        let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        check::required_one_of(errors, &path.child("effect"), effect, &effects);
        if !seen.insert((key, effect)) {
            errors.push(FieldError::new(
                meta::field::FieldErrorType::Duplicate,
                &path,
                go_form::show(TAINT, Some(taint)),
                "taints must be unique by key and effect pair",
            ));
        }
    }
}

fn resources(object: &Value, errors: &mut FieldErrors) {
    for list in ["capacity", "allocatable"] {
        for (name, value) in object.map_at(&["status", list]).into_iter().flat_map(|map| map.iter()) {
            let path = FieldPath::root("status").child(list).child(name);
            validation::quantity_not_negative(errors, &path, value);
        }
    }
}

fn addresses(object: &Value, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for (i, address) in object.list_at(&["status", "addresses"]).iter().enumerate() {
        if !seen.insert((check::text(address, &["type"]), check::text(address, &["address"]))) {
            errors.push(FieldError::new(
                meta::field::FieldErrorType::Duplicate,
                &FieldPath::root("status").child("addresses").index(i),
                go_form::show(ADDRESS, Some(address)),
                "",
            ));
        }
    }
}

fn pod_ranges(object: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec").child("podCIDRs");
    let ranges = object.list_at(&["spec", "podCIDRs"]);
    let before = errors.len();
    for (i, range) in ranges.iter().enumerate() {
        validation::cidr(errors, &path.index(i), range.as_str().unwrap_or_default());
    }
    let is_v6 = |range: &Value| range.as_str().is_some_and(|text| text.contains(':'));
    let same_family = ranges.len() == 2 && is_v6(&ranges[0]) == is_v6(&ranges[1]);
    if before == errors.len() && (ranges.len() > 2 || same_family) {
        let detail = "may specify no more than one CIDR for each IP family";
        errors.push(FieldError::invalid(&path, &Value::List(ranges.to_vec()), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn the_range_of_pods_is_given_once() {
        let node = |range: &str| {
            let mut object = Value::map();
            object.set(&["spec", "podCIDRs"], vec![range]);
            object
        };
        assert_eq!(create(&node("10.0.0.0/24")), []);
        assert_eq!(update(&node("10.0.0.0/24"), &Value::map()), []);
        assert_eq!(update(&node("10.0.1.0/24"), &node("10.0.0.0/24"))[0].field.as_str(), "spec.podCIDRs");
    }

    #[test]
    fn taints_differ_in_key_or_effect() {
        let taint = Map::from([("key", "x"), ("effect", "NoExecute")]);
        let mut object = Value::map();
        object.set(&["spec", "taints"], vec![taint.clone(), taint]);
        assert_eq!(
            create(&object)[0].to_string(),
            "metadata.taints[1]: Duplicate value: {\"Key\":\"x\",\"Value\":\"\",\"Effect\":\"NoExecute\",\
             \"TimeAdded\":null}: taints must be unique by key and effect pair"
        );
    }
}
