//! Validation of amounts of resources: a container's, a pod's as a whole, and
//! its overhead.

use std::collections::BTreeSet;

use meta::validation::{is_dns1123_label, is_qualified_name};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::quantity::Quantity;
use schema::{Map, Value};

use super::pod_resources;
use super::rules::present;
use crate::{check, print, validation};

/// Resources without a prefix that a container can have.
const CONTAINER: [&str; 3] = ["cpu", "ephemeral-storage", "memory"];
/// Resources without a prefix that mean something somewhere.
const STANDARD: [&str; 22] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "storage",
    "requests.storage",
    "services.nodeports",
    "services.loadbalancers",
    "requests.hugepages-",
    "hugepages-",
];
/// Resources that are counted in whole numbers.
const WHOLE: [&str; 9] = [
    "pods",
    "services",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Whose amounts they are, which decides about the names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Container,
    Pod,
}

/// What a container asks for and may have; `claims` are those of the pod.
pub(super) fn container(resources: &Value, claims: &[&str], path: &FieldPath, errors: &mut FieldErrors) {
    requirements(resources, Of::Container, path, errors);
    claim_names(resources, claims, &path.child("claims"), errors);
}

/// What a pod costs beyond its containers.
pub(super) fn overhead(overhead: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let limits = Value::from(Map::from([("limits", overhead.clone())]));
    requirements(&limits, Of::Container, path, errors);
}

/// What a pod asks for as a whole.
pub(super) fn pod(spec: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let Some(resources) = present(spec, "resources") else { return };
    if !resources.list_at(&["claims"]).is_empty() {
        let detail = "claims cannot be set for Resources at pod-level";
        errors.push(FieldError::forbidden(&path.child("claims"), detail));
    }
    requirements(resources, Of::Pod, path, errors);
    let requested: BTreeSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| spec.list_at(&[list]))
        .filter_map(|container| container.map_at(&["resources", "requests"]))
        .flat_map(|requests| requests.keys())
        .collect();
    for name in requested {
        let own = resources.at(&["requests", name]).and_then(validation::quantity);
        let own = own.unwrap_or_else(|| Quantity::from_int(0));
        let Some(sum) = pod_resources::requested(spec, name) else { continue };
        if Quantity::parse(&sum).is_ok_and(|sum| sum > own) {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            let path = path.child("requests").key(name);
            errors.push(FieldError::invalid_str(&path, &own.to_string(), detail));
        }
    }
    for (i, container) in spec.list_at(&["containers"]).iter().enumerate() {
        limits_within_pod(container, resources, &path.child("containers").index(i), errors);
    }
}

fn limits_within_pod(container: &Value, pod: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for (name, limit) in container.map_at(&["resources", "limits"]).into_iter().flat_map(Map::iter) {
        let Some(most) = pod.at(&["limits", name]) else { continue };
        if validation::quantity(limit) > validation::quantity(most) {
            let detail =
                format!("must be less than or equal to pod limits of {}", print::scalar_or(Some(most), ""));
            let path = path.key(name).child("limits");
            errors.push(FieldError::invalid_str(&path, &print::scalar_or(Some(limit), ""), detail));
        }
    }
}

fn requirements(resources: &Value, of: Of, path: &FieldPath, errors: &mut FieldErrors) {
    let (mut huge, mut compute) = (false, false);
    for list in ["limits", "requests"] {
        for (name, amount) in resources.map_at(&[list]).into_iter().flat_map(Map::iter) {
            let at = path.child(list).key(name);
            match of {
                Of::Container => container_resource_name(name, &at, errors),
                Of::Pod => pod_resource_name(name, &at, errors),
            }
            resource_amount(name, amount, &at, errors);
            if list == "requests" {
                request_within_limit(resources, name, amount, path, errors);
            }
            if let Some(size) = name.strip_prefix("hugepages-") {
                huge = true;
                whole_pages(name, size, amount, &at, errors);
            }
            compute |= matches!(name, "cpu" | "memory");
        }
    }
    if huge && !compute {
        errors.push(FieldError::forbidden(path, "HugePages require cpu or memory"));
    }
}

