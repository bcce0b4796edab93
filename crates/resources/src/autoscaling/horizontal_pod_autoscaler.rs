//! `horizontalpodautoscalers`: the number of pods follows what they use.
//! Stored as `v2`; `v1`, which knows only processor use, is converted.

use std::sync::Arc;

use meta::{FieldError, FieldErrors, FieldPath, GroupVersionKind};
use registry::{
    Backing, Column, PrintContext, RequestContext, ResourceDef, StorageDef, Strategy, Subresource,
};
use schema::{Map, Value};

use crate::{check, defaults, print};

/// `horizontalpodautoscalers` of `autoscaling/v2`.
pub fn v2() -> ResourceDef {
    ResourceDef {
        short_names: vec!["hpa".into()],
        categories: vec!["all".into()],
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Reference"),
            Column::string("Targets"),
            Column::string("MinPods"),
            Column::string("MaxPods"),
            Column::string("Replicas"),
            Column::string("Age"),
        ],
        ..ResourceDef::stored(
            "autoscaling",
            "v2",
            "horizontalpodautoscalers",
            "HorizontalPodAutoscaler",
            HorizontalPodAutoscaler,
        )
    }
}

/// `horizontalpodautoscalers` of `autoscaling/v1`.
pub fn v1() -> ResourceDef {
    let stored = StorageDef {
        kind: GroupVersionKind::new("autoscaling", "v2", "HorizontalPodAutoscaler"),
        prefix: "horizontalpodautoscalers".into(),
        conversion: Some(Arc::new(super::v1::Converted)),
    };
    ResourceDef { version: "v1".into(), backing: Backing::Stored(stored), ..v2() }
}

/// Processor use aimed at, in percent of the request.
const CPU_PERCENT: i64 = 80;
/// Metrics shown before the rest is counted.
const SHOWN_MAX: usize = 2;

struct HorizontalPodAutoscaler;

impl Strategy for HorizontalPodAutoscaler {
    fn default(&self, object: &mut Value) {
        let spec = defaults::ensure(object, "spec");
        defaults::pointer(spec, "minReplicas", 1);
        if spec.list_at(&["metrics"]).is_empty() {
            spec.set(&["metrics"], vec![cpu_metric(CPU_PERCENT)]);
        }
        if let Some(behavior) = defaults::object(spec, "behavior") {
            scaling_rules(defaults::ensure(behavior, "scaleUp"), true);
            scaling_rules(defaults::ensure(behavior, "scaleDown"), false);
        }
    }

    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        object.set(&["status"], Map::from([("desiredReplicas", 0)]));
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        spec(object, &mut errors);
        errors
    }

    fn validate_update(&self, context: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        self.validate(context, object)
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        let path = FieldPath::root("status");
        let mut errors = Vec::new();
        for key in ["currentReplicas", "desiredReplicas"] {
            check::not_negative(&mut errors, &path.child(key), object.int_at(&["status", key]));
        }
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let target = |key: &str| print::text(object, &["spec", "scaleTargetRef", key]);
        let between = [
            format!("{}/{}", target("kind"), target("name")).into(),
            metrics(object).into(),
            print::scalar_or(object.at(&["spec", "minReplicas"]), "<unset>").into(),
            print::int(object, &["spec", "maxReplicas"]).into(),
            print::int(object, &["status", "currentReplicas"]).into(),
        ];
        print::with_name_and_age(object, print, between)
    }
}

/// A metric that aims at a share of the requested processor time.
pub(super) fn cpu_metric(percent: i64) -> Value {
    let target = Map::from([("type", Value::from("Utilization")), ("averageUtilization", percent.into())]);
    let resource = Map::from([("name", Value::from("cpu")), ("target", target.into())]);
    Map::from([("type", Value::from("Resource")), ("resource", resource.into())]).into()
}

fn scaling_rules(rules: &mut Value, up: bool) {
    let policy = |kind: &str, value: i64| {
        Map::from([("type", Value::from(kind)), ("value", value.into()), ("periodSeconds", 15.into())])
    };
    if up {
        defaults::pointer(rules, "stabilizationWindowSeconds", 0);
    }
    defaults::pointer(rules, "selectPolicy", "Max");
    if rules.at(&["policies"]).is_none_or(Value::is_null) {
        let fast = up.then(|| policy("Pods", 4));
        let policies: Vec<Map> = fast.into_iter().chain([policy("Percent", 100)]).collect();
        rules.set(&["policies"], policies);
    }
}

