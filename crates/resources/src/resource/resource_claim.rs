//! Resource claims ask for devices. What is asked for cannot be changed; the
//! scheduler writes what was given, and to whom, into the status.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::print as show;
use crate::resource::{
    GROUP, default_claim_spec, request_names, validate_claim_spec, validate_request_names,
};

const CONSUMERS_MAX: usize = 256;

/// Resource claims as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        subresources: vec![Subresource::status()],
        columns: vec![Column::name(), Column::string("State"), Column::string("Age")],
        returns_deleted_object: true,
        status_metadata: StatusMetadata::Kept,
        ..ResourceDef::stored(GROUP, "v1", "resourceclaims", "ResourceClaim", ResourceClaimStrategy)
    }
}

struct ResourceClaimStrategy;

impl Strategy for ResourceClaimStrategy {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = defaults::object(object, "spec") {
            default_claim_spec(spec);
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        validate_claim_spec(&mut errors, &at("spec"), object.get("spec").unwrap_or(&Value::Null));
        errors
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        let mut errors = Vec::new();
        let spec = "io.k8s.api.resource.v1.ResourceClaimSpec";
        check::immutable_struct(&mut errors, "spec", spec, object, old, check::IMMUTABLE);
        errors
    }

    fn validate_status_update(&self, _: &RequestContext, object: &Value, old: &Value) -> FieldErrors {
        validate_status(object, old)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        show::with_name_and_age(object, print, [state(object).into()])
    }
}

fn state(object: &Value) -> String {
    let mut states = Vec::new();
    if ObjectMeta::of(object).deletion_timestamp().is_some() {
        states.push("deleted");
    }
    if object.at(&["status", "allocation"]).is_some() {
        states.push("allocated");
    } else if states.is_empty() {
        states.push("pending");
    }
    if !object.list_at(&["status", "reservedFor"]).is_empty() {
        states.push("reserved");
    }
    states.join(",")
}

fn validate_status(object: &Value, old: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let status = at("status");
    let allocation = object.at(&["status", "allocation"]);
    let known = request_names(object.list_at(&["spec", "devices", "requests"]));
    let results =
        allocation.map(|allocation| allocation.list_at(&["devices", "results"])).unwrap_or_default();
    for (i, result) in results.iter().enumerate() {
        let path = status.child("allocation.devices.results").index(i);
        let mut wrong = Vec::new();
        validate_request_names(&mut wrong, &path, &[text(result, &["request"]).into()], &known);
        // The check names an item of a list; here the request is a field of its own.
        errors.extend(wrong.into_iter().map(|error| FieldError { field: path.child("request"), ..error }));
        for key in ["driver", "pool", "device"] {
            check::required(&mut errors, &path.child(key), text(result, &[key]));
        }
    }
    let consumers = object.list_at(&["status", "reservedFor"]);
    if consumers.len() > CONSUMERS_MAX {
        errors.push(FieldError::too_many(&status.child("reservedFor"), consumers.len(), CONSUMERS_MAX));
    }
    if allocation.is_none() && !consumers.is_empty() {
        let detail = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden(&status.child("reservedFor"), detail));
    }
    let mut uids = BTreeSet::new();
    for (i, consumer) in consumers.iter().enumerate() {
        let path = status.child("reservedFor").index(i);
        for key in ["resource", "name", "uid"] {
            check::required(&mut errors, &path.child(key), text(consumer, &[key]));
        }
        if !uids.insert(text(consumer, &["uid"])) {
            errors.push(FieldError::duplicate(&path.child("uid"), &text(consumer, &["uid"]).into()));
        }
    }
    if old.at(&["status", "allocation"]).is_some() && allocation.is_some() {
        let result = "io.k8s.api.resource.v1.AllocationResult";
        check::immutable_struct(&mut errors, "status.allocation", result, object, old, check::IMMUTABLE);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, context, defaulted, object, problems, update_problems};

    fn claim(requests: &str) -> Value {
        defaulted(
            &definition(),
            &format!(r#"{{"metadata":{{"name":"a"}},"spec":{{"devices":{{"requests":[{requests}]}}}}}}"#),
        )
    }

    #[test]
    fn one_device_is_asked_for_by_default() {
        let claim = claim(
            r#"{"name":"r","exactly":{"deviceClassName":"c"}},{"name":"s","exactly":{"deviceClassName":"c","allocationMode":"All"}}"#,
        );
        let requests = claim.list_at(&["spec", "devices", "requests"]);
        assert_eq!(requests[0].int_at(&["exactly", "count"]), Some(1));
        assert_eq!(requests[0].str_at(&["exactly", "allocationMode"]), Some("ExactCount"));
        assert_eq!(requests[1].int_at(&["exactly", "count"]), None);
        assert!(problems(&definition(), &claim).is_empty());
    }

    #[test]
    fn requests_are_named_and_ask_for_something() {
        for (requests, expected) in [
            (
                r#"{"name":"r","exactly":{}}"#,
                "spec.devices.requests[0].exactly.deviceClassName: Required value",
            ),
            (
                r#"{"name":"r"}"#,
                "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
            ),
            (
                r#"{"name":"r","exactly":{"deviceClassName":"c","count":-1}}"#,
                "spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero",
            ),
        ] {
            assert_eq!(problems(&definition(), &claim(requests)), [expected]);
        }
    }

    #[test]
    fn what_is_asked_for_stays() {
        let old = claim(r#"{"name":"r","exactly":{"deviceClassName":"c"}}"#);
        let mut new = old.clone();
        new.set(&["spec", "devices", "requests"], Value::List(Vec::new()));
        assert_eq!(
            update_problems(&definition(), &new, &old),
            [
                "spec: Invalid value: {\"Devices\":{\"Requests\":[],\"Constraints\":null,\"Config\":null}}: field is \
              immutable"
            ]
        );
    }

    #[test]
    fn nothing_is_reserved_before_it_is_allocated() {
        let mut claim = claim("");
        let consumer = object(r#"[{"resource":"pods","name":"p","uid":"u"}]"#);
        claim.set(&["status", "reservedFor"], consumer);
        let errors = definition().strategy.validate_status_update(&context(), &claim, &Value::map());
        assert_eq!(
            errors[0].to_string(),
            "status.reservedFor: Forbidden: may not be specified when `allocated` is not set"
        );
        claim.set(&["status", "allocation"], Value::map());
        assert_eq!(cells(&definition(), &claim)[1], Value::from("allocated,reserved"));
    }
}