/// An amount is not negative, and whole where it is a count.
pub(super) fn resource_amount(name: &str, amount: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    validation::quantity_not_negative(errors, path, amount);
    let whole = WHOLE.contains(&name) || is_extended(name);
    if whole && validation::quantity(amount).is_some_and(|amount| amount.milli_value() % 1000 != 0) {
        errors.push(FieldError::invalid(path, amount, "must be an integer"));
    }
}

/// True for a resource of somebody else, e.g. `example.com/gpu`.
pub(super) fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.") && is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// True if more of a resource can be promised than there is.
fn can_be_overcommitted(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    native && !name.starts_with("hugepages-")
}

/// The name of any resource. True if it is good.
pub(super) fn resource_name(name: &str, path: &FieldPath, errors: &mut FieldErrors) -> bool {
    let before = errors.len();
    validation::qualified_name(errors, path, name);
    if errors.len() == before && !name.contains('/') && !is_standard(name) {
        let detail = "must be a standard resource type or fully qualified";
        errors.push(FieldError::invalid_str(path, name, detail));
    }
    errors.len() == before
}

fn is_standard(name: &str) -> bool {
    STANDARD.iter().any(|known| if known.ends_with('-') { name.starts_with(known) } else { name == *known })
}

/// The name of a resource that a container can have.
pub(super) fn container_resource_name(name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    resource_name(name, path, errors);
    let known = CONTAINER.contains(&name) || name.starts_with("hugepages-");
    if !name.contains('/') {
        if !known {
            errors.push(FieldError::invalid_str(path, name, "must be a standard resource for containers"));
        }
    } else if !name.contains("kubernetes.io/") && !is_extended(name) {
        errors.push(FieldError::invalid_str(path, name, "doesn't follow extended resource name standard"));
    }
}

fn pod_resource_name(name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    if resource_name(name, path, errors) && !name.starts_with("hugepages-") {
        check::one_of(errors, path, name, &["cpu", "hugepages-", "memory"]);
    }
}

/// Huge pages come whole.
fn whole_pages(name: &str, size: &str, amount: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let size = validation::quantity(&size.into()).map_or(0, |size| size.as_i64());
    let wanted = validation::quantity(amount).map_or(0, |amount| amount.as_i64());
    if size <= 0 || wanted % size != 0 {
        let shown = print::scalar_or(Some(amount), "");
        let detail = format!("{shown} is not positive integer multiple of {name}");
        errors.push(FieldError::invalid(path, amount, detail));
    }
}

/// `path` is that of the requirements: the original names no single request here.
fn request_within_limit(
    resources: &Value,
    name: &str,
    request: &Value,
    path: &FieldPath,
    errors: &mut FieldErrors,
) {
    let shared = can_be_overcommitted(name);
    let Some(limit) = resources.at(&["limits", name]) else {
        if !shared {
            let detail = "Limit must be set for non overcommitable resources";
            errors.push(FieldError::required(&path.child("limits"), detail));
        }
        return;
    };
    let (Some(wanted), Some(most)) = (validation::quantity(request), validation::quantity(limit)) else {
        return;
    };
    let relation = if !shared && wanted != most {
        "equal to"
    } else if wanted > most {
        "less than or equal to"
    } else {
        return;
    };
    let detail = format!("must be {relation} {name} limit of {}", print::scalar_or(Some(limit), ""));
    errors.push(FieldError::invalid(&path.child("requests"), request, detail));
}

fn claim_names(resources: &Value, known: &[&str], path: &FieldPath, errors: &mut FieldErrors) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (i, claim) in resources.list_at(&["claims"]).iter().enumerate() {
        let path = path.index(i);
        let [name, request] = ["name", "request"].map(|key| check::text(claim, &[key]));
        if !check::required(errors, &path, name) {
            continue;
        }
        if seen.contains(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        } else {
            let mut key = name.to_owned();
            if !request.is_empty() {
                check::messages(errors, &path.child("request"), request, is_dns1123_label(request));
                key = format!("{name}/{request}");
            }
            let requests_of = format!("{name}/");
            if seen.contains(&key) {
                errors.push(FieldError::duplicate(&path, &key.as_str().into()));
            } else if request.is_empty() {
                // The whole claim overlaps with each of its requests named before.
                for _ in seen.iter().filter(|other| other.starts_with(&requests_of)) {
                    errors.push(FieldError::duplicate(&path, &name.into()));
                }
            }
            seen.insert(key);
        }
        if !known.contains(&name) {
            errors.push(unknown_claim(name, known, &path));
        }
    }
}

