//! Validation of horizontal pod autoscalers.

use meta::validation::{is_dns1123_label, is_path_segment_name};
use meta::{FieldError, FieldErrors, FieldPath};
use schema::Value;

use super::horizontal_pod_autoscaler::SOURCES;
use crate::{check, print, validation};

/// Longest time that past recommendations are considered for.
const STABILIZATION_SECONDS_MAX: i64 = 3600;
/// Longest time that a policy looks back.
const PERIOD_SECONDS_MAX: i64 = 1800;

/// A spec with at least `least` replicas.
pub(super) fn spec(object: &Value, least: i64) -> FieldErrors {
    let mut errors = Vec::new();
    let path = FieldPath::root("spec");
    let min = object.int_at(&["spec", "minReplicas"]);
    replicas(min, print::int(object, &["spec", "maxReplicas"]), least, &path, &mut errors);
    let target = object.at(&["spec", "scaleTargetRef"]).unwrap_or(&Value::Null);
    reference(target, &path.child("scaleTargetRef"), &mut errors);
    metrics(object.list_at(&["spec", "metrics"]), min, &path.child("metrics"), &mut errors);
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = check::given(object, &["spec", "behavior", direction]) {
            scaling_rules(rules, &path.child("behavior").child(direction), &mut errors);
        }
    }
    errors
}

fn replicas(min: Option<i64>, max: i64, least: i64, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(min) = min.filter(|min| *min < least) {
        let detail = format!("must be greater than or equal to {least}");
        errors.push(FieldError::invalid(&path.child("minReplicas"), &min.into(), detail));
    }
    let path = path.child("maxReplicas");
    if max < 1 {
        errors.push(FieldError::invalid(&path, &max.into(), "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(&path, &max.into(), detail));
    }
}

fn reference(reference: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    for key in ["kind", "name"] {
        let (path, name) = (path.child(key), check::text(reference, &[key]));
        if check::required(errors, &path, name) {
            check::messages(errors, &path, name, is_path_segment_name(name));
        }
    }
}

fn metrics(metrics: &[Value], min: Option<i64>, path: &FieldPath, errors: &mut FieldErrors) {
    for (i, one) in metrics.iter().enumerate() {
        metric(one, &path.index(i), errors);
    }
    let from_outside = |metric: &Value| matches!(check::text(metric, &["type"]), "Object" | "External");
    if min == Some(0) && !metrics.iter().any(from_outside) {
        let detail =
            "must specify at least one Object or External metric to support scaling to zero replicas";
        errors.push(FieldError::forbidden(path, detail));
    }
}

fn metric(metric: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let kind = check::text(metric, &["type"]);
    let known = SOURCES.map(|(known, _)| known);
    let type_path = path.child("type");
    if kind.is_empty() {
        errors.push(FieldError::required(&type_path, "must specify a metric source type"));
    }
    let expected = SOURCES.iter().find(|(known, _)| *known == kind).map(|(_, source)| *source);
    if expected.is_none() {
        errors.push(FieldError::not_supported(&type_path, &kind.into(), &known));
    }
    let order = ["object", "external", "pods", "resource", "containerResource"];
    let present: Vec<&str> =
        order.into_iter().filter(|source| check::given(metric, &[source]).is_some()).collect();
    if let Some(first) = present.first() {
        source(first, &metric.at(&[first]).cloned().unwrap_or_default(), &path.child(first), errors);
    }
    match expected {
        Some(expected) if !present.contains(&expected) => {
            let detail = "must populate information for the given metric source";
            errors.push(FieldError::required(&path.child(expected), detail));
        }
        Some(_) => {}
        // The original looks twice and says so twice.
        None => errors.push(FieldError::not_supported(&type_path, &kind.into(), &known)),
    }
    if present.len() > 1 {
        for other in present.into_iter().filter(|source| Some(*source) != expected) {
            let detail = "must populate the given metric source only";
            errors.push(FieldError::forbidden(&path.child(other), detail));
        }
    }
}

fn source(name: &str, source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    match name {
        "object" => {
            let described = source.at(&["describedObject"]).unwrap_or(&Value::Null);
            reference(described, &path.child("describedObject"), errors);
            metric_name(source, path, errors);
        }
        "external" | "pods" => metric_name(source, path, errors),
        _ => resource_name(name, source, path, errors),
    }
    let path = path.child("target");
    let wanted = source.at(&["target"]).unwrap_or(&Value::Null);
    target(wanted, &path, errors);
    let given = |key: &str| check::given(wanted, &[key]).is_some();
    let mut required = |key: &str, detail: &str| {
        errors.push(FieldError::required(&path.child(key), detail));
    };
    match name {
        "object" if !given("value") && !given("averageValue") => {
            required("averageValue", "must set either a target value or averageValue");
        }
        "external" if !given("value") && !given("averageValue") => {
            required("averageValue", "must set either a target value for metric or a per-pod target");
        }
        "external" if given("value") && given("averageValue") => {
            let detail = "may not set both a target value for metric and a per-pod target";
            errors.push(FieldError::forbidden(&path.child("value"), detail));
        }
        "pods" if !given("averageValue") => {
            required("averageValue", "must specify a positive target averageValue");
        }
        "resource" | "containerResource" => match (given("averageUtilization"), given("averageValue")) {
            (false, false) => {
                required("averageUtilization", "must set either a target raw value or a target utilization");
            }
            (true, true) => {
                let detail = "may not set both a target raw value and a target utilization";
                errors.push(FieldError::forbidden(&path.child("averageValue"), detail));
            }
            _ => {}
        },
        _ => {}
    }
}

fn metric_name(source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let (path, name) = (path.child("metric.name"), check::text(source, &["metric", "name"]));
    if name.is_empty() {
        errors.push(FieldError::required(&path, "must specify a metric name"));
    } else {
        check::messages(errors, &path, name, is_path_segment_name(name));
    }
}

fn resource_name(kind: &str, source: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let name = check::text(source, &["name"]);
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), "must specify a resource name"));
    } else if kind == "containerResource" {
        validation::container_resource_name(errors, &path.child("name"), name);
    }
    if kind != "containerResource" {
        return;
    }
    let (path, container) = (path.child("container"), check::text(source, &["container"]));
    if container.is_empty() {
        errors.push(FieldError::required(&path, "must specify a container"));
    } else {
        check::messages(errors, &path, container, is_dns1123_label(container));
    }
}

