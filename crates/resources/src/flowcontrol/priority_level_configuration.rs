//! Priority levels share out how many requests run at once. `Exempt` ones are
//! never held back; of `Limited` ones, requests queue or are rejected.

use meta::{FieldError, FieldErrors, FieldPath, ObjectMeta};
use registry::{Column, PrintContext, RequestContext, ResourceDef, StatusMetadata, Strategy, Subresource};
use schema::Value;

use crate::check::{self, at, text};
use crate::defaults;
use crate::flowcontrol::GROUP;
use crate::print as show;

const SHARES_DEFAULT: i64 = 30;
const QUEUES_MAX: i64 = 10 * 1000 * 1000;

/// Priority level configurations as served.
pub fn definition() -> ResourceDef {
    ResourceDef {
        namespaced: false,
        subresources: vec![Subresource::status()],
        columns: vec![
            Column::name(),
            Column::string("Type"),
            Column::string("NominalConcurrencyShares"),
            Column::string("Queues"),
            Column::string("HandSize"),
            Column::string("QueueLengthLimit"),
            Column::string("Age"),
        ],
        generation: true,
        status_metadata: StatusMetadata::Kept,
        ..ResourceDef::stored(
            GROUP,
            "v1",
            "prioritylevelconfigurations",
            "PriorityLevelConfiguration",
            PriorityLevelConfigurationStrategy,
        )
    }
}

struct PriorityLevelConfigurationStrategy;

impl Strategy for PriorityLevelConfigurationStrategy {
    fn default(&self, object: &mut Value) {
        let Some(spec) = defaults::object(object, "spec") else { return };
        if let Some(exempt) = defaults::object(spec, "exempt") {
            defaults::pointer(exempt, "nominalConcurrencyShares", 0);
            defaults::pointer(exempt, "lendablePercent", 0);
        }
        let Some(limited) = defaults::object(spec, "limited") else { return };
        defaults::pointer(limited, "nominalConcurrencyShares", SHARES_DEFAULT);
        defaults::pointer(limited, "lendablePercent", 0);
        let response = defaults::object(limited, "limitResponse");
        if let Some(queuing) = response.and_then(|response| defaults::object(response, "queuing")) {
            defaults::number(queuing, "queues", 64);
            defaults::number(queuing, "handSize", 8);
            defaults::number(queuing, "queueLengthLimit", 50);
        }
    }

    fn validate(&self, _: &RequestContext, object: &Value) -> FieldErrors {
        validate(object)
    }

    fn validate_update(&self, _: &RequestContext, object: &Value, _: &Value) -> FieldErrors {
        validate(object)
    }

    fn cells(&self, object: &Value, print: &PrintContext) -> Vec<Value> {
        let number = |path: &[&str]| object.at(path).cloned().unwrap_or_else(|| show::NONE.into());
        let queuing = |key| number(&["spec", "limited", "limitResponse", "queuing", key]);
        let between = [
            text(object, &["spec", "type"]).into(),
            number(&["spec", "limited", "nominalConcurrencyShares"]),
            queuing("queues"),
            queuing("handSize"),
            queuing("queueLengthLimit"),
        ];
        show::with_name_and_age(object, print, between)
    }
}

fn validate(object: &Value) -> FieldErrors {
    let mut errors = Vec::new();
    let spec = at("spec");
    let name = ObjectMeta::of(object).name();
    let kind = text(object, &["spec", "type"]);
    let (exempt, limited) = (object.at(&["spec", "exempt"]), object.at(&["spec", "limited"]));
    if (name == "exempt") != (kind == "Exempt") && matches!(kind, "Exempt" | "Limited") {
        let detail = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid_str(&spec.child("type"), kind, detail));
    }
    match kind {
        "Exempt" => {
            if limited.is_some() {
                let detail = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(&spec.child("limited"), detail));
            }
            validate_shares(&mut errors, &spec.child("exempt"), exempt, 0);
        }
        "Limited" => {
            if exempt.is_some() {
                let detail = "must be nil if the type is Limited";
                errors.push(FieldError::forbidden(&spec.child("exempt"), detail));
            }
            match limited {
                None => {
                    let detail = "must not be empty when type is Limited";
                    errors.push(FieldError::required(&spec.child("limited"), detail));
                }
                Some(limited) => validate_limited(&mut errors, &spec.child("limited"), limited),
            }
        }
        other => check::one_of(&mut errors, &spec.child("type"), other, &["Exempt", "Limited"]),
    }
    errors
}

