//! Device taint rules taint the devices they select, so that claims that do
//! not tolerate the taint are kept off, or thrown off, them. Stored as
//! `v1alpha3`, so that a server one release older can still read them.

use meta::{FieldError, FieldErrors};
use registry::{RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::resource::GROUP;

/// Device taint rules as served in `v1alpha3`.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        subresources: vec![Subresource::status()],
        generation: true,
        returns_deleted_object: true,
        status_metadata: StatusMetadata::Kept,
        enabled_by_default: false,
        ..ResourceDef::stored(
            GROUP,
            "v1alpha3",
            "devicetaintrules",
            "DeviceTaintRule",
            DeviceTaintRuleStrategy,
        )
    }
}

struct DeviceTaintRuleStrategy;

impl Strategy for DeviceTaintRuleStrategy {
    fn prepare_for_create(&self, context: &RequestContext, object: &mut Value) {
        stamp(context, object);
    }

    fn prepare_for_update(&self, context: &RequestContext, object: &mut Value, _: &Value) {
        stamp(context, object);
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
    }
}

/// A taint says since when it is there.
fn stamp(context: &RequestContext, object: &mut Value) {
    if object.at(&["spec", "taint"]).is_some() && object.str_at(&["spec", "taint", "timeAdded"]).is_none() {
        object.set(&["spec", "taint", "timeAdded"], crate::check::now(context));
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let taint = at("spec.taint");
    let key = text(object, &["spec", "taint", "key"]);
    if check::required(&mut errors, &taint.child("key"), key) {
        check::messages(&mut errors, &taint.child("key"), key, meta::validation::is_qualified_name(key));
    }
    let value = text(object, &["spec", "taint", "value"]);
    check::messages(&mut errors, &taint.child("value"), value, meta::validation::is_label_value(value));
    let effect = text(object, &["spec", "taint", "effect"]);
    if effect.is_empty() {
        errors.push(FieldError::required(&taint.child("effect"), ""));
    } else {
        check::one_of(&mut errors, &taint.child("effect"), effect, &["NoExecute", "NoSchedule", "None"]);
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{context, object, problems};

    #[test]
    fn a_taint_has_a_key_an_effect_and_a_time() {
        let mut rule = object(r#"{"spec":{"taint":{"effect":"Sometimes"}}}"#);
        assert_eq!(
            problems(&definition(), &rule),
            [
                "spec.taint.key: Required value",
                "spec.taint.effect: Unsupported value: \"Sometimes\": supported values: \"NoExecute\", \
                 \"NoSchedule\", \"None\"",
            ]
        );
        definition().strategy.prepare_for_create(&context(), &mut rule);
        assert!(rule.str_at(&["spec", "taint", "timeAdded"]).is_some());
    }
}
