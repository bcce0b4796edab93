//! Validation of resource quotas.

use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use crate::{check, validation};

/// Names without a slash that quota knows.
const STANDARD: [&str; 20] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
/// Names whose amounts are whole numbers.
const COUNTS: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];
const SCOPES: [&str; 7] = [
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
];

/// A new quota.
pub(super) fn create(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    amounts(object, "spec", "hard", &mut errors);
    scopes(object, &mut errors);
    scope_selector(object, &mut errors);
    errors
}

/// A changed quota.
pub(super) fn update(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = create(object);
    let sorted = |quota: &Value| {
        let mut scopes: Vec<String> = texts(quota.list_at(&["spec", "scopes"]));
        scopes.sort();
        scopes
    };
    if sorted(object) != sorted(old) {
        let shown = object.at(&["spec", "scopes"]).unwrap_or(&Value::Null);
        errors.push(FieldError::invalid(&FieldPath::root("spec").child("scopes"), shown, check::IMMUTABLE));
    }
    errors
}

/// A changed status.
pub(super) fn status(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    amounts(object, "status", "hard", &mut errors);
    amounts(object, "status", "used", &mut errors);
    errors
}

fn texts(list: &[Value]) -> Vec<String> {
    list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn amounts(object: &Value, part: &str, list: &str, errors: &mut FieldErrors) {
    for (name, value) in object.map_at(&[part, list]).into_iter().flat_map(|map| map.iter()) {
        let path = FieldPath::root(part).child(list).key(name);
        resource_name(name, &path, errors);
        validation::quantity_not_negative(errors, &path, value);
        let fraction = validation::quantity(value).is_some_and(|quantity| quantity.milli_value() % 1000 != 0);
        let counted = COUNTS.contains(&name) || name.starts_with("count/");
        if counted && fraction {
            errors.push(FieldError::invalid(&path, value, "must be an integer"));
        }
    }
}

fn resource_name(name: &str, path: &FieldPath, errors: &mut FieldErrors) {
    validation::qualified_name(errors, path, name);
    if name.contains('/')
        || STANDARD.contains(&name)
        || ["hugepages-", "requests.hugepages-"].iter().any(|it| name.starts_with(it))
    {
        return;
    }
    for detail in
        ["must be a standard resource type or fully qualified", "must be a standard resource for quota"]
    {
        errors.push(FieldError::invalid_str(path, name, detail));
    }
}

fn scopes(object: &Value, errors: &mut FieldErrors) {
    let list = object.list_at(&["spec", "scopes"]);
    let path = FieldPath::root("spec").child("scopes");
    let names = texts(list);
    let shown = Value::List(list.to_vec());
    let hard: Vec<&str> = object.map_at(&["spec", "hard"]).into_iter().flat_map(|map| map.keys()).collect();
    for name in &names {
        if !SCOPES.contains(&name.as_str()) {
            errors.push(FieldError::invalid(&path, &shown, "unsupported scope"));
        }
        for resource in &hard {
            if STANDARD.contains(resource) && !scope_fits(name, resource) {
                errors.push(FieldError::invalid(&path, &shown, "unsupported scope applied to resource"));
            }
        }
    }
    let has = |scope: &str| names.iter().any(|name| name == scope);
    for (a, b) in [("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")] {
        if has(a) && has(b) {
            errors.push(FieldError::invalid(&path, &shown, "conflicting scopes"));
        }
    }
}

fn scope_fits(scope: &str, resource: &str) -> bool {
    let compute = [
        "cpu",
        "memory",
        "requests.cpu",
        "requests.memory",
        "limits.cpu",
        "limits.memory",
        "ephemeral-storage",
        "requests.ephemeral-storage",
        "limits.ephemeral-storage",
    ];
    match scope {
        "BestEffort" => resource == "pods",
        "NotBestEffort"
        | "Terminating"
        | "NotTerminating"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || compute.contains(&resource),
        _ => true,
    }
}

fn scope_selector(object: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec").child("scopeSelector").child("matchExpressions");
    for expression in object.list_at(&["spec", "scopeSelector", "matchExpressions"]) {
        let values = expression.list_at(&["values"]);
        match check::text(expression, &["operator"]) {
            "In" | "NotIn" if values.is_empty() => {
                let detail =
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.push(FieldError::required(&path.child("values"), detail));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail =
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.push(FieldError::invalid(
                    &path.child("values"),
                    &Value::List(values.to_vec()),
                    detail,
                ));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => errors.push(FieldError::invalid_str(
                &path.child("operator"),
                other,
                "not a valid selector operator",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Map;

    #[test]
    fn amounts_have_known_names_and_counts_are_whole() {
        let mut object = Value::map();
        object
            .set(&["spec", "hard"], Map::from([("pods", "1500m"), ("count/secrets", "2"), ("wibble", "1")]));
        let texts: Vec<String> = create(&object).iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.hard[pods]: Invalid value: \"1500m\": must be an integer",
                "spec.hard[wibble]: Invalid value: \"wibble\": must be a standard resource type or fully qualified",
                "spec.hard[wibble]: Invalid value: \"wibble\": must be a standard resource for quota",
            ]
        );
    }
}
