//! `autoscaling/v1` and `v2` into each other. What `v1` has no field for
//! travels in annotations, as JSON.

use meta::{ApiError, ObjectMetaMut};
use registry::Conversion;
use schema::{Key, Map, Value};

use super::horizontal_pod_autoscaler::cpu_metric;

/// Annotations and what they hold, as paths in `v2`.
const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Converts between `v1` (served) and `v2` (stored).
pub(super) struct Converted;

impl Conversion for Converted {
    fn to_stored(&self, mut object: Value) -> Result<Value, ApiError> {
        let mut metrics = take_list(&mut object, METRICS);
        metrics.iter_mut().for_each(|metric| reshape_metric(metric, Direction::ToV2, "target"));
        if let Some(Value::Int(percent)) = object.remove(&["spec", "targetCPUUtilizationPercentage"]) {
            metrics.push(cpu_metric(percent));
        }
        set_list(&mut object, &["spec", "metrics"], metrics);

        let mut current = take_list(&mut object, CURRENT_METRICS);
        current.iter_mut().for_each(|metric| reshape_metric(metric, Direction::ToV2, "current"));
        if let Some(Value::Int(percent)) = object.remove(&["status", "currentCPUUtilizationPercentage"]) {
            current.push(current_cpu(percent));
        }
        set_list(&mut object, &["status", "currentMetrics"], current);

        let conditions = take_list(&mut object, CONDITIONS);
        set_list(&mut object, &["status", "conditions"], conditions);
        if let Some(behavior @ Value::Map(_)) = take(&mut object, BEHAVIOR) {
            object.set(&["spec", "behavior"], behavior);
        }
        Ok(object)
    }

    fn from_stored(&self, mut object: Value) -> Result<Value, ApiError> {
        let mut metrics = remove_list(&mut object, &["spec", "metrics"]);
        if let Some(percent) = take_cpu(&mut metrics, "target") {
            object.set(&["spec", "targetCPUUtilizationPercentage"], percent);
        }
        metrics.iter_mut().for_each(|metric| reshape_metric(metric, Direction::ToV1, "target"));
        annotate(&mut object, METRICS, Value::List(metrics));

        let mut current = remove_list(&mut object, &["status", "currentMetrics"]);
        if let Some(percent) = take_cpu(&mut current, "current") {
            object.set(&["status", "currentCPUUtilizationPercentage"], percent);
        }
        current.iter_mut().for_each(|metric| reshape_metric(metric, Direction::ToV1, "current"));
        annotate(&mut object, CURRENT_METRICS, Value::List(current));

        let conditions = remove_list(&mut object, &["status", "conditions"]);
        annotate(&mut object, CONDITIONS, Value::List(conditions));
        if let Some(behavior @ Value::Map(_)) = object.remove(&["spec", "behavior"]) {
            annotate(&mut object, BEHAVIOR, behavior);
        }
        Ok(object)
    }
}

#[derive(Clone, Copy)]
enum Direction {
    ToV1,
    ToV2,
}

/// Takes the JSON out of an annotation; none if it is absent or malformed.
fn take(object: &mut Value, annotation: &str) -> Option<Value> {
    let text = object.remove(&["metadata", "annotations", annotation])?;
    if object.map_at(&["metadata", "annotations"]).is_some_and(Map::is_empty) {
        object.remove(&["metadata", "annotations"]);
    }
    codec::json::decode_any(text.as_str()?.as_bytes()).ok()
}

fn take_list(object: &mut Value, annotation: &str) -> Vec<Value> {
    match take(object, annotation) {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    }
}

fn remove_list(object: &mut Value, path: &[&'static str]) -> Vec<Value> {
    match object.remove(path) {
        Some(Value::List(items)) => items,
        _ => Vec::new(),
    }
}

fn set_list(object: &mut Value, path: &[&'static str], items: Vec<Value>) {
    if !items.is_empty() {
        object.set(path, Value::List(items));
    }
}

/// Writes JSON into an annotation, unless it says nothing.
fn annotate(object: &mut Value, annotation: &'static str, value: Value) {
    if crate::defaults::is_empty(Some(&value)) {
        return;
    }
    let mut json = Vec::new();
    codec::json::encode_any(&value, &mut json);
    let text = String::from_utf8_lossy(&json).into_owned();
    let mut meta = ObjectMetaMut::of(object);
    let annotations = meta.map().entry(Key::borrowed("annotations"), Value::map);
    if let Some(annotations) = annotations.as_map_mut() {
        annotations.insert(Key::borrowed(annotation), text);
    }
}

fn current_cpu(percent: i64) -> Value {
    let current = Map::from([("averageUtilization", percent)]);
    let resource = Map::from([("name", Value::from("cpu")), ("current", current.into())]);
    Map::from([("type", Value::from("Resource")), ("resource", resource.into())]).into()
}

/// Takes the first metric of processor use relative to the request.
fn take_cpu(metrics: &mut Vec<Value>, part: &str) -> Option<i64> {
    let percent = |metric: &Value| {
        let is_cpu = metric.str_at(&["type"]) == Some("Resource")
            && metric.str_at(&["resource", "name"]) == Some("cpu");
        metric.int_at(&["resource", part, "averageUtilization"]).filter(|_| is_cpu)
    };
    let found = metrics.iter().position(|metric| percent(metric).is_some())?;
    percent(&metrics.remove(found))
}

/// One field of a metric's source: where it stands in `v1` and in `v2`.
type Renaming = (&'static [&'static str], &'static [&'static str]);