fn unknown_claim(name: &str, known: &[&str], path: &FieldPath) -> FieldError {
    let mut error = FieldError::not_found(path, &name.into());
    error.detail = "must be one of the names in pod.spec.resourceClaims".to_owned();
    if known.is_empty() {
        error.detail.push_str(" which is empty");
    } else {
        let mut sorted = known.to_vec();
        sorted.sort_unstable();
        error.detail += &format!(": {}", sorted.join(", "));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::object;

    fn faults(json: &str) -> Vec<String> {
        let mut errors = Vec::new();
        container(&object(json), &["claim"], &FieldPath::root("r"), &mut errors);
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn amounts_are_refused_for_what_is_wrong_with_them() {
        for (json, expected) in [
            (r#"{"limits":{"cpu":"1"},"requests":{"cpu":"1"}}"#, vec![]),
            (
                r#"{"limits":{"cpu":"1"},"requests":{"cpu":"1001m"}}"#,
                vec![r#"r.requests: Invalid value: "1001m": must be less than or equal to cpu limit of 1"#],
            ),
            (
                r#"{"limits":{"example.com/gpu":"2"},"requests":{"example.com/gpu":"1"}}"#,
                vec![r#"r.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2"#],
            ),
            (
                r#"{"requests":{"example.com/gpu":"1"}}"#,
                vec!["r.limits: Required value: Limit must be set for non overcommitable resources"],
            ),
            (
                r#"{"limits":{"example.com/gpu":"500m"}}"#,
                vec![r#"r.limits[example.com/gpu]: Invalid value: "500m": must be an integer"#],
            ),
            (
                r#"{"limits":{"foo":"1"}}"#,
                vec![
                    r#"r.limits[foo]: Invalid value: "foo": must be a standard resource type or fully qualified"#,
                    r#"r.limits[foo]: Invalid value: "foo": must be a standard resource for containers"#,
                ],
            ),
            (
                r#"{"limits":{"pods":"1"}}"#,
                vec![r#"r.limits[pods]: Invalid value: "pods": must be a standard resource for containers"#],
            ),
            (
                r#"{"limits":{"hugepages-2Mi":"3Mi"},"requests":{"hugepages-2Mi":"3Mi"}}"#,
                vec![
                    r#"r.limits[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi"#,
                    r#"r.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of hugepages-2Mi"#,
                    "r: Forbidden: HugePages require cpu or memory",
                ],
            ),
            (
                r#"{"limits":{"cpu":"-1"}}"#,
                vec![r#"r.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0"#],
            ),
            (r#"{"claims":[{"name":"claim","request":"a"},{"name":"claim","request":"b"}]}"#, vec![]),
            (
                r#"{"claims":[{"name":"claim","request":"a"},{"name":"claim"}]}"#,
                vec![r#"r.claims[1]: Duplicate value: "claim""#],
            ),
            (
                r#"{"claims":[{"name":"other"}]}"#,
                vec![
                    r#"r.claims[0]: Not found: "other": must be one of the names in pod.spec.resourceClaims: claim"#,
                ],
            ),
        ] {
            assert_eq!(faults(json), expected, "{json}");
        }
    }

    #[test]
    fn a_pod_has_at_least_what_its_containers_ask_for() {
        let spec = object(
            r#"{"resources":{"requests":{"cpu":"1"},"limits":{"cpu":"2"}},"containers":[{"resources":
                {"requests":{"cpu":"1500m"},"limits":{"cpu":"3"}}}]}"#,
        );
        let mut errors = Vec::new();
        pod(&spec, &FieldPath::root("r"), &mut errors);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                r#"r.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 1500m"#,
                r#"r.containers[0][cpu].limits: Invalid value: "3": must be less than or equal to pod limits of 2"#,
            ]
        );
    }
}
