//! `limitranges`: bounds and defaults for the resources of a namespace's pods.
//!
//! Odd: one created without any name is given a UUID.

use meta::{FieldErrors, ObjectMetaMut};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::{Key, Map, Value};

use super::limit_range_validation;
use crate::{defaults, print};

/// `limitranges`.
pub fn definition() -> ResourceDef {
    let created = Column { kind: "date", ..Column::string("Created At") };
    ResourceDef {
        short_names: vec!["limits".into()],
        columns: vec![Column::name(), created],
        create_on_update: true,
        repeats_metadata_validation: true,
        ..ResourceDef::stored("", "v1", "limitranges", "LimitRange", LimitRange)
    }
}

struct LimitRange;

impl Strategy for LimitRange {
    fn default(&self, object: &mut Value) {
        let Some(spec) = defaults::object(object, "spec") else { return };
        for item in defaults::items(spec, "limits") {
            for list in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
                defaults::resources::round(item.get_mut(list));
            }
            if item.str_at(&["type"]) == Some("Container") {
                container_defaults(item);
            }
        }
    }

    fn prepare_for_create(&self, context: &RequestContext, object: &mut Value) {
        let mut meta = ObjectMetaMut::of(object);
        if meta.view().name().is_empty() && meta.view().generate_name().is_empty() {
            meta.set_name(context.environment.random.uuid());
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        limit_range_validation::check_all(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        limit_range_validation::check_all(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        print::name_and_creation(object, print)
    }
}

/// A container's default limit is the maximum; its default request is the
/// default limit, else the minimum.
fn container_defaults(item: &mut Value) {
    fill(item, "default", "max");
    fill(item, "defaultRequest", "default");
    fill(item, "defaultRequest", "min");
}

fn fill(item: &mut Value, target: &'static str, source: &str) {
    let Some(source) = item.map_at(&[source]).filter(|map| !map.is_empty()).cloned() else { return };
    let target: &mut Map = item.ensure_map(&[target]);
    for (key, value) in source {
        let name: Key = key;
        if !target.contains_key(name.as_str()) {
            target.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_limits_follow_the_maximum_and_requests_the_limits() {
        let item = Map::from([
            ("type", Value::from("Container")),
            ("max", Map::from([("cpu", "2")]).into()),
            ("min", Map::from([("cpu", "100m"), ("memory", "1Mi")]).into()),
        ]);
        let mut object = Value::map();
        object.set(&["spec", "limits"], vec![item]);
        LimitRange.default(&mut object);
        let item = &object.list_at(&["spec", "limits"])[0];
        assert_eq!(item.str_at(&["default", "cpu"]), Some("2"));
        assert_eq!(item.str_at(&["defaultRequest", "cpu"]), Some("2"));
        assert_eq!(item.str_at(&["defaultRequest", "memory"]), Some("1Mi"));
    }
}
