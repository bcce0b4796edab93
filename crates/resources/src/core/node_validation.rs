//! Validation of nodes.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::pod_amounts::resource_amount;
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

/// A changed node. The original judges it as a new one, and as a change.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = create(object);
    errors.extend(change(object, old));
    errors
}

/// What may change of a node, its spec or its status.
pub(super) fn change(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    resources(object, &mut errors);
    addresses(object, &mut errors);
    let spec = FieldPath::root("spec");
    let ranges = |node: &Value| node.list_at(&["spec", "podCIDRs"]).to_vec();
    let (before, now) = (ranges(old), ranges(object));
    let changes = match (before.len(), now.len()) {
        (0, _) => 0,
        (before, now) if before != now => 1,
        _ => before.iter().zip(&now).filter(|(before, now)| before != now).count(),
    };
    for _ in 0..changes {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.child("podCIDRs"), detail));
    }
    let provider = |node: &Value| check::text(node, &["spec", "providerID"]).to_owned();
    if !provider(old).is_empty() && provider(old) != provider(object) {
        let detail = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(&spec.child("providerID"), detail));
    }
    taints(object, &mut errors);
    let external = |node: &Value| check::text(node, &["spec", "externalID"]).to_owned();
    if external(old) != external(object) {
        errors.push(FieldError::forbidden(&spec.child("externalID"), "may not be updated"));
    }
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
        let faults = meta::validation::is_label_value(value);
        if !faults.is_empty() {
            errors.push(FieldError::invalid_str(&path.child("value"), value, faults.join(";")));
        }
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
            resource_amount(name, value, &path, errors);
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
    for (i, range) in ranges.iter().enumerate().filter(|(i, range)| ranges[..*i].contains(range)) {
        errors.push(FieldError::duplicate(&path.index(i), range));
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
    fn nodes_are_refused_for_what_is_wrong_with_them() {
        for (json, count) in [
            (r#"{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}"#, 0),
            (r#"{"spec":{"taints":[{"key":"a","effect":""}]}}"#, 1),
            (r#"{"spec":{"taints":[{"key":"a","effect":"NoSchedule","value":"a b"}]}}"#, 1),
            (r#"{"spec":{"podCIDRs":["10.0.0.0/24","fd00::/64"]}}"#, 0),
            (r#"{"spec":{"podCIDRs":["10.0.0.0/24","10.0.1.0/24"]}}"#, 1),
            (r#"{"spec":{"podCIDRs":["10.0.0.0/24","10.0.0.0/24"]}}"#, 2),
            (r#"{"status":{"capacity":{"pods":"1500m"}}}"#, 1),
            (r#"{"status":{"capacity":{"cpu":"-1"}}}"#, 1),
        ] {
            let errors = create(&crate::testing::object(json));
            assert_eq!(errors.len(), count, "{json}: {errors:?}");
        }
    }

    #[test]
    fn the_faults_of_a_changed_node_are_told_twice() {
        let node = crate::testing::object(r#"{"spec":{"taints":[{"key":"x","effect":"Meh"}]}}"#);
        assert_eq!(update(&node, &Value::map()).len(), 2);
        assert_eq!(change(&node, &Value::map()).len(), 1);
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
