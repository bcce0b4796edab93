//! Validation of events. The newer version is strict, the older one accepts
//! what clients have always sent.

use meta::validation::{NameValidation, is_dns1123_subdomain, is_qualified_name};
use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use schema::Value;

use crate::{check, print};

/// Longest reason, action and reporting instance.
const SHORT_MAX: usize = 128;
/// Longest message.
const MESSAGE_MAX: usize = 1024;

/// A new event; `version` is the version asked for.
pub(super) fn create(object: &Value, version: &str) -> FieldErrors {
    let mut errors = lenient(object, version);
    if version != "v1" {
        strict(object, &mut errors);
    }
    errors
}

/// A changed event.
pub(super) fn update(object: &Value, old: &Value, version: &str) -> FieldErrors {
    let mut errors = lenient(object, version);
    if version != "v1" {
        series(object, &mut errors);
        for field in FIXED {
            check::immutable(&mut errors, field, object, old);
        }
    }
    errors
}

const FIXED: [&str; 12] = [
    "involvedObject",
    "reason",
    "message",
    "type",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "eventTime",
    "action",
    "related",
    "reportingInstance",
];

fn lenient(object: &Value, version: &str) -> FieldErrors {
    let mut errors = Vec::new();
    let namespace = ObjectMeta::of(object).namespace();
    let involved = print::text(object, &["involvedObject", "namespace"]);
    let matches = if object.str_at(&["eventTime"]).is_none() {
        let shared = matches!(namespace, "" | "default");
        if involved.is_empty() { shared } else { involved == namespace }
    } else {
        !involved.is_empty() || matches!(namespace, "default" | "kube-system")
    };
    if !matches {
        let path = FieldPath::root("involvedObject").child("namespace");
        errors.push(FieldError::invalid_str(&path, &involved, "does not match event.namespace"));
    }
    if object.str_at(&["eventTime"]).is_some() {
        reported(object, version, &mut errors);
    }
    let path = FieldPath::root("namespace");
    check::messages(&mut errors, &path, namespace, is_dns1123_subdomain(namespace));
    errors
}

fn reported(object: &Value, version: &str, errors: &mut FieldErrors) {
    let controller = check::text(object, &["reportingComponent"]);
    let path = FieldPath::root(if version == "v1" { "reportingComponent" } else { "reportingController" });
    check::required(errors, &path, controller);
    check::messages(errors, &path, controller, is_qualified_name(controller));
    for field in ["reportingInstance", "action", "reason"] {
        let text = check::text(object, &[field]);
        check::required(errors, &FieldPath::root(field), text);
        at_most(errors, field, text, SHORT_MAX);
    }
    at_most(errors, "message", check::text(object, &["message"]), MESSAGE_MAX);
}

fn at_most(errors: &mut FieldErrors, field: &str, text: &str, max: usize) {
    if text.len() > max {
        let detail = format!("can have at most {max} characters");
        errors.push(FieldError::invalid_str(&FieldPath::root(field), "", detail));
    }
}

fn strict(object: &Value, errors: &mut FieldErrors) {
    let meta = ObjectMeta::of(object);
    let path = FieldPath::root("metadata").child("name");
    if !meta.name().is_empty() {
        check::messages(errors, &path, meta.name(), NameValidation::Dns1123Subdomain.check(meta.name()));
    }
    series(object, errors);
    if object.str_at(&["eventTime"]).is_none() {
        errors.push(FieldError::required(&FieldPath::root("eventTime"), ""));
    }
    let kind = check::text(object, &["type"]);
    if !["Normal", "Warning"].contains(&kind) {
        let detail = format!("has invalid value: {kind}");
        errors.push(FieldError::invalid_str(&FieldPath::root("type"), "", detail));
    }
    let set = |field: &str| !crate::defaults::is_empty(object.at(&[field]));
    for field in ["firstTimestamp", "lastTimestamp"] {
        if set(field) {
            errors.push(FieldError::invalid_str(&FieldPath::root(field), "", "needs to be unset"));
        }
    }
    let source = ["component", "host"].iter().any(|key| !check::text(object, &["source", key]).is_empty());
    for (field, set) in [("count", print::int(object, &["count"]) != 0), ("source", source)] {
        if set {
            errors.push(FieldError::invalid_str(&FieldPath::root(field), "", "needs to be unset"));
        }
    }
}

fn series(object: &Value, errors: &mut FieldErrors) {
    let Some(series) = object.at(&["series"]).filter(|series| !series.is_null()) else { return };
    let path = FieldPath::root("series");
    if print::int(series, &["count"]) < 2 {
        errors.push(FieldError::invalid_str(&path.child("count"), "", "should be at least 2"));
    }
    if series.str_at(&["lastObservedTime"]).is_none() {
        errors.push(FieldError::required(&path.child("lastObservedTime"), ""));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_lives_with_the_object_it_is_about() {
        let event = |namespace: &str, involved: &str| {
            let mut object = Value::map();
            object.set(&["metadata", "namespace"], namespace);
            object.set(&["involvedObject", "namespace"], involved);
            object
        };
        assert_eq!(create(&event("a", "a"), "v1"), []);
        assert_eq!(create(&event("default", ""), "v1"), []);
        assert_eq!(
            create(&event("a", "other"), "v1")[0].to_string(),
            "involvedObject.namespace: Invalid value: \"other\": does not match event.namespace"
        );
    }
}