fn validate_shares(errors: &mut FieldErrors, path: &FieldPath, level: Option<&Value>, min: i64) {
    let Some(level) = level else { return };
    let shares = level.int_at(&["nominalConcurrencyShares"]);
    if let Some(shares) = shares.filter(|shares| *shares < min) {
        let detail = "must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("nominalConcurrencyShares"), &shares.into(), detail));
    }
    let percent = level.int_at(&["lendablePercent"]);
    if let Some(percent) = percent.filter(|percent| !(0..=100).contains(percent)) {
        let detail = "must be between 0 and 100, inclusive";
        errors.push(FieldError::invalid(&path.child("lendablePercent"), &percent.into(), detail));
    }
}

fn validate_limited(errors: &mut FieldErrors, path: &FieldPath, limited: &Value) {
    validate_shares(errors, path, Some(limited), 0);
    let borrowing = limited.int_at(&["borrowingLimitPercent"]);
    if let Some(percent) = borrowing.filter(|percent| *percent < 0) {
        let detail = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(&path.child("borrowingLimitPercent"), &percent.into(), detail));
    }
    let path = path.child("limitResponse");
    let queuing = limited.at(&["limitResponse", "queuing"]);
    match text(limited, &["limitResponse", "type"]) {
        "Reject" if queuing.is_some() => {
            let detail = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(&path.child("queuing"), detail));
        }
        "Reject" => {}
        "Queue" => match queuing {
            None => {
                let detail = "must not be empty if limited.limitResponse.type is Limited";
                errors.push(FieldError::required(&path.child("queuing"), detail));
            }
            Some(queuing) => validate_queuing(errors, &path.child("queuing"), queuing),
        },
        other => check::one_of(errors, &path.child("type"), other, &["Queue", "Reject"]),
    }
}

fn validate_queuing(errors: &mut FieldErrors, path: &FieldPath, queuing: &Value) {
    let number = |key: &str| queuing.int_at(&[key]).unwrap_or_default();
    for key in ["queueLengthLimit", "queues", "handSize"] {
        if number(key) <= 0 {
            errors.push(FieldError::invalid(&path.child(key), &number(key).into(), "must be positive"));
        }
    }
    if number("queues") > QUEUES_MAX {
        let detail = format!("must not be greater than {QUEUES_MAX}");
        errors.push(FieldError::invalid(&path.child("queues"), &number("queues").into(), detail));
    }
    if number("handSize") > number("queues") {
        let detail = format!("should not be greater than queues ({})", number("queues"));
        errors.push(FieldError::invalid(&path.child("handSize"), &number("handSize").into(), detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{cells, defaulted, problems};

    #[test]
    fn queues_have_a_size() {
        let level = defaulted(
            &definition(),
            r#"{"metadata":{"name":"a"},"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Queue","queuing":{}}}}}"#,
        );
        let expected = ["Limited".into(), 30.into(), 64.into(), 8.into(), Value::Int(50)];
        assert_eq!(cells(&definition(), &level)[1..6], expected);
        assert!(problems(&definition(), &level).is_empty());
    }

    #[test]
    fn what_rejects_does_not_queue() {
        let level = defaulted(
            &definition(),
            r#"{"metadata":{"name":"a"},"spec":{"type":"Limited","limited":{"limitResponse":{"type":"Reject","queuing":{}}}}}"#,
        );
        assert_eq!(problems(&definition(), &level).len(), 1);
    }
}
