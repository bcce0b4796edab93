//! CSI nodes list the drivers that run on a node. A driver may come and go,
//! and how much it can take may change; the rest of it may not.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, FieldPath};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::print as show;
use crate::storage::{GROUP, csi_driver};

const NODE_ID_BYTES_MAX: usize = 256;

/// CSI nodes as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        columns: vec![Column::name(), Column::integer("Drivers"), Column::string("Age")],
        unconditional_update: false,
        returns_deleted_object: true,
        ..ResourceDef::stored(GROUP, "v1", "csinodes", "CSINode", CsiNodeStrategy)
    }
}

struct CsiNodeStrategy;

impl Strategy for CsiNodeStrategy {
    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = validate(object);
        for new in object.list_at(&["spec", "drivers"]) {
            let name = new.get("name");
            let same_name = |driver: &&Value| driver.get("name") == name;
            let Some(old) = old.list_at(&["spec", "drivers"]).iter().find(same_name) else { continue };
            let (new, old) = (without_allocatable(new), without_allocatable(old));
            if !check::same(Some(&new), Some(&old)) {
                let shown = crate::go_form::show("io.k8s.api.storage.v1.CSINodeDriver", Some(&new));
                errors.push(check::invalid_shown(&at("spec.drivers"), shown, check::IMMUTABLE));
            }
        }
        errors
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let drivers = object.list_at(&["spec", "drivers"]).len() as i64;
        show::with_name_and_age(object, print, [drivers.into()])
    }
}

fn without_allocatable(driver: &Value) -> Value {
    let mut driver = driver.clone();
    driver.remove(&["allocatable"]);
    driver
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for (i, driver) in object.list_at(&["spec", "drivers"]).iter().enumerate() {
        let path = at("spec.drivers").index(i);
        validate_driver(&mut errors, &path, driver, &mut names);
    }
    errors
}

fn validate_driver<'a>(
    errors: &mut FieldErrors,
    path: &FieldPath,
    driver: &'a Value,
    names: &mut BTreeSet<&'a str>,
) {
    let name = text(driver, &["name"]);
    csi_driver::validate_driver_name(errors, &path.child("name"), name);
    let id = text(driver, &["nodeID"]);
    if check::required(errors, &path.child("nodeID"), id) && id.len() > NODE_ID_BYTES_MAX {
        let detail = format!("must be {NODE_ID_BYTES_MAX} characters or less");
        errors.push(FieldError::invalid_str(&path.child("nodeID"), id, detail));
    }
    check::not_negative(errors, &path.child("allocatable.count"), driver.int_at(&["allocatable", "count"]));
    if !names.insert(name) {
        errors.push(FieldError::duplicate(&path.child("name"), &name.into()));
    }
    let mut keys = BTreeSet::new();
    for key in driver.list_at(&["topologyKeys"]).iter().filter_map(Value::as_str) {
        check::required(errors, path, key);
        if !keys.insert(key) {
            errors.push(FieldError::duplicate(path, &key.into()));
        }
        check::messages(errors, path, key, meta::validation::is_qualified_name(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{object, problems, update_problems};

    #[test]
    fn drivers_are_distinct_and_complete() {
        let node = object(
            r#"{"spec":{"drivers":[{"name":"d"},{"name":"d","nodeID":"x","topologyKeys":["a","a"],"allocatable":{"count":-1}}]}}"#,
        );
        assert_eq!(
            problems(&definition(), &node),
            [
                "spec.drivers[0].nodeID: Required value",
                "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
                "spec.drivers[1].name: Duplicate value: \"d\"",
                "spec.drivers[1]: Duplicate value: \"a\"",
            ]
        );
    }

    #[test]
    fn a_driver_may_change_its_capacity_only() {
        let node = |driver: &str| object(&format!(r#"{{"spec":{{"drivers":[{driver}]}}}}"#));
        let old = node(r#"{"name":"d","nodeID":"n","allocatable":{"count":5}}"#);
        let grown = node(r#"{"name":"d","nodeID":"n","allocatable":{"count":6}}"#);
        assert!(update_problems(&definition(), &grown, &old).is_empty());
        assert_eq!(
            update_problems(&definition(), &node(r#"{"name":"d","nodeID":"m"}"#), &old),
            ["spec.drivers: Invalid value: {\"Name\":\"d\",\"NodeID\":\"m\",\"TopologyKeys\":null,\
              \"Allocatable\":null}: field is immutable"]
        );
    }
}
