//! Resource slices publish the devices a driver offers: on one node, on some
//! or on all. Watchers select them by node and by driver.

use std::collections::BTreeSet;

use meta::validation::{is_dns1123_label, is_dns1123_subdomain};
use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::{Map, Value};

use crate::check::{self, at, text};
use crate::defaults::{self, is_empty};
use crate::print as show;
use crate::resource::{GROUP, validate_driver};

const DEVICES_MAX: usize = 128;
const PLACES: [&str; 4] = ["nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection"];
const ONE_PLACE: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

/// Resource slices as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: vec![
            Column::name(),
            Column::string("Node"),
            Column::string("Driver"),
            Column::string("Pool"),
            Column::string("Age"),
        ],
        selectable_fields: vec!["spec.driver".into(), "spec.nodeName".into()],
        generation: true,
        returns_deleted_object: true,
        ..ResourceDef::stored(GROUP, "v1", "resourceslices", "ResourceSlice", ResourceSliceStrategy)
    }
}

struct ResourceSliceStrategy;

impl Strategy for ResourceSliceStrategy {
    fn prepare_for_create(&self, context: &RequestContext, object: &mut Value) {
        stamp_taints(context, object);
    }

    fn prepare_for_update(&self, context: &RequestContext, object: &mut Value, _: &Value) {
        stamp_taints(context, object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validate(object);
        for field in ["spec.driver", "spec.nodeName", "spec.pool.name"] {
            check::immutable(&mut errors, field, object, old);
        }
        errors
    }

    fn field(&self, object: &Value, label: &str) -> String {
        match label {
            "spec.driver" => text(object, &["spec", "driver"]).to_owned(),
            "spec.nodeName" => text(object, &["spec", "nodeName"]).to_owned(),
            _ => String::new(),
        }
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let cell = |path: &[&str]| Value::from(text(object, path));
        let between =
            [cell(&["spec", "nodeName"]), cell(&["spec", "driver"]), cell(&["spec", "pool", "name"])];
        show::with_name_and_age(object, print, between)
    }
}

/// Tolerations count from when a taint was added.
fn stamp_taints(context: &RequestContext, object: &mut Value) {
    let now = check::now(context);
    let Some(spec) = defaults::object(object, "spec") else { return };
    for device in defaults::items(spec, "devices") {
        for taint in defaults::items(device, "taints") {
            defaults::pointer(taint, "timeAdded", now.as_str());
        }
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let Some(spec) = object.get("spec") else { return FieldError::required(&at("spec"), "").into() };
    let path = at("spec");
    validate_driver(&mut errors, &path.child("driver"), text(spec, &["driver"]));
    validate_pool(&mut errors, &path.child("pool"), spec.get("pool").unwrap_or(&Value::Null));
    validate_place(&mut errors, spec);
    let devices = spec.list_at(&["devices"]);
    if devices.len() > DEVICES_MAX {
        errors.push(FieldError::too_many(&path.child("devices"), devices.len(), DEVICES_MAX));
    }
    let mut names = BTreeSet::new();
    for (i, device) in devices.iter().enumerate() {
        let path = path.child("devices").index(i);
        let name = text(device, &["name"]);
        if check::required(&mut errors, &path.child("name"), name) {
            check::messages(&mut errors, &path.child("name"), name, is_dns1123_label(name));
        }
        validate_attributes(&mut errors, &path.child("attributes"), device);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
    }
    errors
}

fn validate_pool(errors: &mut FieldErrors, path: &FieldPath, pool: &Value) {
    let name = text(pool, &["name"]);
    if check::required(errors, &path.child("name"), name) {
        for part in name.split('/') {
            check::messages(errors, &path.child("name"), part, is_dns1123_subdomain(part));
        }
    }
    let count = pool.int_at(&["resourceSliceCount"]).unwrap_or_default();
    if count <= 0 {
        let detail = "must be greater than zero";
        errors.push(FieldError::invalid(&path.child("resourceSliceCount"), &count.into(), detail));
    }
    check::not_negative(errors, &path.child("generation"), pool.int_at(&["generation"]));
}

fn validate_place(errors: &mut FieldErrors, spec: &Value) {
    let given = |place: &&str| match spec.get(place) {
        Some(Value::Bool(yes)) => *yes,
        other => !is_empty(other),
    };
    let places: Vec<&str> = PLACES.into_iter().filter(given).collect();
    match places[..] {
        [] => errors.push(FieldError::required(&at("spec"), ONE_PLACE)),
        ["nodeName"] => {
            let node = text(spec, &["nodeName"]);
            check::messages(errors, &at("spec.nodeName"), node, is_dns1123_subdomain(node));
        }
        [_] => {}
        _ => {
            let given: Vec<String> = places.iter().map(|place| format!("`{place}`")).collect();
            let shown = format!("{{{}}}", given.join(", "));
            let detail = format!("{ONE_PLACE}, but multiple fields are set");
            errors.push(FieldError::invalid_str(&at("spec"), &shown, detail));
        }
    }
}

fn validate_attributes(errors: &mut FieldErrors, path: &FieldPath, device: &Value) {
    const DETAIL: &str = "exactly one value must be specified";
    for (name, attribute) in device.map_at(&["attributes"]).into_iter().flat_map(Map::iter) {
        match attribute.as_map().map_or(0, Map::len) {
            0 => errors.push(FieldError::invalid_str(&path.key(name), "", DETAIL)),
            1 => {}
            _ => errors.push(check::invalid_shown(&path.key(name), show_attribute(attribute), DETAIL)),
        }
    }
}

/// The Go fields of an attribute have longer names than its JSON.
fn show_attribute(attribute: &Value) -> String {
    const FIELDS: [(&str, &str); 8] = [
        ("int", "IntValue"),
        ("bool", "BoolValue"),
        ("string", "StringValue"),
        ("version", "VersionValue"),
        ("ints", "IntValues"),
        ("bools", "BoolValues"),
        ("strings", "StringValues"),
        ("versions", "VersionValues"),
    ];
    let show = |(key, name): &(&str, &str)| {
        let value = attribute.get(key).unwrap_or(&Value::Null);
        format!("\"{name}\":{}", meta::field::show(value))
    };
    format!("{{{}}}", FIELDS.iter().map(show).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, object, problems, update_problems};

    fn slice(rest: &str) -> Value {
        object(&format!(
            r#"{{"metadata":{{"name":"a"}},"spec":{{"driver":"d.example","pool":{{"name":"p","resourceSliceCount":1}}{rest}}}}}"#
        ))
    }

    #[test]
    fn a_slice_is_in_one_place_and_found_by_it() {
        let on_node = slice(r#","nodeName":"n","devices":[{"name":"dev"}]"#);
        assert!(problems(&definition(), &on_node).is_empty());
        assert_eq!(definition().strategy.field(&on_node, "spec.nodeName"), "n");
        assert_eq!(cells(&definition(), &on_node)[1..4], ["n", "d.example", "p"].map(Value::from));
        assert_eq!(problems(&definition(), &slice("")), [format!("spec: Required value: {ONE_PLACE}")]);
        assert_eq!(
            problems(&definition(), &slice(r#","nodeName":"n","allNodes":true"#)),
            [format!(
                "spec: Invalid value: \"{{`nodeName`, `allNodes`}}\": {ONE_PLACE}, but multiple fields are set"
            )]
        );
    }

    #[test]
    fn an_attribute_has_one_value() {
        let two =
            slice(r#","allNodes":true,"devices":[{"name":"a","attributes":{"x":{"int":1,"bool":true}}}]"#);
        assert_eq!(
            problems(&definition(), &two),
            [
                "spec.devices[0].attributes[x]: Invalid value: {\"IntValue\":1,\"BoolValue\":true,\"StringValue\":null,\
              \"VersionValue\":null,\"IntValues\":null,\"BoolValues\":null,\"StringValues\":null,\
              \"VersionValues\":null}: exactly one value must be specified"
            ]
        );
    }

    #[test]
    fn driver_and_node_stay() {
        let old = slice(r#","nodeName":"n""#);
        assert_eq!(
            update_problems(&definition(), &slice(r#","nodeName":"z""#), &old),
            ["spec.nodeName: Invalid value: \"z\": field is immutable"]
        );
    }
}