/// Moves the fields of a metric's source between the flat form of `v1` and the
/// nested one of `v2`. `part` is `target` for what is wanted, `current` for what is.
fn reshape_metric(metric: &mut Value, direction: Direction, part: &'static str) {
    let kind = metric.str_at(&["type"]).unwrap_or_default().to_owned();
    let source: &'static str = match kind.as_str() {
        "ContainerResource" => "containerResource",
        "External" => "external",
        "Object" => "object",
        "Pods" => "pods",
        "Resource" => "resource",
        _ => return,
    };
    let Some(source) = metric.get_mut(source) else { return };
    // What an `Object` metric describes is called `target` in `v1`: out of the
    // way before the wanted value moves in, back in after it has moved out.
    let described = match direction {
        Direction::ToV2 if kind == "Object" => source.remove(&["target"]),
        Direction::ToV1 if kind == "Object" => source.remove(&["describedObject"]),
        _ => None,
    };
    for (v1, v2) in renamings(&kind, part) {
        let (from, to) = match direction {
            Direction::ToV1 => (v2, v1),
            Direction::ToV2 => (v1, v2),
        };
        if let Some(value) = source.remove(from) {
            source.set(to, value);
        }
    }
    match direction {
        Direction::ToV1 => {
            for nested in ["target", "current", "metric"] {
                source.remove(&[nested]);
            }
            if let Some(described) = described {
                source.set(&["target"], described);
            }
        }
        Direction::ToV2 => {
            if part == "target" {
                set_target_type(source);
            }
            if let Some(described) = described {
                source.set(&["describedObject"], described);
            }
        }
    }
}

fn set_target_type(source: &mut Value) {
    let has = |key: &str| source.at(&["target", key]).is_some();
    let kind = if has("averageUtilization") {
        "Utilization"
    } else if has("averageValue") {
        "AverageValue"
    } else {
        "Value"
    };
    source.set(&["target", "type"], kind);
}

fn renamings(kind: &str, part: &str) -> &'static [Renaming] {
    match (kind, part) {
        ("Resource" | "ContainerResource", "target") => &[
            (&["targetAverageUtilization"], &["target", "averageUtilization"]),
            (&["targetAverageValue"], &["target", "averageValue"]),
        ],
        ("Resource" | "ContainerResource", _) => &[
            (&["currentAverageUtilization"], &["current", "averageUtilization"]),
            (&["currentAverageValue"], &["current", "averageValue"]),
        ],
        ("Pods", "target") => &[
            (&["metricName"], &["metric", "name"]),
            (&["selector"], &["metric", "selector"]),
            (&["targetAverageValue"], &["target", "averageValue"]),
        ],
        ("Pods", _) => &[
            (&["metricName"], &["metric", "name"]),
            (&["selector"], &["metric", "selector"]),
            (&["currentAverageValue"], &["current", "averageValue"]),
        ],
        ("External", "target") => &[
            (&["metricName"], &["metric", "name"]),
            (&["metricSelector"], &["metric", "selector"]),
            (&["targetValue"], &["target", "value"]),
            (&["targetAverageValue"], &["target", "averageValue"]),
        ],
        ("External", _) => &[
            (&["metricName"], &["metric", "name"]),
            (&["metricSelector"], &["metric", "selector"]),
            (&["currentValue"], &["current", "value"]),
            (&["currentAverageValue"], &["current", "averageValue"]),
        ],
        ("Object", "target") => &[
            (&["metricName"], &["metric", "name"]),
            (&["selector"], &["metric", "selector"]),
            (&["targetValue"], &["target", "value"]),
            (&["averageValue"], &["target", "averageValue"]),
        ],
        ("Object", _) => &[
            (&["metricName"], &["metric", "name"]),
            (&["selector"], &["metric", "selector"]),
            (&["currentValue"], &["current", "value"]),
            (&["averageValue"], &["current", "averageValue"]),
        ],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(metrics: Vec<Value>) -> Value {
        let mut object = Value::map();
        object.set(&["metadata", "name"], "a");
        object.set(&["spec", "maxReplicas"], 5);
        object.set(&["spec", "metrics"], metrics);
        object
    }

    #[test]
    fn processor_use_has_a_field_of_its_own() {
        let object = stored(vec![cpu_metric(80)]);
        let served = Converted.from_stored(object.clone()).expect("cannot fail");
        assert_eq!(served.int_at(&["spec", "targetCPUUtilizationPercentage"]), Some(80));
        assert!(served.at(&["spec", "metrics"]).is_none());
        assert_eq!(Converted.to_stored(served), Ok(object));
    }

    #[test]
    fn other_metrics_travel_in_an_annotation() {
        let target = Map::from([("type", "AverageValue"), ("averageValue", "10")]);
        let pods = Map::from([
            ("metric", Value::from(Map::from([("name", "requests")]))),
            ("target", target.into()),
        ]);
        let metric = Map::from([("type", Value::from("Pods")), ("pods", pods.into())]);
        let object = stored(vec![metric.into()]);
        let served = Converted.from_stored(object.clone()).expect("cannot fail");
        let text = served.str_at(&["metadata", "annotations", METRICS]).expect("written");
        assert_eq!(text, r#"[{"pods":{"metricName":"requests","targetAverageValue":"10"},"type":"Pods"}]"#);
        assert_eq!(Converted.to_stored(served), Ok(object));
    }
}
