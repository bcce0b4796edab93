//! Leases say who holds something until when: nodes their heartbeat,
//! controllers their leadership. The most written resource of a cluster.

use meta::{FieldError, FieldErrors};
use registry::{Column, PrintContext, RequestContext, ResourceDef, Strategy};
use schema::Value;

use crate::check::{self, at, text};
use crate::coordination::GROUP;
use crate::print as show;

/// Leases as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        columns: vec![Column::name(), Column::string("Holder"), Column::string("Age")],
        create_on_update: true,
        unconditional_update: false,
        ..ResourceDef::stored(GROUP, "v1", "leases", "Lease", LeaseStrategy)
    }
}

struct LeaseStrategy;

impl Strategy for LeaseStrategy {
    fn prepare_for_create(&self, _: &RequestContext, object: &mut Value) {
        drop_coordination(object, None);
    }

    fn prepare_for_update(&self, _: &RequestContext, object: &mut Value, old: &Value) {
        drop_coordination(object, Some(old));
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        show::with_name_and_age(object, print, [text(object, &["spec", "holderIdentity"]).into()])
    }
}

/// Coordinated leader election is off by default: its fields are kept only where they were.
fn drop_coordination(object: &mut Value, old: Option<&Value>) {
    for key in ["strategy", "preferredHolder"] {
        if old.is_none_or(|old| old.at(&["spec", key]).is_none()) {
            object.remove(&["spec", key]);
        }
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let spec = at("spec");
    if let Some(seconds) = object.int_at(&["spec", "leaseDurationSeconds"]).filter(|seconds| *seconds <= 0) {
        let path = spec.child("leaseDurationSeconds");
        errors.push(FieldError::invalid(&path, &seconds.into(), "must be greater than 0"));
    }
    let transitions = object.int_at(&["spec", "leaseTransitions"]);
    check::not_negative(&mut errors, &spec.child("leaseTransitions"), transitions);
    if let Some(strategy) = object.str_at(&["spec", "strategy"]) {
        let messages = meta::validation::is_qualified_name(strategy);
        check::messages(&mut errors, &spec.child("strategy"), strategy, messages);
    }
    if object.str_at(&["spec", "preferredHolder"]).is_some_and(|holder| !holder.is_empty())
        && text(object, &["spec", "strategy"]).is_empty()
    {
        let detail = "may only be specified if `strategy` is defined";
        errors.push(FieldError::forbidden(&spec.child("preferredHolder"), detail));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, object, problems};

    #[test]
    fn a_duration_is_positive_and_transitions_are_not_negative() {
        let lease = object(r#"{"spec":{"leaseDurationSeconds":-1,"leaseTransitions":-1}}"#);
        assert_eq!(
            problems(&definition(), &lease),
            [
                "spec.leaseDurationSeconds: Invalid value: -1: must be greater than 0",
                "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
            ]
        );
    }

    #[test]
    fn nobody_holds_an_empty_lease() {
        assert_eq!(cells(&definition(), &object(r#"{"metadata":{"name":"a"}}"#))[1], Value::from(""));
    }
}