fn spec(object: &Value, errors: &mut FieldErrors) {
    let path = FieldPath::root("spec");
    let min = object.int_at(&["spec", "minReplicas"]);
    let max = print::int(object, &["spec", "maxReplicas"]);
    if let Some(min) = min.filter(|min| *min < 1) {
        let detail = "must be greater than or equal to 1";
        errors.push(FieldError::invalid(&path.child("minReplicas"), &min.into(), detail));
    }
    if max < 1 {
        errors.push(FieldError::invalid(&path.child("maxReplicas"), &max.into(), "must be greater than 0"));
    }
    if min.is_some_and(|min| max < min) {
        let detail = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(&path.child("maxReplicas"), &max.into(), detail));
    }
    for key in ["kind", "name"] {
        let name = object.str_at(&["spec", "scaleTargetRef", key]).unwrap_or_default();
        let path = path.child("scaleTargetRef").child(key);
        if check::required(errors, &path, name) {
            check::messages(errors, &path, name, meta::validation::is_path_segment_name(name));
        }
    }
    for (i, metric) in object.list_at(&["spec", "metrics"]).iter().enumerate() {
        metric_type(metric, &path.child("metrics").index(i), errors);
    }
}

/// Sources by the type that names them.
const SOURCES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

fn metric_type(metric: &Value, path: &FieldPath, errors: &mut FieldErrors) {
    let kind = check::text(metric, &["type"]);
    if kind.is_empty() {
        errors.push(FieldError::required(&path.child("type"), "must specify a metric source type"));
        return;
    }
    let Some((_, source)) = SOURCES.iter().find(|(known, _)| *known == kind) else {
        let known = SOURCES.map(|(known, _)| known);
        errors.push(FieldError::not_supported(&path.child("type"), &kind.into(), &known));
        return;
    };
    if metric.at(&[source]).is_none_or(Value::is_null) {
        let detail = "must populate information for the given metric source";
        errors.push(FieldError::required(&path.child(source), detail));
    }
    for (_, other) in SOURCES.iter().filter(|(_, other)| other != source) {
        if metric.at(&[other]).is_some_and(|value| !value.is_null()) {
            let detail = "must populate the given metric source only";
            errors.push(FieldError::forbidden(&path.child(other), detail));
        }
    }
}

fn metrics(object: &Value) -> String {
    let specs = object.list_at(&["spec", "metrics"]);
    if specs.is_empty() {
        return print::NONE.to_owned();
    }
    let statuses = object.list_at(&["status", "currentMetrics"]);
    let shown: Vec<String> =
        specs.iter().enumerate().take(SHOWN_MAX).map(|(i, spec)| metric(spec, statuses.get(i))).collect();
    let text = shown.join(", ");
    if specs.len() > SHOWN_MAX { format!("{text} + {} more...", specs.len() - SHOWN_MAX) } else { text }
}

fn metric(spec: &Value, status: Option<&Value>) -> String {
    let kind = check::text(spec, &["type"]);
    let Some((_, source)) = SOURCES.iter().find(|(known, _)| *known == kind) else {
        return "<unknown type>".to_owned();
    };
    let current = |key: &str| {
        let value = status.and_then(|status| status.at(&[source, "current", key]));
        print::scalar_or(value, "<unknown>")
    };
    let target = |key: &str| spec.at(&[source, "target", key]).filter(|value| !value.is_null());
    let name = || print::text(spec, &[source, "name"]);
    let by_resource = matches!(kind, "Resource" | "ContainerResource");
    match (target("averageValue"), by_resource) {
        (Some(wanted), true) => {
            format!("{}: {}/{}", name(), current("averageValue"), print::scalar_or(Some(wanted), ""))
        }
        (None, true) => {
            let percent = |text: String| if text.starts_with('<') { text } else { format!("{text}%") };
            let wanted = print::scalar_or(target("averageUtilization"), "<auto>");
            format!("{}: {}/{}", name(), percent(current("averageUtilization")), percent(wanted))
        }
        (Some(wanted), false) if kind == "Pods" => {
            format!("{}/{}", current("averageValue"), print::scalar_or(Some(wanted), ""))
        }
        (Some(wanted), false) => {
            format!("{}/{} (avg)", current("averageValue"), print::scalar_or(Some(wanted), ""))
        }
        (None, false) => format!("{}/{}", current("value"), print::scalar_or(target("value"), "0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_use_of_80_percent_is_aimed_at_by_default() {
        let mut object = Value::map();
        HorizontalPodAutoscaler.default(&mut object);
        assert_eq!(metrics(&object), "cpu: <unknown>/80%");
        assert_eq!(object.int_at(&["spec", "minReplicas"]), Some(1));
        let once = object.clone();
        HorizontalPodAutoscaler.default(&mut object);
        assert_eq!(object, once);
    }

    #[test]
    fn scaling_up_is_faster_than_down() {
        let mut object = Value::map();
        object.set(&["spec", "behavior"], Value::map());
        HorizontalPodAutoscaler.default(&mut object);
        assert_eq!(object.list_at(&["spec", "behavior", "scaleUp", "policies"]).len(), 2);
        assert_eq!(object.list_at(&["spec", "behavior", "scaleDown", "policies"]).len(), 1);
    }

    #[test]
    fn a_metric_names_one_source() {
        let mut errors = Vec::new();
        let metric = Value::from(Map::from([("type", Value::from("Pods")), ("resource", Value::map())]));
        metric_type(&metric, &FieldPath::root("m"), &mut errors);
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "m.pods: Required value: must populate information for the given metric source",
                "m.resource: Forbidden: must populate the given metric source only",
            ]
        );
    }
}
