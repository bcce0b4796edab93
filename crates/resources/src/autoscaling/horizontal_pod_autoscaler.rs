//! `horizontalpodautoscalers`: the number of pods follows what they use.
//! Stored as `v2`; `v1`, which knows only processor use, is converted.

use std::sync::Arc;

use meta::{FieldErrors, FieldPath, GroupVersionKind};
use registry::{
    Backing, Column, PrintContext, RequestContext, ResourceDef, StorageDef, Strategy, Subresource,
};
use schema::{Map, Value};

use super::validation;
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
        validation::spec(object, 1)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        // One that scales to nothing already may go on doing so.
        let least = if old.int_at(&["spec", "minReplicas"]) == Some(0) { 0 } else { 1 };
        validation::spec(object, least)
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

/// Sources by the type that names them.
pub(super) const SOURCES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

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
}
