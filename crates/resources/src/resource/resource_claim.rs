//! Resource claims ask for devices. What is asked for cannot be changed; the
//! scheduler writes what was given, and to whom, into the status.

use std::collections::BTreeSet;

use meta::{FieldError, FieldErrors, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::conditions;
use crate::defaults;
use crate::print as show;
use crate::resource::{
    CONFIGS_MAX, GROUP, bounded, default_claim_spec, request_names, validate_claim_spec, validate_config,
    validate_request_name, validate_request_names,
};

const CONSUMERS_MAX: usize = 256;
const RESULTS_MAX: usize = 32;
const CONDITIONS_MAX: usize = 8;

/// Resource claims as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        subresources: vec![Subresource::status()],
        columns: vec![Column::name(), Column::string("State"), Column::string("Age")],
        returns_deleted_object: true,
        repeats_metadata_validation: true,
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
    validate_consumers(&mut errors, object, old);
    for (i, device) in object.list_at(&["status", "devices"]).iter().enumerate() {
        let path = at("status.devices").index(i).child("conditions");
        let conditions = device.list_at(&["conditions"]);
        bounded(&mut errors, &path, conditions, CONDITIONS_MAX);
        conditions::validate(&mut errors, &path, conditions);
    }
    let allocation = |object: &Value| check::given(object, &["status", "allocation"]).cloned();
    match (allocation(old), allocation(object)) {
        (Some(_), Some(_)) => {
            let result = "io.k8s.api.resource.v1.AllocationResult";
            check::immutable_struct(&mut errors, "status.allocation", result, object, old, check::IMMUTABLE);
        }
        (None, Some(allocation)) => validate_allocation(&mut errors, object, &allocation),
        (_, None) => {}
    }
    errors
}

/// Who uses the claim: only what is allocated is used, and nothing that is on its way out is used anew.
fn validate_consumers(errors: &mut FieldErrors, object: &Value, old: &Value) {
    let path = at("status.reservedFor");
    let consumers = object.list_at(&["status", "reservedFor"]);
    bounded(errors, &path, consumers, CONSUMERS_MAX);
    let mut uids = BTreeSet::new();
    for (i, consumer) in consumers.iter().enumerate() {
        let path = path.index(i);
        for key in ["resource", "name", "uid"] {
            check::required(errors, &path.child(key), text(consumer, &[key]));
        }
        if !uids.insert(text(consumer, &["uid"])) {
            errors.push(FieldError::duplicate(&path, &text(consumer, &["uid"]).into()));
        }
    }
    if consumers.is_empty() {
        return;
    }
    if check::given(object, &["status", "allocation"]).is_none() {
        let detail = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden(&path, detail));
    } else if ObjectMeta::of(object).deletion_timestamp().is_some() {
        let before = old.list_at(&["status", "reservedFor"]);
        if consumers.iter().any(|consumer| !before.contains(consumer)) {
            let detail =
                "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
}

fn validate_allocation(errors: &mut FieldErrors, object: &Value, allocation: &Value) {
    let known = request_names(object.list_at(&["spec", "devices", "requests"]));
    let path = at("status.allocation.devices");
    let results = allocation.list_at(&["devices", "results"]);
    bounded(errors, &path.child("results"), results, RESULTS_MAX);
    for (i, result) in results.iter().enumerate() {
        let path = path.child("results").index(i);
        validate_request_name(errors, &path.child("request"), text(result, &["request"]), &known);
        for key in ["driver", "pool", "device"] {
            check::required(errors, &path.child(key), text(result, &[key]));
        }
    }
    let configs = allocation.list_at(&["devices", "config"]);
    bounded(errors, &path.child("config"), configs, 2 * CONFIGS_MAX);
    for (i, config) in configs.iter().enumerate() {
        let path = path.child("config").index(i);
        let source = text(config, &["source"]);
        check::required_one_of(errors, &path.child("source"), source, &["FromClaim", "FromClass"]);
        validate_request_names(errors, &path.child("requests"), config.list_at(&["requests"]), &known);
        validate_config(errors, &path, config);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        cells, context, defaulted, object, problems, refuses, refuses_status, update_problems,
    };

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

    const GOOD: &str = r#"{"metadata":{"name":"a"},"spec":{"devices":{"requests":[
        {"name":"r","firstAvailable":[{"name":"s","deviceClassName":"c"}]}]}}}"#;

    #[test]
    fn constraints_and_settings_are_about_known_requests() {
        refuses(
            &definition(),
            GOOD,
            &[
                (
                    r#"{"spec":{"devices":{"constraints":[{"requests":["r/s"],"matchAttribute":"d.io/x"}]}}}"#,
                    &[],
                ),
                (
                    r#"{"spec":{"devices":{"constraints":[{"requests":["r/s/t","r","r"]}]}}}"#,
                    &[
                        "spec.devices.constraints[0].requests[0]: Invalid value: \"r/s/t\": must be the name of a \
                         request in the claim or the name of a request and a subrequest separated by '/'",
                        "spec.devices.constraints[0].requests[2]: Duplicate value: \"r\"",
                        "spec.devices.constraints[0]: Required value: exactly one of \"matchAttribute\" or \
                         \"distinctAttribute\" is required, but multiple fields are set",
                    ],
                ),
                (
                    r#"{"spec":{"devices":{"config":[{"opaque":{"driver":"d.io","parameters":[1]}},{}]}}}"#,
                    &[
                        "spec.devices.config[0].opaque.parameters: Invalid value: \"<value omitted>\": must be a valid \
                         JSON object",
                        "spec.devices.config[1].opaque: Required value",
                    ],
                ),
                (
                    r#"{"spec":{"devices":{"requests":[{"name":"r","exactly":{"deviceClassName":"c",
                        "selectors":[{}]}}]}}}"#,
                    &["spec.devices.requests[0].exactly.selectors[0].cel: Required value"],
                ),
            ],
        );
    }

    #[test]
    fn nothing_that_goes_is_used_anew() {
        let base = GOOD.replacen(
            "{\"name\":\"a\"}",
            "{\"name\":\"a\",\"deletionTimestamp\":\"2024-01-01T00:00:00Z\"},\"status\":{\"allocation\":{}}",
            1,
        );
        refuses_status(
            &definition(),
            &base,
            &[
                (r#"{"status":{}}"#, &[]),
                (
                    r#"{"status":{"reservedFor":[{"resource":"pods","name":"p","uid":"u"}]}}"#,
                    &[
                        "status.reservedFor: Forbidden: new entries may not be added while `deallocationRequested` or \
                       `deletionTimestamp` are set",
                    ],
                ),
            ],
        );
    }
}
