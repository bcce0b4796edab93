//! Resource slices publish the devices a driver offers: on one node, on some
//! or on all. Watchers select them by node and by driver.

use std::collections::BTreeSet;

use meta::validation::{is_dns1123_label, is_dns1123_subdomain, is_label_value, is_qualified_name};
use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::{Map, Value};

use crate::check::{self, at, text};
use crate::defaults::{self, is_empty};
use crate::print as show;
use crate::resource::{GROUP, bounded, validate_driver};

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

/// Devices of a slice, if any has taints or shares counters.
const BURDENED_DEVICES_MAX: usize = 64;
/// Attributes and capacities of a device together.
const ATTRIBUTES_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
/// Sets of counters a device takes from.
const CONSUMPTIONS_MAX: usize = 2;
const TRUE_OR_UNSET: &str = "must be either unset or set to true";

struct ResourceSliceStrategy;

impl Strategy for ResourceSliceStrategy {
    fn prepare_for_create(&self, context: &RequestContext, object: &mut Value) {
        stamp_taints(context, object);
    }

    fn prepare_for_update(&self, context: &RequestContext, object: &mut Value, _: &Value) {
        stamp_taints(context, object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object, None)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        validate(object, Some(old))
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

fn validate(object: &Value, old: Option<&Value>) -> FieldErrors {
    let mut errors = Vec::new();
    let Some(spec) = object.get("spec") else { return FieldError::required(&at("spec"), "").into() };
    let path = at("spec");
    validate_driver(&mut errors, &path.child("driver"), text(spec, &["driver"]));
    validate_pool(&mut errors, &path.child("pool"), spec.get("pool").unwrap_or(&Value::Null));
    if let Some(old) = old {
        for field in ["spec.pool.name", "spec.driver", "spec.nodeName"] {
            check::immutable(&mut errors, field, object, old);
        }
    }
    validate_place(&mut errors, spec);
    let (devices, counters) = (spec.list_at(&["devices"]), spec.list_at(&["sharedCounters"]));
    if check::given(spec, &["devices"]).is_some() && check::given(spec, &["sharedCounters"]).is_some() {
        let detail = "only one of `sharedCounters` or `devices` is allowed";
        errors.push(FieldError::invalid_str(&path, "", detail));
    }
    let burdened = |device: &Value| {
        !device.list_at(&["taints"]).is_empty() || !device.list_at(&["consumesCounters"]).is_empty()
    };
    let max = if devices.iter().any(burdened) { BURDENED_DEVICES_MAX } else { DEVICES_MAX };
    bounded(&mut errors, &path.child("devices"), devices, max);
    let per_device = spec.bool_at(&["perDeviceNodeSelection"]) == Some(true);
    let mut names = BTreeSet::new();
    for (i, device) in devices.iter().enumerate() {
        let path = path.child("devices").index(i);
        let name = text(device, &["name"]);
        let before = old.map(|old| old.list_at(&["spec", "devices"])).unwrap_or_default();
        let before = before.iter().find(|other| text(other, &["name"]) == name);
        validate_device(&mut errors, &path, device, before, per_device);
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
    }
    bounded(&mut errors, &path.child("sharedCounters"), counters, COUNTER_SETS_MAX);
    validate_counters(&mut errors, &path.child("sharedCounters"), counters, "name");
    errors
}

fn validate_device(
    errors: &mut FieldErrors,
    path: &FieldPath,
    device: &Value,
    old: Option<&Value>,
    per_device: bool,
) {
    let name = text(device, &["name"]);
    if check::required(errors, &path.child("name"), name) {
        check::messages(errors, &path.child("name"), name, is_dns1123_label(name));
    }
    let count: usize =
        ["attributes", "capacity"].iter().map(|key| device.map_at(&[key]).map_or(0, Map::len)).sum();
    if count > ATTRIBUTES_MAX {
        let detail =
            format!("the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}");
        errors.push(FieldError::invalid(path, &(count as i64).into(), detail));
    }
    validate_attributes(errors, &path.child("attributes"), device);
    // Taints that were there may have been added under other rules.
    if old.is_none_or(|old| !check::same(old.get("taints"), device.get("taints"))) {
        validate_taints(errors, &path.child("taints"), device.list_at(&["taints"]));
    }
    let consumed = device.list_at(&["consumesCounters"]);
    bounded(errors, &path.child("consumesCounters"), consumed, CONSUMPTIONS_MAX);
    validate_counters(errors, &path.child("consumesCounters"), consumed, "counterSet");
    validate_device_place(errors, path, device, per_device);
}

fn validate_taints(errors: &mut FieldErrors, path: &FieldPath, taints: &[Value]) {
    bounded(errors, path, taints, TAINTS_MAX);
    for (i, taint) in taints.iter().enumerate() {
        let path = path.index(i);
        let (key, value) = (text(taint, &["key"]), text(taint, &["value"]));
        check::messages(errors, &path.child("key"), key, is_qualified_name(key));
        check::messages(errors, &path.child("value"), value, is_label_value(value));
        let effect = text(taint, &["effect"]);
        check::required_one_of(errors, &path.child("effect"), effect, &["NoExecute", "NoSchedule"]);
    }
}

/// Counters in sets of their own name, which stands in field `key`.
fn validate_counters(errors: &mut FieldErrors, path: &FieldPath, sets: &[Value], key: &str) {
    let mut names = BTreeSet::new();
    for (i, set) in sets.iter().enumerate() {
        let path = path.index(i);
        let name = text(set, &[key]);
        if check::required(errors, &path.child(key), name) {
            check::messages(errors, &path.child(key), name, is_dns1123_label(name));
        }
        let path_of_counters = path.child("counters");
        let counters = set.map_at(&["counters"]).filter(|counters| !counters.is_empty());
        match counters {
            None => errors.push(FieldError::required(&path_of_counters, "")),
            Some(counters) => {
                if counters.len() > COUNTERS_MAX {
                    errors.push(FieldError::too_many(&path_of_counters, counters.len(), COUNTERS_MAX));
                }
                for counter in counters.keys() {
                    check::messages(errors, &path_of_counters, counter, is_dns1123_label(counter));
                }
            }
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(&path, &name.into()));
        }
    }
}

/// Where a device is, if the slice leaves that to its devices.
fn validate_device_place(errors: &mut FieldErrors, path: &FieldPath, device: &Value, per_device: bool) {
    const PLACES: [&str; 3] = ["nodeName", "nodeSelector", "allNodes"];
    const ONE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
        `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    let given: Vec<&str> =
        PLACES.into_iter().filter(|place| check::given(device, &[place]).is_some()).collect();
    if !per_device {
        if !given.is_empty() {
            let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is \
                          set to true in the ResourceSlice spec";
            errors.push(FieldError::invalid(path, &Value::Null, detail));
        }
        return;
    }
    if let Some(node) = device.str_at(&["nodeName"]) {
        let path = path.child("nodeName");
        if node.is_empty() {
            errors.push(FieldError::invalid_str(&path, node, "must not be empty"));
        } else {
            check::messages(errors, &path, node, is_dns1123_subdomain(node));
        }
    }
    let nowhere = |place: &&str| match *place {
        "nodeName" => text(device, &["nodeName"]).is_empty(),
        "allNodes" => device.bool_at(&["allNodes"]) != Some(true),
        _ => false,
    };
    if device.bool_at(&["allNodes"]) == Some(false) {
        errors.push(FieldError::invalid(&path.child("allNodes"), &false.into(), TRUE_OR_UNSET));
    }
    let named: Vec<String> =
        given.into_iter().filter(|place| !nowhere(place)).map(|place| format!("`{place}`")).collect();
    match named.len() {
        0 => errors.push(FieldError::required(path, ONE)),
        1 => {}
        _ => errors.push(FieldError::invalid_str(path, &format!("{{{}}}", named.join(", ")), ONE)),
    }
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
    if let Some(generation) = pool.int_at(&["generation"]).filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(&path.child("generation"), &generation.into(), detail));
    }
}

fn validate_place(errors: &mut FieldErrors, spec: &Value) {
    let given = |place: &&str| match spec.get(place) {
        Some(Value::Bool(yes)) => *yes,
        other => !is_empty(other),
    };
    let places: Vec<&str> = PLACES.into_iter().filter(given).collect();
    if let Some(node) = spec.str_at(&["nodeName"]) {
        let path = at("spec.nodeName");
        if node.is_empty() {
            let detail = "must be either unset or set to a non-empty string";
            errors.push(FieldError::invalid_str(&path, node, detail));
        } else {
            check::messages(errors, &path, node, is_dns1123_subdomain(node));
        }
    }
    let terms = spec.list_at(&["nodeSelector", "nodeSelectorTerms"]);
    if check::given(spec, &["nodeSelector"]).is_some() && terms.len() != 1 {
        let shown = crate::go_form::show_list("io.k8s.api.core.v1.NodeSelectorTerm", terms);
        let detail = "must have exactly one node selector term";
        errors.push(check::invalid_shown(&at("spec.nodeSelector.nodeSelectorTerms"), shown, detail));
    }
    for key in ["allNodes", "perDeviceNodeSelection"] {
        if spec.bool_at(&[key]) == Some(false) {
            errors.push(FieldError::invalid(&at("spec").child(key), &false.into(), TRUE_OR_UNSET));
        }
    }
    match places[..] {
        [] => errors.push(FieldError::required(&at("spec"), ONE_PLACE)),
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
        let path_of_value = path.key(name);
        for key in ["string", "version"] {
            if attribute.str_at(&[key]).is_some_and(|value| value.len() > VALUE_BYTES_MAX) {
                errors.push(FieldError::too_long(&path_of_value.child(key), VALUE_BYTES_MAX));
            }
        }
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
    use crate::testing::{cells, object, problems, refuses, update_problems};

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

    const SLICE: &str = r#"{"metadata":{"name":"a"},"spec":{"driver":"d.io","nodeName":"n","devices":[{"name":"x"}],
        "pool":{"name":"p","generation":1,"resourceSliceCount":1}}}"#;

    #[test]
    fn a_slice_is_in_one_place_and_its_devices_follow() {
        refuses(
            &definition(),
            SLICE,
            &[
                (
                    r#"{"spec":{"allNodes":false,"pool":{"generation":-1}}}"#,
                    &[
                        "spec.pool.generation: Invalid value: -1: must be greater than or equal to zero",
                        "spec.allNodes: Invalid value: false: must be either unset or set to true",
                    ],
                ),
                (
                    r#"{"spec":{"devices":[{"name":"x","nodeName":"m"}]}}"#,
                    &[
                        "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set \
                       if `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
                    ],
                ),
                (
                    r#"{"spec":{"nodeName":null,"perDeviceNodeSelection":true}}"#,
                    &[
                        "spec.devices[0]: Required value: exactly one of `nodeName`, `nodeSelector`, or `allNodes` is \
                       required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec",
                    ],
                ),
                (
                    r#"{"spec":{"devices":[{"name":"x","taints":[{"key":"k","effect":"Never"}],
                        "consumesCounters":[{"counterSet":"c"}]}]}}"#,
                    &[
                        "spec.devices[0].taints[0].effect: Unsupported value: \"Never\": supported values: \
                         \"NoExecute\", \"NoSchedule\"",
                        "spec.devices[0].consumesCounters[0].counters: Required value",
                    ],
                ),
                (
                    r#"{"spec":{"sharedCounters":[{"name":"C_","counters":{"m":{"value":"1"}}}]}}"#,
                    &[
                        "spec: Invalid value: \"\": only one of `sharedCounters` or `devices` is allowed",
                        "spec.sharedCounters[0].name: Invalid value: \"C_\": a lowercase RFC 1123 label must consist \
                         of lower case alphanumeric characters or '-', and must start and end with an alphanumeric \
                         character (e.g. 'my-name',  or '123-abc', regex used for validation is \
                         '[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
                    ],
                ),
            ],
        );
    }
}