fn target(target: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let kind = check::text(target, &["type"]);
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must specify a metric target type"));
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind) {
        let detail = "must be either Utilization, Value, or AverageValue";
        errors.push(FieldError::invalid_str(&path.child("type"), kind, detail));
    }
    for key in ["value", "averageValue"] {
        if let Some(value) = check::given(target, &[key])
            && validation::quantity(value).is_some_and(|amount| amount.is_zero() || amount.is_negative())
        {
            errors.push(FieldError::invalid(&path.child(key), value, "must be positive"));
        }
    }
    if let Some(percent) = target.int_at(&["averageUtilization"]).filter(|percent| *percent < 1) {
        let path = path.child("averageUtilization");
        errors.push(FieldError::invalid(&path, &percent.into(), "must be greater than 0"));
    }
}

fn scaling_rules(rules: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    if let Some(seconds) = rules.int_at(&["stabilizationWindowSeconds"]) {
        let path = path.child("stabilizationWindowSeconds");
        if seconds < 0 {
            let detail = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(&path, &seconds.into(), detail));
        }
        if seconds > STABILIZATION_SECONDS_MAX {
            let detail = format!("must be less than or equal to {STABILIZATION_SECONDS_MAX}");
            errors.push(FieldError::invalid(&path, &seconds.into(), detail));
        }
    }
    if let Some(select) = rules.str_at(&["selectPolicy"]) {
        check::one_of(errors, &path.child("selectPolicy"), select, &["Disabled", "Max", "Min"]);
    }
    let policies = rules.list_at(&["policies"]);
    if policies.is_empty() {
        errors.push(FieldError::required(&path.child("policies"), "must specify at least one Policy"));
    }
    for (i, policy) in policies.iter().enumerate() {
        scaling_policy(policy, &path.child("policies").index(i), errors);
    }
    if let Some(tolerance) = check::given(rules, &["tolerance"]) {
        validation::quantity_not_negative(errors, &path.child("tolerance"), tolerance);
    }
}

fn scaling_policy(policy: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    check::one_of(errors, &path.child("type"), check::text(policy, &["type"]), &["Percent", "Pods"]);
    let [value, period] = ["value", "periodSeconds"].map(|key| print::int(policy, &[key]));
    for (key, number) in [("value", value), ("periodSeconds", period)] {
        if number <= 0 {
            errors.push(FieldError::invalid(&path.child(key), &number.into(), "must be greater than zero"));
        }
    }
    if period > PERIOD_SECONDS_MAX {
        let detail = format!("must be less than or equal to {PERIOD_SECONDS_MAX}");
        errors.push(FieldError::invalid(&path.child("periodSeconds"), &period.into(), detail));
    }
}

#[cfg(test)]
mod tests {
    use crate::autoscaling::horizontal_pod_autoscaler::v2;
    use crate::testing::{refuses, refuses_updates};

    const GOOD: &str = r#"{"metadata":{"name":"a"},"spec":{"maxReplicas":3,
        "scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}}}"#;

    #[test]
    fn replicas_have_an_order() {
        refuses(
            &v2(),
            GOOD,
            &[
                (r#"{"spec":{"minReplicas":3}}"#, &[]),
                (
                    r#"{"spec":{"minReplicas":0,"maxReplicas":0}}"#,
                    &[
                        "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
                        "spec.maxReplicas: Invalid value: 0: must be greater than 0",
                        "spec.metrics: Forbidden: must specify at least one Object or External metric to support \
                         scaling to zero replicas",
                    ],
                ),
                (
                    r#"{"spec":{"minReplicas":4,"scaleTargetRef":{"kind":"","name":"a/b"}}}"#,
                    &[
                        "spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`",
                        "spec.scaleTargetRef.kind: Required value",
                        "spec.scaleTargetRef.name: Invalid value: \"a/b\": may not contain '/'",
                    ],
                ),
            ],
        );
        let idle = GOOD.replacen(
            "\"maxReplicas\":3",
            "\"maxReplicas\":3,\"minReplicas\":0,\"metrics\":[{\"type\":\"External\",\"external\":{\
             \"metric\":{\"name\":\"m\"},\"target\":{\"type\":\"Value\",\"value\":\"1\"}}}]",
            1,
        );
        refuses_updates(&v2(), &idle, &[(r#"{"spec":{"maxReplicas":2}}"#, &[])]);
    }

    #[test]
    fn a_metric_has_one_source_with_a_target() {
        refuses(
            &v2(),
            GOOD,
            &[
                (
                    r#"{"spec":{"metrics":[{"type":"Pods","resource":{"target":{"type":"X"}}}]}}"#,
                    &[
                        "spec.metrics[0].resource.name: Required value: must specify a resource name",
                        "spec.metrics[0].resource.target.type: Invalid value: \"X\": must be either Utilization, \
                         Value, or AverageValue",
                        "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target \
                         raw value or a target utilization",
                        "spec.metrics[0].pods: Required value: must populate information for the given metric source",
                    ],
                ),
                (
                    r#"{"spec":{"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization",
                        "averageUtilization":0,"averageValue":"0"}},"pods":{}}]}}"#,
                    &[
                        "spec.metrics[0].pods.metric.name: Required value: must specify a metric name",
                        "spec.metrics[0].pods.target.type: Required value: must specify a metric target type",
                        "spec.metrics[0].pods.target.type: Invalid value: \"\": must be either Utilization, Value, \
                         or AverageValue",
                        "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target \
                         averageValue",
                        "spec.metrics[0].pods: Forbidden: must populate the given metric source only",
                    ],
                ),
                (
                    r#"{"spec":{"metrics":[{"type":"External","external":{"metric":{"name":"m"},"target":{
                        "type":"Value","value":"0","averageValue":"1"}}}]}}"#,
                    &[
                        "spec.metrics[0].external.target.value: Invalid value: \"0\": must be positive",
                        "spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric \
                         and a per-pod target",
                    ],
                ),
            ],
        );
    }

    #[test]
    fn scaling_has_its_limits() {
        refuses(
            &v2(),
            GOOD,
            &[
                (r#"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":3600}}}}"#, &[]),
                (
                    r#"{"spec":{"behavior":{"scaleDown":{"stabilizationWindowSeconds":3601,"selectPolicy":"X",
                        "policies":[]}}}}"#,
                    &[
                        "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than \
                         or equal to 3600",
                        "spec.behavior.scaleDown.selectPolicy: Unsupported value: \"X\": supported values: \
                         \"Disabled\", \"Max\", \"Min\"",
                        "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy",
                    ],
                ),
                (
                    r#"{"spec":{"behavior":{"scaleUp":{"tolerance":"-1","policies":[{"type":"Y","value":0,
                        "periodSeconds":1801}]}}}}"#,
                    &[
                        "spec.behavior.scaleUp.policies[0].type: Unsupported value: \"Y\": supported values: \
                         \"Percent\", \"Pods\"",
                        "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero",
                        "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or \
                         equal to 1800",
                        "spec.behavior.scaleUp.tolerance: Invalid value: \"-1\": must be greater than or equal to 0",
                    ],
                ),
            ],
        );
    }
}
